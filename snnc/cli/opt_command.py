"""`snnc opt`: passes on a saved graph, for authors of passes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snnc.cli import options
from snnc.cli.flags import FlagsOf, Given
from snnc.options import CompilationOptions, ModelOptions, flags
from snnc.writes import Writes

NOT_TAKEN = (*flags(ModelOptions), "target", "recipe", "passes")
"""Options that a saved graph has no use for, and those that `opt` defines itself."""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    options.add(app, "opt", optimize)


def optimize(
    *,
    net: Annotated[Path, typer.Argument(metavar="NET.snnc", help="A saved graph of any stage.")],
    passes: Annotated[str, typer.Option("--passes", metavar="SPEC", help="See snnc passes.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Save the graph; else print it."),
        Writes(),
    ] = None,
    given: Annotated[Given, FlagsOf(CompilationOptions, without=NOT_TAKEN)],
    out: options.Out,
) -> None:
    """Run passes on a saved graph and print the result.

    Example: snnc opt net.snnc --passes 'fold-scale,quantize{bits=4}' -o small.snnc
    """
    from snnc.artifact import open_artifact
    from snnc.driver import JobOptions
    from snnc.driver import optimize as run_passes
    from snnc.ir.text import to_text

    open_artifact(net)  # refuses what is no saved graph
    shown = {"progress": out.progress, "log": out.log}
    known = JobOptions(**given, **shown, passes=passes)
    result = run_passes(known.job(net), output)
    text = to_text(result.graph)
    if output is None:
        out.line(text.rstrip())
    else:
        out.line(f"wrote {output}")
    steps = [
        {"name": s.name, "spec": s.spec, "changed": s.changed, "metrics": dict(s.metrics)}
        for s in result.steps
    ]
    where = None if output is None else str(output.resolve())
    out.document({"kind": "opt", "steps": steps, "ir": text, "artifact": where})
