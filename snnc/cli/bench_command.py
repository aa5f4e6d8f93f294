"""`snnc bench`: how fast an artifact runs, and which layers take the time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snnc.cli import options
from snnc.cli.console import Output, percent
from snnc.errors import UsageError
from snnc.writes import Writes

if TYPE_CHECKING:
    from snnc.driver.benchmarking import Benchmark

Inputs = Annotated[
    str | None,
    typer.Option(
        "--input",
        metavar="X.npy",
        help="Samples (N, …), or any DATA; default those stored in it, else random ones.",
    ),
]
Batch = Annotated[int, typer.Option("--batch", metavar="N", help="Samples of a run.")]
Seconds = Annotated[float, typer.Option("--seconds", metavar="S", help="For how long to measure.")]
Trace = Annotated[
    Path | None,
    typer.Option(
        "--trace",
        metavar="TRACE.json",
        help="Write all runs for a trace viewer.",
        callback=options.writable_file,
    ),
    Writes(),
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    options.add(app, "bench", bench)


def bench(
    *,
    artifact: options.Artifact,
    data: Inputs = None,
    batch: Batch = 1,
    timesteps: options.Timesteps = None,
    seconds: Seconds = 2.0,
    trace: Trace = None,
    seed: options.Seed = 0,
    threads: options.Threads = None,
    out: options.Out,
) -> None:
    """Measure how fast a compiled network runs, and each of its layers.

    Example: snnc bench net.snnc --batch 32 --threads 2 --trace trace.json
    """
    from snnc.driver.benchmarking import benchmark

    measured = benchmark(
        artifact,
        data=data,
        batch=batch,
        timesteps=timesteps,
        threads=threads,
        seconds=seconds,
        seed=seed,
        progress=out.progress,
        log=out.log,
    )
    if trace is not None:
        _write(trace, measured)
    document = {"kind": "bench", "artifact": str(artifact.resolve()), **measured.report()}
    out.document(document | {"trace_file": None if trace is None else str(trace.resolve())})
    _show(out, document)
    if trace is not None:
        out.line(f"wrote {trace}")


def _show(out: Output, report: dict[str, Any]) -> None:
    machine, latency, processor = (report[key] for key in ("machine", "latency_ms", "processor_ms"))
    told = report["threads"] if report["threads_used"] is None else report["threads_used"]
    threads = "as many threads as cores" if told is None else _plural(told, "thread")
    features = " ".join(machine["features"])
    lines = {
        "target": f"{report['target']}, T={report['timesteps']}, {threads}",
        "machine": f"{machine['processor']}, {_plural(machine['cores'], 'core')}: {features}",
        "inputs": f"{report['inputs']}, batches of {report['batch']}",
        "latency": f"{_ms(latency['median'])} ms, half of the runs {_ms(latency['p25'])} to "
        f"{_ms(latency['p75'])}; least {_ms(latency['least'])}, "
        f"99 % below {_ms(latency['p99'])}; {_plural(report['runs'], 'run')}",
        "processor time": f"{_ms(processor['median'])} ms a run",
        "throughput": f"{report['samples_per_second']:,.5g} samples a second",
        "spikes": f"{report['spikes_per_sample']:,.6g} a sample, "
        f"{report['spikes_per_neuron']:.3g} a neuron",
    }
    for key, text in lines.items():
        out.line(f"{key:<14} {text}")
    out.line()
    _show_steps(out, report)


def _show_steps(out: Output, report: dict[str, Any]) -> None:
    if report["steps"] is None:
        out.line(f"{report['target']} does not tell the time of its layers")
        return
    rows = [
        (
            row["layer"],
            row["kernel"],
            f"{row['us']:.2f}",
            percent(row["share"]),
            *(_limit(row) if "least_us" in row else ()),
        )
        for row in report["steps"]
    ]
    header = ("layer", "kernel", "us", "share")
    more = ("at best, us", "reached", "bound by") if "least_us" in report["steps"][0] else ()
    out.table((*header, *more), rows)
    if (report["threads_used"] or 1) > 1:
        out.line("layers are timed with one sample and one thread")
    if report["limits"]:
        out.line()
        out.line(f"machine at best, 10^9 a second: {_limits(report['limits'])}")


def _limit(row: dict[str, Any]) -> tuple[str, str, str]:
    return f"{row['least_us']:.2f}", percent(row["of_limit"]), row["bound"].replace("_", " ")


def _limits(limits: dict[str, float]) -> str:
    rates = {key: value for key, value in limits.items() if key != "memory"}
    shown = (f"{key.replace('_', ' ')} {value:.4g}" for key, value in rates.items())
    of = f" bytes, of {limits['memory'] / 1e6:.3g} MB" if "memory" in limits else ""
    return ", ".join(shown) + of


def _ms(value: float) -> str:
    return f"{value:.4g}"


def _plural(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _write(path: Path, measured: Benchmark) -> None:
    """Write the trace. Raises `UsageError`."""
    import json

    from snnc.driver.benchmarking import trace
    from snnc.new_file import new_file

    try:
        with new_file(path) as temporary:
            temporary.write_text(json.dumps(trace(measured)), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from None
