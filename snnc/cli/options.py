"""Options that several verbs share, and how their text is read."""

from __future__ import annotations

from collections.abc import Callable
from inspect import getdoc
from pathlib import Path
from typing import Annotated

import typer

from snnc.errors import UsageError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress and no logs.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="More logs.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]

Weights = Annotated[
    Path | None, typer.Option("--weights", metavar="FILE", help="Parameters of the model.")
]
Allow = Annotated[
    list[str] | None,
    typer.Option("--allow", metavar="CLASS", help="A class a pickled model may hold; repeatable."),
]
InputShape = Annotated[
    str | None,
    typer.Option("--input-shape", metavar="C,H,W", help="Shape of one sample, e.g. 3,32,32."),
]
Mean = Annotated[
    str | None,
    typer.Option("--mean", metavar="M,…", help="Subtracted from the input, one or per channel."),
]
Std = Annotated[
    str | None,
    typer.Option("--std", metavar="S,…", help="Divides the input, one or per channel."),
]
Target = Annotated[str, typer.Option("--target", metavar="TARGET", help="See targets.")]
Recipe = Annotated[
    str | None, typer.Option("--recipe", metavar="RECIPE", help="See recipes; default convert.")
]
Passes = Annotated[
    str | None, typer.Option("--passes", metavar="SPEC", help="A pipeline of your own.")
]
Workdir = Annotated[
    Path | None,
    typer.Option("--workdir", metavar="DIR", help="Keep checkpoints of passes that learn there."),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Go on from the checkpoints in --workdir, if there are any."),
]
Device = Annotated[str, typer.Option("--device", metavar="cpu|cuda", help="Where passes compute.")]
DumpIr = Annotated[
    Path | None, typer.Option("--dump-ir", metavar="DIR", help="The graph after each pass.")
]
Timesteps = Annotated[
    int | None, typer.Option("-T", "--timesteps", metavar="N", help="The window, in time steps.")
]
Calibration = Annotated[
    str | None, typer.Option("--calibration", metavar="DATA", help="Data to choose thresholds on.")
]
Train = Annotated[
    str | None, typer.Option("--train", metavar="DATA", help="Data for passes that learn.")
]
Validation = Annotated[
    str | None,
    typer.Option(
        "--validation",
        metavar="DATA|0.1",
        help="Data for passes that choose; a fraction takes that part out of --train.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of everything random.")]
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
    app.command(verb, help="\n\n".join(shown), short_help=first)(command)


def shape(text: str | None) -> tuple[int, ...] | None:
    """`3,32,32` as a tuple. Raises `UsageError`."""
    if text is None:
        return None
    found = integers("--input-shape", text)
    if not found or min(found) < 1:
        raise UsageError(f"--input-shape {text}: sizes are positive", hint="e.g. 3,32,32")
    return found


def integers(flag: str, text: str | None) -> tuple[int, ...]:
    """`1,2,4` as a tuple; empty for None. Raises `UsageError`."""
    try:
        return tuple(int(part) for part in (text or "").split(",") if text)
    except ValueError:
        hint = "whole numbers with commas between, e.g. 1,2,4"
        raise UsageError(f"{flag} {text}: not whole numbers", hint=hint) from None


def numbers(flag: str, text: str | None) -> tuple[float, ...]:
    """`0.5,0.4` as a tuple; empty for None. Raises `UsageError`."""
    try:
        return tuple(float(part) for part in (text or "").split(",") if text)
    except ValueError:
        hint = "numbers with commas between, e.g. 0.485,0.456,0.406"
        raise UsageError(f"{flag} {text}: not numbers", hint=hint) from None
