"""`snnc compile`: a model to an artifact."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snnc.cli import options
from snnc.cli.console import Output, figure, percent
from snnc.cli.cost_lines import show_cost
from snnc.cli.flags import After, FlagsOf, Given
from snnc.errors import SnncError, UnsupportedError, unsupported
from snnc.options import CompilationOptions
from snnc.writes import Writes

if TYPE_CHECKING:
    from snnc.driver import Job


Sample = Annotated[
    str | None,
    typer.Option(
        "--sample",
        metavar="N|DATA",
        help="Store inputs and what they give, for verify: N of --calibration, or DATA.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    options.add(app, "compile", compile_model)


def compile_model(
    *,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="net.py:factory, or a model or .snnc file.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Artifact; default MODEL's name.snnc."),
        Writes(),
    ] = None,
    given: Annotated[Given, FlagsOf(CompilationOptions)],
    sample: Annotated[Sample, After("validation")] = None,
    report: Annotated[options.Report, After("device")] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say whether it can be compiled; write nothing."),
        After("dump_ir"),
    ] = False,
    out: options.Out,
) -> None:
    """Compile a model to a spiking network.

    Example: snnc compile net.py:build --weights w.safetensors --input-shape 1,28,28 \\
          --recipe 'convert{bits=8}' -T 16 --calibration 'mnist:DIR#train[:1000]' -o net.snnc
    """
    from snnc.driver import JobOptions, run

    job = JobOptions(**given, progress=out.progress, log=out.log).job(
        model, measure_layers=report is not None
    )
    if dry_run:
        _dry_run(out, job)
        return
    compiled = run(job, output or default_output(model), sample)
    if not out.quiet:
        _show(out, compiled.report)
    out.report(report, compiled.report)
    out.document(compiled.report)


MAX_POOLS = {
    "count": "as maxima of spike counts, exact at every step",
    "or": "as the OR of the spikes of a step, which is not the maximum of the rates",
}
"""What is said of the keys of `max_pools` in the report."""


def default_output(model: str) -> Path:
    """`net.snnc` for `dir/net.pt`, `build.snnc` for `net.py:build`; never the model itself."""
    name = model.rpartition(":")[2]
    stem = Path(name).stem
    path = Path(f"{stem}.snnc")
    same = path.exists() and Path(model).exists() and path.samefile(model)
    return Path(f"{stem}.compiled.snnc") if same else path


def _dry_run(out: Output, job: Job) -> None:
    from snnc.driver import dry_run

    problems = dry_run(job)
    listed = [{"problem": error.message, "hint": error.hint} for error in problems]
    refused = (error.problems for error in problems if isinstance(error, UnsupportedError))
    out.document(
        {
            "kind": "dry-run",
            "can_compile": not problems,
            "problems": listed,
            "unsupported": unsupported(chain.from_iterable(refused)),
        }
    )
    if not problems:
        out.line("can be compiled")
        return
    raise _Problems(problems)


class _Problems(SnncError):
    """Several errors as one, with the highest of their exit codes."""

    def __init__(self, problems: list[SnncError]) -> None:
        shown = [
            p.message if p.hint is None else f"{p.message}; {'; '.join(p.hint.splitlines())}"
            for p in problems
        ]
        super().__init__("cannot be compiled:\n" + indent("\n".join(shown), "  "))
        self.exit_code = max(problem.exit_code for problem in problems)


def _show(out: Output, report: Mapping[str, Any]) -> None:
    """The table of layers, the sizes, and the path of the artifact."""
    show_layers(out, report["layers"])
    out.line()
    out.line(
        f"{report['neurons']} neurons, {report['parameters']} parameters, "
        f"T {report['timesteps']}, latency {report['latency_timesteps']} steps, "
        f"target {report['target']}"
    )
    for kind, number in report["max_pools"].items():
        out.line(f"max pools: {number}, {MAX_POOLS[kind]}")
    if report["rounding"] is not None:
        out.line(_rounding(report["rounding"]))
    if report["legalize"]:
        out.line(f"the target runs its own copy, made by {report['legalize']}")
    show_exactness(out, report.get("exactness"))
    show_hardware(out, report.get("hardware"))
    show_cost(out, report.get("cost"))
    out.line(f"artifact: {report['artifact']}")


def _rounding(figures: Mapping[str, Any]) -> str:
    """The integers of the target beside the real values, in a sentence."""
    parts = [f"outputs differ by at most {figure(figures['output_max_abs_diff'])}"]
    if "agreement" in figures:
        parts.insert(0, f"{percent(figures['agreement'])} of the classes agree")
    samples = figures["samples"]
    return f"integers beside real values, {samples} calibration samples: {', '.join(parts)}"


def show_exactness(out: Output, told: Mapping[str, str] | None) -> None:
    """Whether every spike is that of the reference, if the target tells."""
    if told is None:
        return
    if told["mode"] == "exact":
        out.line("exact: every spike is that of the reference")
    else:
        out.line(
            f"faithful: spikes may differ from those of the reference at ties: {told['reason']}; "
            "snnc verify tells how many"
        )


def show_hardware(out: Output, hardware: Mapping[str, Any] | None) -> None:
    """Totals and notes of the target's own figures, if it has any."""
    if hardware is None:
        return
    totals = hardware["totals"].items()
    out.line(", ".join(f"{key.replace('_', ' ')} {figure(value)}" for key, value in totals))
    for note in hardware["notes"]:
        out.line(note)


def show_layers(out: Output, layers: list[dict[str, Any]]) -> None:
    """The table of layers."""
    out.table(
        ("layer", "op", "result", "parameters", "threshold", "from"),
        [
            (
                row["name"],
                row["op"],
                row["type"],
                str(row["parameters"]) if row["parameters"] else "",
                _range(row.get("threshold")),
                row["location"] or "",
            )
            for row in layers
        ],
    )


def _range(values: list[float] | None) -> str:
    if values is None:
        return ""
    low, high = map(figure, values)
    return low if low == high else f"{low}..{high}"
