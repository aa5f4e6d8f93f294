"""Compare a program with the reference (S24): every spike, count and readout.

Where the artifact stores what its inputs gave, the program's counts and readouts are compared with
these integers too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnc.artifact import Samples
from snnc.errors import CheckFailed
from snnc.ir import Graph
from snnc.memory import COMPARED_EVENTS, rows_that_fit
from snnc.target import Program, RunResult
from snnc.transform import Batches, Progress, silent

InputKind = Literal["data", "stored", "random"]
"""Where the inputs come from: data of the user's, the artifact, or a seed."""
FLOAT_TOLERANCE = 0.01
"""Largest fraction of differing spikes that is accepted for graphs of real values."""
SPIKES = ("spikes", "stored_spikes")
"""Of these kinds some may differ in graphs of real values."""
KINDS = ("spikes", "counts", "readouts", "stored_spikes", "stored_readouts")


@dataclass(frozen=True)
class Comparison:
    """Result of a comparison with the reference.

    Attributes:
        quantized: the graph is integer, so an exact target must be equal.
        samples: number of inputs.
        compared: number of values compared per kind. `spikes`: every neuron at every step;
            `counts`; `readouts` of a quantised graph; the same two of the integers stored in the
            artifact, if it has any: `stored_spikes` and `stored_readouts`.
        differing: number of differing values per kind; for `stored_spikes` the sum of the
            differences of the counts.
        nodes: number of differing spikes per node, for nodes with any.
        classes_differing: samples with a different arg max.
        output_max_abs_diff: largest absolute difference of an output.
        timesteps: the window T.
        inputs: where they come from.
        seed: of spiking encoders.
        target: text of the target that was compared with the reference.
        legalize: the passes that the target ran on its copy of the graph; "" for none.
        inexact: why the target does not promise equality; "" if it does.
    """

    quantized: bool
    samples: int
    compared: dict[str, int]
    differing: dict[str, int]
    nodes: dict[str, int]
    classes_differing: int
    output_max_abs_diff: float
    timesteps: int
    inputs: InputKind = "data"
    seed: int = 0
    target: str = ""
    legalize: str = ""
    inexact: str = ""

    @property
    def rate(self) -> float:
        """Fraction of the spikes that differ from the reference's, or from the stored ones."""
        return max(self.differing[kind] / max(1, self.compared[kind]) for kind in SPIKES)

    @property
    def equal(self) -> bool:
        """No value differs."""
        return not any(self.differing.values())

    @property
    def unpromised(self) -> str:
        """Why equality is not required: an inexact target, or real values; "" if it is."""
        return self.inexact or ("" if self.quantized else "real values")

    @property
    def passed(self) -> bool:
        """Integer graphs: no value differs. Real ones: at most `FLOAT_TOLERANCE` of the spikes.

        Always true for an `inexact` target.
        """
        if self.inexact:
            return True
        return self.equal if self.quantized else self.rate <= FLOAT_TOLERANCE

    @property
    def verdict(self) -> Literal["equal", "not judged", "within tolerance", "differs"]:
        """The result in a word or two."""
        if self.equal:
            return "equal"
        if self.inexact:
            return "not judged"
        return "within tolerance" if self.passed else "differs"

    def require(self) -> None:
        """Raise `CheckFailed` unless `passed`."""
        if self.passed:
            return
        stored = sum(number for kind, number in self.differing.items() if "stored" in kind)
        total = sum(self.differing.values()) - stored
        first = next(iter(self.nodes), "the readout")
        said = [f"{total} values differ from the reference, the first in {first}"] if total else []
        said += [f"{stored} values differ from those stored in the artifact"] if stored else []
        raise CheckFailed(
            "; ".join(said),
            hint=None if self.quantized else f"{self.rate:.2%} of the spikes; 1 % is tolerated",
        )

    def report(self) -> dict[str, Any]:
        """JSON-able, keys as in docs/report.md."""
        return {
            "target": self.target,
            "quantized": self.quantized,
            "legalize": self.legalize,
            "inexact": self.inexact,
            "timesteps": self.timesteps,
            "inputs": self.inputs,
            "seed": self.seed,
            "samples": self.samples,
            "compared": self.compared,
            "differing": self.differing,
            "differing_nodes": self.nodes,
            "differing_spike_rate": self.rate,
            "classes_differing": self.classes_differing,
            "output_max_abs_diff": self.output_max_abs_diff,
            "equal": self.equal,
            "passed": self.passed,
            "verdict": self.verdict,
        }


