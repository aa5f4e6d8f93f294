"""Options that several verbs share and that are no options of a compilation."""

from __future__ import annotations

from collections.abc import Callable
from inspect import getdoc
from pathlib import Path
from typing import Annotated

import typer

from snnc.cli.console import Output
from snnc.cli.flags import FlagsOf, typer_option, with_flags
from snnc.options import DataOptions, ThreadOptions
from snnc.output_place import require_folder, require_new_file
from snnc.writes import Writes

Out = Annotated[Output, FlagsOf(Output, make=Output.of_process)]
Artifact = Annotated[Path, typer.Argument(metavar="ART", help="A compiled .snnc file.")]
Limit = Annotated[int, typer_option(DataOptions, "limit")]
Timesteps = Annotated[int | None, typer_option(DataOptions, "timesteps")]
Threads = Annotated[int | None, typer_option(ThreadOptions, "threads")]
Seed = Annotated[int, typer_option(DataOptions, "seed")]


def writable_file(parameter: typer.CallbackParam, path: Path | None) -> Path | None:
    """Callback of an option for a file: refused before the work. Raises `UsageError`."""
    if path is not None:
        require_new_file(parameter.opts[0], path, (parameter.metavar or "file").lower())
    return path


def _writable_folder(parameter: typer.CallbackParam, path: Path | None) -> Path | None:
    if path is not None:
        require_folder(parameter.opts[0], path)
    return path


Report = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="DIR",
        help="Write report.json and report.html there.",
        callback=_writable_folder,
    ),
    Writes(("report.json", "report.html")),
]


def add(app: typer.Typer, verb: str, command: Callable[..., None]) -> None:
    """Add a verb; the example of its documentation is shown first."""
    first, *rest = (getdoc(command) or "").split("\n\n")
    examples = [part for part in rest if part.startswith("Example:")]
    shown = [f"\b\n{part}" for part in examples] + [first]
    shown += [part for part in rest if part not in examples]
    app.command(verb, help="\n\n".join(shown), short_help=first)(with_flags(command))
