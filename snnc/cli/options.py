"""Options that several verbs share and that are no options of a compilation."""

from __future__ import annotations

from collections.abc import Callable
from inspect import getdoc
from pathlib import Path
from typing import Annotated

import typer

from snnc.cli.flags import typer_option, with_flags
from snnc.options import CompilationOptions

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress, logs, tables of compile.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="More logs.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Timesteps = Annotated[int | None, typer_option(CompilationOptions, "timesteps")]
Seed = Annotated[int, typer_option(CompilationOptions, "seed")]
Limit = Annotated[
    int | None, typer.Option("--limit", metavar="N", help="Only the first N samples.")
]
Report = Annotated[
    Path | None,
    typer.Option("--report", metavar="DIR", help="Write report.json and report.html there."),
]


def add(app: typer.Typer, verb: str, command: Callable[..., None]) -> None:
    """Add a verb; the example of its documentation is shown first."""
    first, *rest = (getdoc(command) or "").split("\n\n")
    examples = [part for part in rest if part.startswith("Example:")]
    shown = [f"\b\n{part}" for part in examples] + [first]
    shown += [part for part in rest if part not in examples]
    app.command(verb, help="\n\n".join(shown), short_help=first)(with_flags(command))
