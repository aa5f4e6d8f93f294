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
ORIGIN = {"data": "", "stored": ", stored in the artifact", "random": ", random"}
"""What is said of the inputs."""


Inputs = Annotated[
    str | None,
    typer.Option(
        "--data", metavar="DATA", help="Inputs; default those in the artifact, else 16 random ones."
    ),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", metavar="N", help="Seed; default that of the stored inputs, or 0."),
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    options.add(app, "verify", verify)


def verify(
    *,
    artifact: options.Artifact,
    data: Inputs = None,
    limit: options.Limit = SAMPLES,
    timesteps: options.Timesteps = None,
    seed: Seed = None,
    threads: options.Threads = None,
    report: options.Report = None,
    out: options.Out,
) -> None:
    """Compare every spike, count and readout with the reference.

    Inputs that `compile --sample` stored are used where no others are given, and what they gave
    then is compared too. Integer networks must be equal; real ones may differ in 1 % of the spikes,
    and the rate is printed. A target that does not promise equality is not judged.

    Example: snnc verify net.snnc --data 'mnist:DIR#test' --limit 100
    """
    from snnc.driver import verify_artifact

    comparison = verify_artifact(
        artifact,
        data=data,
        timesteps=timesteps,
        limit=limit,
        seed=seed,
        threads=threads,
        progress=out.progress,
        log=out.log,
    )
    figures = {**_provenance(artifact, data), **comparison.report()}
    _show(out, comparison)
    out.report(report, figures)
    out.document(figures)
    comparison.require()
    if comparison.verdict != "not judged":
        out.line(comparison.verdict)


def _provenance(artifact: Path, data: str | None) -> dict[str, Any]:
    from snnc.report import REPORT_VERSION

    return {
        "kind": "verify",
        "report_version": REPORT_VERSION,
        "artifact": str(artifact.resolve()),
        "data": data,
    }


def _show(out: Output, comparison: Comparison) -> None:
    """Print the numbers of values compared and differing, and why equality is not promised."""
    report = comparison.report()
    out.line(f"{comparison.samples} samples{ORIGIN[comparison.inputs]}")
    for kind, number in report["compared"].items():
        if number:
            name = kind.replace("_", " ")
            out.line(f"{name:<15} {number:>14} compared {comparison.differing[kind]:>10} differ")
    if comparison.unpromised:
        out.line(
            f"{comparison.unpromised}: equality is not promised; {comparison.rate:.3%} of the "
            f"spikes and {comparison.classes_differing} of {comparison.samples} classes differ"
        )
