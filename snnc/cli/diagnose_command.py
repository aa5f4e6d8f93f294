"""`snnc diagnose`: where the accuracy went."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snnc.cli import options
from snnc.cli.console import Output, figure, percent

if TYPE_CHECKING:
    from snnc.analysis.diagnosis import Diagnosis, Finding, LayerError

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
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="As for compile; or a .snnc with --compare.")
    ],
    compare: Annotated[
        str | None,
        typer.Option("--compare", metavar="MODEL", help="What a compiled .snnc was made from."),
    ] = None,
    target: options.Target = "cpu",
    recipe: options.Recipe = None,
    passes: options.Passes = None,
    timesteps: options.Timesteps = None,
    calibration: options.Calibration = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", help="How many calibration samples to look at.")
    ] = SAMPLES,
    train: options.Train = None,
    validation: options.Validation = None,
    weights: options.Weights = None,
    allow: options.Allow = None,
    input_shape: options.InputShape = None,
    mean: options.Mean = None,
    std: options.Std = None,
    workdir: options.Workdir = None,
    resume: options.Resume = False,
    device: options.Device = "cpu",
    report: options.Report = None,
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Convert a model and say where its spiking form departs from it, why, and what to try.

    Example: snnc diagnose net.py:build --weights w.safetensors --input-shape 1,28,28 \\
          -T 16 --calibration 'mnist:DIR#train[:1000]'
    """
    from snnc.driver import Job, ModelSource, diagnose_artifact, diagnose_job

    out = Output.of_process(json, quiet, verbose)
    source = ModelSource(
        model=model if compare is None else compare,
        weights=weights,
        input_shape=options.shape(input_shape),
        allow=tuple(allow or ()),
        mean=options.numbers("--mean", mean),
        std=options.numbers("--std", std),
    )
    if compare is not None:
        _refuse_passes(recipe, passes)
        found = diagnose_artifact(
            model,
            source,
            calibration,
            timesteps=timesteps,
            limit=limit,
            seed=seed,
            progress=out.progress,
            log=out.log,
        )
        about: dict[str, Any] = {"artifact": str(Path(model).resolve()), "model": compare}
    else:
        job = Job(
            source=source,
            target=target,
            recipe=recipe,
            passes=passes,
            timesteps=8 if timesteps is None else timesteps,
            calibration=calibration,
            train=train,
            validation=validation,
            workdir=workdir,
            resume=resume,
            device=device,
            seed=seed,
            progress=out.progress,
            log=out.log,
        )
        found = diagnose_job(job, limit)
        about = {"model": str(source), "pipeline": str(job.pipeline())}
    document = {**found.report(), **about, "data": calibration, "seed": seed}
    _show(out, found)
    out.report(report, document)
    out.document(document)


def _refuse_passes(recipe: str | None, passes: str | None) -> None:
    from snnc.errors import UsageError

    if recipe is not None or passes is not None:
        raise UsageError(
            "--compare takes the artifact as it is; it excludes --recipe and --passes",
            hint="diagnose the model itself to try another pipeline",
        )


def _show(out: Output, found: Diagnosis) -> None:
    """The table of layers, the output over the window, and the findings in sentences."""
    _show_layers(out, found.layers)
    out.line()
    rows = [
        (str(w.timesteps), _cell(w.error), "" if w.agreement is None else percent(w.agreement))
        for w in found.over_t
    ]
    out.table(("T", "error of the output", "agreement with the ANN"), rows)
    if found.rounded is not None:
        shown = [f"error {_cell(found.rounded.error)}"]
        if found.rounded.agreement is not None:
            shown.append(f"agreement {percent(found.rounded.agreement)}")
        out.line(f"the integer network: {', '.join(shown)}")
    out.line(f"measured on {found.samples} samples; errors are relative to the ANN's layer")
    out.line()
    for each in found.faults:
        _show_fault(out, each)
    noted = [each for each in found.findings if each.severity == "note"]
    for each in noted:
        out.line(f"note: {each.layer}: {each.text}")
    if not found.faults:
        out.line("no fault found")
    else:
        out.line(f"first bad layer: {found.first_bad_layer}")


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


def _show_fault(out: Output, found: Finding) -> None:
    where = found.layer if found.node == found.layer else f"{found.layer} ({found.node})"
    out.line(f"{where}: {found.cause}")
    out.line(f"  {found.text}")
    out.line(f"  try: {found.remedy.replace('`', '')}")


def _cell(fraction: float | None) -> str:
    return "" if fraction is None else percent(fraction)


def _range(values: tuple[float, float]) -> str:
    low, high = map(figure, values)
    return low if low == high else f"{low}..{high}"
