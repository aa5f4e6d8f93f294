"""`snnc run`: an artifact on an array."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from snnc.cli import options
from snnc.cli.console import Output
from snnc.cli.cost_lines import show_cost
from snnc.errors import UsageError
from snnc.writes import Writes

if TYPE_CHECKING:
    import numpy as np

    from snnc.target import RunResult


Outputs = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="Y.npy",
        help="Outputs, float32.",
        callback=options.writable_file,
    ),
    Writes(),
]
Spikes = Annotated[
    Path | None,
    typer.Option(
        "--spikes",
        metavar="S.npz",
        help="Spikes (T, N, …) of every node.",
        callback=options.writable_file,
    ),
    Writes(),
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    options.add(app, "run", run_artifact)


def run_artifact(
    *,
    artifact: options.Artifact,
    data: Annotated[
        str, typer.Option("--input", metavar="X.npy", help="Samples (N, …), or any DATA.")
    ],
    output: Outputs = None,
    timesteps: options.Timesteps = None,
    spikes: Spikes = None,
    seed: options.Seed = 0,
    threads: options.Threads = None,
    out: options.Out,
) -> None:
    """Run a compiled network.

    Example: snnc run net.snnc --input x.npy -o y.npy --spikes s.npz
    """
    from snnc.driver.running import run_on_data

    record = "none" if spikes is None else "spikes"
    result = run_on_data(
        artifact,
        data,
        timesteps=timesteps,
        record=record,
        seed=seed,
        threads=threads,
        progress=out.progress,
        log=out.log,
    )
    if output is not None:
        _save(output, result.output)
    if spikes is not None:
        _save_spikes(spikes, result)
    out.document(_report(artifact, result, output, spikes))
    _show(out, result, output, spikes)


def _report(
    artifact: Path, result: RunResult, output: Path | None, spikes: Path | None
) -> dict[str, Any]:
    return {
        "kind": "run",
        "artifact": str(artifact.resolve()),
        "samples": len(result.output),
        "timesteps": result.timesteps,
        "output": result.output.tolist() if output is None else None,
        "output_file": None if output is None else str(output.resolve()),
        "spikes_file": None if spikes is None else str(spikes.resolve()),
        **result.stats,
    }


def _show(out: Output, result: RunResult, output: Path | None, spikes: Path | None) -> None:
    if output is None:
        rows = result.output.reshape(len(result.output), -1)
        for number, row in enumerate(rows):
            out.line(f"{number}: class {row.argmax()}  {' '.join(f'{v:.5g}' for v in row[:20])}")
    for path in (output, spikes):
        if path is not None:
            out.line(f"wrote {path}")
    show_cost(out, result.stats.get("cost"))


def _save(path: Path, array: np.ndarray) -> None:
    import numpy as np

    with _written(path) as file:
        np.save(file, array, allow_pickle=False)


def _save_spikes(path: Path, result: RunResult) -> None:
    import numpy as np

    arrays: dict[str, Any] = dict(result.spikes)
    with _written(path) as file:
        np.savez_compressed(file, **arrays)


@contextmanager
def _written(path: Path) -> Generator[BinaryIO, None, None]:
    """A file that replaces `path` when it is complete. Raises `UsageError`."""
    from snnc.new_file import new_file

    try:
        with new_file(path) as temporary, temporary.open("wb") as file:
            yield file
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from None
