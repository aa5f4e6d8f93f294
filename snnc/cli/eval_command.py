"""`snnc eval`: accuracy and activity on data."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from snnc.cli import options
from snnc.cli.console import Output, percent
from snnc.cli.cost_lines import show_cost
from snnc.cli.flags import After, FlagsOf, Given
from snnc.errors import CheckFailed, UsageError
from snnc.options import EvaluationOptions, ModelOptions

COLUMNS = (
    "timesteps",
    "accuracy",
    "accuracy_std",
    "mean_absolute_error",
    "root_mean_square_error",
    "agreement",
)
DENSE = ("ann_output_mean_absolute_error", "ann_output_root_mean_square_error")
"""Errors against the ANN, shown where outputs are no classes."""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    options.add(app, "eval", evaluate_artifact)


def evaluate_artifact(
    *,
    artifact: options.Artifact,
    data: Annotated[str, typer.Option("--data", metavar="DATA", help="What to run it on.")],
    given: Annotated[Given, FlagsOf(EvaluationOptions)],
    compare: Annotated[
        str | None,
        typer.Option("--compare", metavar="MODEL", help="The model it was made from."),
        After("sweep"),
    ] = None,
    of_model: Annotated[Given, FlagsOf(ModelOptions), After("compare")],
    min_accuracy: Annotated[
        float | None,
        typer.Option("--min-accuracy", metavar="0.9", help="Exit 1 if the accuracy is lower."),
        After("std"),
    ] = None,
    report: options.Report = None,
    out: options.Out,
) -> None:
    """Measure a compiled network on data.

    Example: snnc eval net.snnc --data 'mnist:DIR#test' --sweep 1,2,4,8 \\
          --compare net.py:build --weights w.safetensors
    """
    from snnc.driver import ModelSource, evaluate

    if min_accuracy is not None and not 0 <= min_accuracy <= 1:
        raise UsageError(f"--min-accuracy {min_accuracy}: a fraction from 0 to 1")
    source = None if compare is None else ModelSource(model=compare, **of_model)
    shown = {"measure_layers": report is not None, "progress": out.progress, "log": out.log}
    measured = evaluate(artifact, data, **given, **shown, compare=source)
    figures = {**measured.report(), "artifact": str(artifact.resolve()), "data": data}
    if min_accuracy is not None and "accuracy" not in figures:
        raise UsageError("--min-accuracy: the data has no classes to judge by")
    _show(out, figures)
    out.report(report, figures)
    out.document(figures)
    if min_accuracy is not None and (found := figures["accuracy"]) < min_accuracy:
        raise CheckFailed(f"accuracy {found:.4f} is below --min-accuracy {min_accuracy}")


def _show(out: Output, figures: dict[str, Any]) -> None:
    windows = figures.get("sweep", [figures])
    present = [name for name in COLUMNS if name in windows[0]]
    if "agreement" not in present:
        present += [name for name in DENSE if name in windows[0]]
    out.table(
        [{"timesteps": "T"}.get(name, name.replace("_", " ")) for name in present],
        [[_cell(name, window[name]) for name in present] for window in windows],
    )
    if "varied" in figures:
        _show_varied(out, figures["varied"])
    judged = "accuracy" in windows[0] or "mean_absolute_error" in windows[0]
    unlabelled = "" if judged else " without labels: no accuracy"
    out.line(f"samples            {figures['samples']}{unlabelled}")
    if "chips" in figures:
        out.line(f"chips              {figures['chips']}: means over them")
    for name in ("ann_accuracy", "ann_mean_absolute_error", "ann_root_mean_square_error"):
        if name in figures:
            out.line(f"{name.replace('_', ' '):<18} {_cell(name, figures[name])}")
    if "early_exit" in figures:
        out.line(f"early exit         {_exit(figures['early_exit'], figures['timesteps'])}")
    if "ann_max_abs_diff" in figures:
        relative = figures.get("ann_max_rel_diff", 0.0)
        out.line(f"ann max abs diff   {figures['ann_max_abs_diff']:.3g} (relative {relative:.3g})")
    out.line(f"spikes per neuron  {figures['spikes_per_neuron']:.4g}")
    out.line(f"spikes per run     {figures['spikes_per_inference']:.6g}")
    out.line(f"latency            {figures['latency_timesteps']} steps")
    if "energy" in figures:
        out.line(f"energy (estimate)  {_energy(figures['energy'])}")
    show_cost(out, figures.get("cost"))
    for key, number in figures.get("activity", {}).get("per_inference", {}).items():
        out.line(f"{key.replace('_', ' '):<18} {number:.6g} per inference")


def _show_varied(out: Output, varied: dict[str, Any]) -> None:
    """A table of the values of the option."""
    rows = varied["values"]
    present = [name for name in COLUMNS if name in rows[0] and name != "timesteps"]
    out.table(
        [varied["option"], *(name.replace("_", " ") for name in present)],
        [[row["value"], *(_cell(name, row[name]) for name in present)] for row in rows],
    )


def _exit(exits: dict[str, Any], timesteps: int) -> str:
    parts = [f"after {exits['mean_timesteps']:.2f} of {timesteps} steps on average"]
    parts += [
        f"{name} {percent(exits[name])}" for name in ("accuracy", "agreement") if name in exits
    ]
    return ", ".join(parts)


def _energy(figures: dict[str, Any]) -> str:
    own, ann = (figures[key] / 1e3 for key in ("energy_pj", "ann_energy_pj"))
    return f"{own:.4g} nJ of arithmetic (the ANN {ann:.4g} nJ)"


def _cell(name: str, value: float) -> str:
    if name == "timesteps":
        return str(value)
    return f"{value:.5g}" if "error" in name else percent(value)
