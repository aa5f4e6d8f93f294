"""`snnc verify`: spike for spike against the reference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snnc.cli import options
from snnc.cli.console import Output

if TYPE_CHECKING:
    from snnc.analysis import Comparison

SAMPLES = 100


def register(app: typer.Typer) -> None:
    """Add the verb."""
    options.add(app, "verify", verify)


def verify(
    *,
    artifact: options.Artifact,
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="DATA", help="Inputs; default 16 seeded random ones."),
    ] = None,
    limit: options.Limit = SAMPLES,
    timesteps: options.Timesteps = None,
    seed: options.Seed = 0,
    report: options.Report = None,
    out: options.Out,
) -> None:
    """Compare every spike, count and readout with the reference.

    Integer networks must be equal; real ones may differ in 1 % of the spikes, and the rate is
    printed. A target that does not promise equality only has its differences printed.

    Example: snnc verify net.snnc --data 'mnist:DIR#test' --limit 100
    """
    from snnc.driver import verify_artifact

    comparison = verify_artifact(
        artifact,
        data=data,
        timesteps=timesteps,
        limit=limit,
        seed=seed,
        progress=out.progress,
        log=out.log,
    )
    figures = {**_provenance(artifact, data, seed), **comparison.report()}
    _show(out, comparison)
    out.report(report, figures)
    out.document(figures)
    comparison.require()
    if comparison.verdict != "not judged":
        out.line(comparison.verdict)


def _provenance(artifact: Path, data: str | None, seed: int) -> dict[str, Any]:
    from snnc.report import REPORT_VERSION

    return {
        "kind": "verify",
        "report_version": REPORT_VERSION,
        "artifact": str(artifact.resolve()),
        "data": data,
        "seed": seed,
    }


def _show(out: Output, comparison: Comparison) -> None:
    """Print the numbers of values compared and differing, and why equality is not promised."""
    report = comparison.report()
    out.line(f"{comparison.samples} samples")
    for kind, number in report["compared"].items():
        if number:
            out.line(f"{kind:<9} {number:>14} compared {comparison.differing[kind]:>10} differ")
    if comparison.unpromised:
        out.line(
            f"{comparison.unpromised}: equality is not promised; {comparison.rate:.3%} of the "
            f"spikes and {comparison.classes_differing} of {comparison.samples} classes differ"
        )
