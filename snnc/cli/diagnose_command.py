"""`snnc diagnose`: which layers lose accuracy in conversion, and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snnc.cli import options
from snnc.cli.console import Output, figure, percent
from snnc.cli.flags import After, FlagsOf, Given
from snnc.options import CompilationOptions

if TYPE_CHECKING:
    from snnc.analysis.diagnosis import Diagnosis, Finding, LayerError
    from snnc.driver import JobOptions

SAMPLES = 128
COLUMNS = (
    ("error", "error"),
    ("inherited", "inherited"),
    ("clipping", "clip"),
    ("quantisation", "quant"),
    ("unevenness", "uneven"),
    ("rounding", "rounding"),
    ("silent", "silent"),
    ("saturated", "saturated"),
)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    options.add(app, "diagnose", diagnose)


def diagnose(
    *,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="As for compile; or a .snnc with --compare.")
    ],
    compare: Annotated[
        str | None,
        typer.Option("--compare", metavar="MODEL", help="What a compiled .snnc was made from."),
    ] = None,
    given: Annotated[Given, FlagsOf(CompilationOptions)],
    limit: Annotated[
        int,
        typer.Option("--limit", metavar="N", help="How many calibration samples to look at."),
        After("calibration"),
    ] = SAMPLES,
    report: Annotated[options.Report, After("device")] = None,
    out: options.Out,
) -> None:
    """Convert a model and say where its spiking form departs from it, why, and what to try.

    Example: snnc diagnose net.py:build --weights w.safetensors --input-shape 1,28,28 \\
          -T 16 --calibration 'mnist:DIR#train[:1000]'
    """
    from snnc.driver import JobOptions, diagnose_artifact, diagnose_job

    known = JobOptions(**given, progress=out.progress, log=out.log)
    if compare is not None:
        _refuse_passes(known)
        window = given.get("timesteps")
        diagnosis = diagnose_artifact(model, compare, known, timesteps=window, limit=limit)
        about: dict[str, Any] = {"artifact": str(Path(model).resolve()), "model": compare}
    else:
        job = known.job(model)
        diagnosis = diagnose_job(job, limit)
        about = {"model": str(job.source), "pipeline": str(job.pipeline_for(job.backend(), None))}
    about |= {"data": given.get("calibration"), "seed": known.seed}
    document = {**diagnosis.report(), **about}
    _show(out, diagnosis)
    out.report(report, document)
    out.document(document)


def _refuse_passes(known: JobOptions) -> None:
    from snnc.errors import UsageError

    if known.recipe is not None or known.passes is not None:
        raise UsageError(
            "--compare takes the artifact as it is; it excludes --recipe and --passes",
            hint="diagnose the model itself to try another pipeline",
        )


def _show(out: Output, diagnosis: Diagnosis) -> None:
    """The table of layers, the output over the window, and the findings in sentences."""
    _show_layers(out, diagnosis.layers)
    out.line()
    rows = [
        (str(w.timesteps), _cell(w.error), "" if w.agreement is None else percent(w.agreement))
        for w in diagnosis.over_t
    ]
    out.table(("T", "error of the output", "agreement with the ANN"), rows)
    if diagnosis.rounded is not None:
        shown = [f"error {_cell(diagnosis.rounded.error)}"]
        if diagnosis.rounded.agreement is not None:
            shown.append(f"agreement {percent(diagnosis.rounded.agreement)}")
        out.line(f"the integer network: {', '.join(shown)}")
    for pool, error in diagnosis.pools.items():
        kind = "maximum of counts" if pool in diagnosis.count_pools else "OR of spikes"
        out.line(f"max pool {pool}: {kind}, {percent(error)} from the maximum of the rates")
    out.line(f"measured on {diagnosis.samples} samples; errors are relative to the ANN's layer")
    out.line()
    for fault in diagnosis.faults:
        _show_fault(out, fault)
    notes = [finding for finding in diagnosis.findings if finding.severity == "note"]
    for note in notes:
        out.line(f"note: {note.layer}: {note.text}")
    if not diagnosis.faults:
        out.line("no fault found")
    elif diagnosis.first_bad_layer is not None:
        out.line(f"first bad layer: {diagnosis.first_bad_layer}")


def _show_layers(out: Output, layers: Sequence[LayerError]) -> None:
    shown = [
        (key, title) for key, title in COLUMNS if any(getattr(r, key) is not None for r in layers)
    ]
    out.table(
        ("layer", *(title for _, title in shown), "correlation", "threshold"),
        [
            (
                row.name,
                *(_cell(getattr(row, key)) for key, _ in shown),
                "" if row.correlation is None else f"{row.correlation:.3f}",
                _range(row.threshold),
            )
            for row in layers
        ],
    )


def _show_fault(out: Output, fault: Finding) -> None:
    where = fault.layer if fault.node == fault.layer else f"{fault.layer} ({fault.node})"
    out.line(f"{where}: {fault.cause}")
    out.line(f"  {fault.text}")
    out.line(f"  try: {fault.remedy.replace('`', '')}")


def _cell(fraction: float | None) -> str:
    return "" if fraction is None else percent(fraction)


def _range(values: tuple[float, float]) -> str:
    low, high = map(figure, values)
    return low if low == high else f"{low}..{high}"
