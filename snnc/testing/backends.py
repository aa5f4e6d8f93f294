"""The contract of backends: equality with the reference, integer for integer.

For a backend that declares itself inexact, the fraction of differing spikes is bounded instead;
see `snnc.testing.inexact`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from snnc.analysis import SameFunction
from snnc.artifact import open_artifact, write
from snnc.ir import Graph, Readout
from snnc.pipeline import format_spec, legalized
from snnc.plugins import BACKENDS, Registry
from snnc.target import Backend, Program, RunResult, why_inexact
from snnc.testing.graphs import Case, quantized_cases, sample_inputs
from snnc.testing.inexact import Difference, assert_same_form, assert_silent, without_biases
from snnc.transform import PassContext

SAMPLES = 5
CALIBRATION = 16
SEED = 3
LATE = 2
REFERENCE = "reference"


def assert_backend_contract(
    backend: Backend,
    *,
    cases: Sequence[Case] | None = None,
    timesteps: int = 6,
    tolerance: float = 0.0,
) -> None:
    """Assert that a backend equals the reference on small quantised graphs.

    Every spike of every population, every pooled count and every readout integer must be equal;
    a part of the batch and a shorter window must give the same. Graphs that `check` refuses are
    skipped, but not all. The first is run with a late readout (S15) too, unless that is refused.

    A backend that declares itself inexact (`snnc.target.Inexact`) needs a `tolerance`: over all
    graphs, for the window and for a shorter one, at most this fraction of the spikes may differ.
    The same seed must give the same result when run again and when compiled again; results must
    have the nodes, types and shapes of the reference; and without biases and input, a network that
    is silent in the reference must be silent.

    Args:
        backend: the backend, with its options.
        cases: graphs to use instead of the quantised ones of `snnc.testing`.
        timesteps: the window.
        tolerance: largest fraction of differing spikes; 0 for a backend that promises equality.

    Raises:
        AssertionError: naming the graph and the first difference.
    """
    inexact = why_inexact(backend)
    assert 0 <= tolerance < 1, f"tolerance={tolerance} is not a fraction below 1"
    assert inexact or not tolerance, f"{backend.name} promises equality and needs no tolerance"
    assert tolerance or not inexact, f"{backend.name} promises no equality: give a tolerance"
    reference = Registry(BACKENDS).get(REFERENCE)()
    difference = Difference()
    for case in _accepted(backend, quantized_cases() if cases is None else cases):
        if inexact:
            _assert_close_programs(backend, reference, case, timesteps, difference)
        else:
            _assert_equal_programs(backend, reference, case, timesteps)
    difference.require(tolerance)


def _accepted(backend: Backend, cases: Sequence[Case]) -> list[Case]:
    """The cases that the backend does not refuse, asserted to be at least one."""
    refused = {
        case.name: diagnostics[0] for case in cases if (diagnostics := backend.check(case.graph))
    }
    listed = "; ".join(f"{name}: {diagnostic}" for name, diagnostic in refused.items())
    assert len(refused) < len(cases), f"{backend.name} refuses every graph: {listed}"
    accepted = [case for case in cases if case.name not in refused]
    late = _reading_late(accepted[0])
    return [*accepted, *([] if backend.check(late.graph) else [late])]


def _reading_late(case: Case) -> Case:
    """The case with readouts that start at step `LATE`."""
    graph = case.graph.clone()
    for name in graph.outputs:
        op = graph.node(name).op
        assert isinstance(op, Readout)
        graph.replace_op(name, replace(op, start=LATE))
    return replace(case, name=f"{case.name}, late readout", graph=graph)


def load_program(backend: Backend, graph: Graph, timesteps: int) -> Program:
    """Legalise, lower, store, open and load `graph` for a backend, as `compile` and `run` do.

    Passes of `legalize` get a few samples as calibration data, and must preserve the function.
    """
    stored = graph.clone()
    stored.meta["timesteps"] = timesteps
    calibration = [(sample_inputs(stored, CALIBRATION), None)]
    ctx = PassContext(timesteps=timesteps, calibration=calibration)
    legal = legalized(stored, backend, ctx, SameFunction(timesteps=timesteps)).graph
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "contract.snnc"
        target = format_spec(backend)
        write(path, stored, target=target, files=backend.lower(legal, ctx))
        return backend.load(open_artifact(path))


def assert_equal_runs(actual: RunResult, expected: RunResult, what: str) -> None:
    """Assert that two runs agree in output, readout, every count and every spike."""
    _assert_same_array(actual.readout, expected.readout, f"{what}: readout")
    for kind in ("counts", "spikes"):
        ours, theirs = getattr(actual, kind), getattr(expected, kind)
        assert sorted(ours) == sorted(theirs), f"{what}: {kind} of {sorted(ours)}"
        for node in theirs:
            _assert_same_array(ours[node], theirs[node], f"{what}: {kind} of {node}")
    _assert_same_array(actual.output, expected.output, f"{what}: output")


def _loaded(
    backend: Backend, reference: Backend, case: Case, timesteps: int
) -> tuple[Program, Program]:
    """The programs of a case for both backends; the first states the window it was given."""
    ours = load_program(backend, case.graph, timesteps)
    assert ours.timesteps == timesteps, (
        f"{case.name}: timesteps is {ours.timesteps}, not {timesteps}"
    )
    return ours, load_program(reference, case.graph, timesteps)


def _assert_equal_programs(
    backend: Backend, reference: Backend, case: Case, timesteps: int
) -> None:
    ours, theirs = _loaded(backend, reference, case, timesteps)
    x = sample_inputs(case.graph, SAMPLES)
    expected = theirs.run(x, record="spikes", seed=SEED)
    assert_equal_runs(ours.run(x, record="spikes", seed=SEED), expected, case.name)

    ids = np.arange(SAMPLES)
    part = ours.run(x[2:], record="none", sample_ids=ids[2:], seed=SEED)
    _assert_same_array(part.output, expected.output[2:], f"{case.name}: a part of the batch")

    short = ours.run(x, timesteps=timesteps - 1, record="counts", seed=SEED)
    expected = theirs.run(x, timesteps=timesteps - 1, record="counts", seed=SEED)
    assert_equal_runs(short, expected, f"{case.name}, a shorter window")


def _assert_close_programs(
    backend: Backend, reference: Backend, case: Case, timesteps: int, difference: Difference
) -> None:
    ours, theirs = _loaded(backend, reference, case, timesteps)
    x = sample_inputs(case.graph, SAMPLES)
    for steps in (timesteps - 1, timesteps):
        what = f"{case.name}, {steps} steps"
        expected = theirs.run(x, timesteps=steps, record="spikes", seed=SEED)
        actual = ours.run(x, timesteps=steps, record="spikes", seed=SEED, prefixes=(steps,))
        assert_same_form(actual, expected, what)
        prefix = actual.stats["prefixes"][steps]
        _assert_same_array(prefix, actual.output, f"{what}: the full window as a prefix")
        difference.add(actual, expected)
        again = ours.run(x, timesteps=steps, record="spikes", seed=SEED)
        assert_equal_runs(again, actual, f"{what}, run again with the same seed")

    anew = load_program(backend, case.graph, timesteps)
    again = anew.run(x, record="spikes", seed=SEED)
    assert_equal_runs(again, actual, f"{case.name}, compiled again with the same seed")

    silent = without_biases(case.graph)
    zeros = np.zeros_like(x)
    expected = load_program(reference, silent, timesteps).run(zeros, record="counts", seed=SEED)
    actual = load_program(backend, silent, timesteps).run(zeros, record="counts", seed=SEED)
    assert_silent(actual, expected, case.name)


def _assert_same_array(actual: Any, expected: Any, what: str) -> None:
    assert (actual is None) == (expected is None), f"{what}: {actual} instead of {expected}"
    if expected is None:
        return
    assert actual.dtype == expected.dtype, f"{what}: {actual.dtype}, expected {expected.dtype}"
    assert actual.shape == expected.shape, f"{what}: {actual.shape}, expected {expected.shape}"
    wrong = np.argwhere(actual != expected)
    where = tuple(int(i) for i in wrong[0]) if len(wrong) else ()
    assert not len(wrong), (
        f"{what}: {len(wrong)} of {actual.size} differ, first at {where}: "
        f"{actual[where]} instead of {expected[where]}"
    )