@dataclass
class _Sums:
    samples: int
    compared: dict[str, int]
    differing: dict[str, int]
    nodes: dict[str, int]
    classes: int
    diff: float


def compare(
    program: Program,
    reference: Program,
    graph: Graph,
    data: Batches,
    *,
    timesteps: int,
    stored: Samples | None = None,
    seed: int = 0,
    progress: Progress = silent,
    total: int | None = None,
) -> Comparison:
    """Run both on all of `data` and compare them value by value.

    Args:
        graph: the `snn` graph that the reference runs.
        stored: what is stored of all of `data`, over this window, to compare with as well.
        total: number of samples, for the progress bar.

    Raises:
        CheckFailed: the program does not record a node that the reference records, or that is
            stored.
    """
    sums = _Sums(0, dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0), {}, 0, 0.0)
    with progress("verify", total) as advance:
        for x in _chunks(data, _chunk_size(graph, timesteps)):
            ids = np.arange(sums.samples, sums.samples + len(x))
            runs = [
                runner.run(x, timesteps=timesteps, record="spikes", sample_ids=ids, seed=seed)
                for runner in (program, reference)
            ]
            _add(sums, *runs)
            if stored is not None:
                _add_stored(sums, runs[0], stored, ids)
            sums.samples += len(x)
            advance(len(x))
    quantized = graph.type_of(graph.outputs[0]).quantized
    return replace(_comparison(sums, quantized, timesteps), seed=seed)


def _comparison(sums: _Sums, quantized: bool, timesteps: int) -> Comparison:
    return Comparison(
        quantized=quantized,
        samples=sums.samples,
        compared=sums.compared,
        differing=sums.differing,
        nodes=sums.nodes,
        classes_differing=sums.classes,
        output_max_abs_diff=sums.diff,
        timesteps=timesteps,
    )


def _chunk_size(graph: Graph, timesteps: int) -> int:
    """Number of samples whose spikes are held at once."""
    elements = sum(kind.size for kind in graph.types().values())
    return rows_that_fit(COMPARED_EVENTS, elements * timesteps)


def _chunks(data: Batches, size: int) -> Iterator[NDArray[np.float32]]:
    for x, _ in data:
        for start in range(0, len(x), size):
            yield x[start : start + size]


def _add(sums: _Sums, actual: RunResult, expected: RunResult) -> None:
    missing = sorted(set(expected.spikes) - set(actual.spikes))
    if missing:
        raise CheckFailed(f"the target does not record the spikes of {', '.join(missing)}")
    for name, spikes in expected.spikes.items():
        wrong = _differing(actual.spikes[name], spikes)
        sums.compared["spikes"] += spikes.size
        sums.differing["spikes"] += wrong
        if wrong:
            sums.nodes[name] = sums.nodes.get(name, 0) + wrong
    for name, counts in expected.counts.items():
        sums.compared["counts"] += counts.size
        sums.differing["counts"] += _differing(actual.counts[name], counts)
    _add_outputs(sums, actual, expected)


def _add_stored(sums: _Sums, actual: RunResult, stored: Samples, rows: NDArray[np.int64]) -> None:
    missing = sorted(set(stored.counts) ^ set(actual.counts))
    if missing:
        raise CheckFailed(f"of {', '.join(missing)} counts are stored, or recorded, but not both")
    for name, counts in stored.counts.items():
        sums.compared["stored_spikes"] += counts[rows].size * actual.timesteps
        difference = counts[rows].astype(np.int64) - actual.counts[name].astype(np.int64)
        sums.differing["stored_spikes"] += int(np.abs(difference).sum())
    if stored.readout is not None:
        sums.compared["stored_readouts"] += stored.readout[rows].size
        sums.differing["stored_readouts"] += _differing(actual.readout, stored.readout[rows])


def _add_outputs(sums: _Sums, actual: RunResult, expected: RunResult) -> None:
    if expected.readout is not None:
        sums.compared["readouts"] += expected.readout.size
        sums.differing["readouts"] += _differing(actual.readout, expected.readout)
    rows = (actual.output.reshape(len(actual.output), -1), expected.output)
    ours, theirs = rows[0], rows[1].reshape(rows[0].shape)
    sums.classes += int((ours.argmax(1) != theirs.argmax(1)).sum())
    sums.diff = max(sums.diff, float(np.abs(ours - theirs).max()))


def _differing(actual: Any, expected: NDArray[np.generic]) -> int:
    if actual is None or actual.shape != expected.shape:
        return expected.size
    return int(np.count_nonzero(actual != expected))
