"""`snnc export`: a saved network in the form of another tool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snnc.cli import options


def register(app: typer.Typer) -> None:
    """Add the verb."""
    options.add(app, "export", export)


def export(
    *,
    artifact: Annotated[Path, typer.Argument(metavar="ART", help="A .snnc file of any stage.")],
    format: Annotated[str, typer.Option("--format", metavar="SPEC", help="See exporters.")],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="DIR", help="The folder to make."),
    ],
    out: options.Out,
) -> None:
    """Write a saved network in the form of another tool.

    Nodes which that form can say only roughly are warned of; if there are some it cannot say at
    all, they are listed and nothing is written.

    Example: snnc export net.snnc --format text -o net_text
    """
    from snnc.driver import export_artifact

    exported = export_artifact(artifact, format, output)
    for each in exported.approximate:
        out.log.warning(str(each))
    out.listing(f"wrote {output}", exported.files)
    out.document({"kind": "export", "artifact": str(artifact.resolve()), **exported.report()})
