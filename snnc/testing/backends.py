"""What every backend must keep to: equality with the reference, integer for integer.

A backend that says that it is inexact is held to a bound instead; see `snnc.testing.inexact`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from snnc.analysis import SameFunction
from snnc.artifact import open_artifact, write
from snnc.ir import Graph
from snnc.pipeline import format_spec, legalized
from snnc.plugins import BACKENDS, Registry
from snnc.target import Backend, Program, RunResult, why_inexact
from snnc.testing.graphs import Case, quantized_cases, sample_inputs
from snnc.testing.inexact import Difference, assert_same_form, assert_silent, without_biases
from snnc.transform import PassContext

SAMPLES = 5
CALIBRATION = 16
SEED = 3
REFERENCE = "reference"


def assert_backend_contract(
    backend: Backend,
    *,
    cases: Sequence[Case] | None = None,
    timesteps: int = 6,
    tolerance: float = 0.0,
) -> None:
    """Assert that a backend gives what the reference gives on small quantised graphs.

    Every spike of every population, every pooled count and every readout integer must be equal;
    a batch, a part of it, and a shorter window must agree. Graphs that `check` refuses are left
    out, but one at least must be accepted.

    A backend that says that it is inexact (`snnc.target.Inexact`) is given a `tolerance`. On all
    graphs together, for the window and for a shorter one, at most this fraction of the spikes may
    differ; the same seed gives the same result, run again and compiled again; results have the
    reference's form; and a network without biases that is silent for the reference stays silent.

    Args:
        backend: the backend, with its options.
        cases: graphs to use instead of the quantised ones of `snnc.testing`.
        timesteps: the window.
        tolerance: largest fraction of differing spikes; 0 for a backend that promises equality.
    """
    inexact = why_inexact(backend)
    assert 0 <= tolerance < 1, f"a tolerance is a fraction of the spikes, not {tolerance}"
    assert inexact or not tolerance, f"{backend.name} promises equality and needs no tolerance"
    assert tolerance or not inexact, f"{backend.name} promises no equality: give a tolerance"
    reference = Registry(BACKENDS).get(REFERENCE)()
    chosen = quantized_cases() if cases is None else cases
    refused = {case.name: found[0] for case in chosen if (found := backend.check(case.graph))}
    assert len(refused) < len(chosen), f"{backend.name} refuses every graph: {_listed(refused)}"
    accepted = [case for case in chosen if case.name not in refused]
    difference = Difference()
    for case in accepted:
        if inexact:
            _assert_close_programs(backend, reference, case, timesteps, difference)
        else:
            _assert_equal_programs(backend, reference, case, timesteps)
    difference.require(tolerance)


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


def assert_equal_runs(found: RunResult, expected: RunResult, what: str) -> None:
    """Assert that two runs agree in output, readout, every count and every spike."""
    _assert_same_array(found.readout, expected.readout, f"{what}: readout")
    for kind in ("counts", "spikes"):
        ours, theirs = getattr(found, kind), getattr(expected, kind)
        assert sorted(ours) == sorted(theirs), f"{what}: {kind} of {sorted(ours)}"
        for node in theirs:
            _assert_same_array(ours[node], theirs[node], f"{what}: {kind} of {node}")
    _assert_same_array(found.output, expected.output, f"{what}: output")


def _assert_equal_programs(
    backend: Backend, reference: Backend, case: Case, timesteps: int
) -> None:
    ours = load_program(backend, case.graph, timesteps)
    theirs = load_program(reference, case.graph, timesteps)
    assert ours.timesteps == timesteps, f"{case.name}: the artifact forgets its window"
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
    ours = load_program(backend, case.graph, timesteps)
    theirs = load_program(reference, case.graph, timesteps)
    assert ours.timesteps == timesteps, f"{case.name}: the artifact forgets its window"
    x = sample_inputs(case.graph, SAMPLES)
    for steps in (timesteps - 1, timesteps):
        what = f"{case.name}, {steps} steps"
        expected = theirs.run(x, timesteps=steps, record="spikes", seed=SEED)
        found = ours.run(x, timesteps=steps, record="spikes", seed=SEED, prefixes=(steps,))
        assert_same_form(found, expected, what)
        prefix = found.stats["prefixes"][steps]
        _assert_same_array(prefix, found.output, f"{what}: the output of the whole as a prefix")
        difference.add(found, expected)
        again = ours.run(x, timesteps=steps, record="spikes", seed=SEED)
        assert_equal_runs(again, found, f"{what}, run again with the same seed")

    anew = load_program(backend, case.graph, timesteps)
    again = anew.run(x, record="spikes", seed=SEED)
    assert_equal_runs(again, found, f"{case.name}, compiled again with the same seed")

    silent = without_biases(case.graph)
    zeros = np.zeros_like(x)
    expected = load_program(reference, silent, timesteps).run(zeros, record="counts", seed=SEED)
    found = load_program(backend, silent, timesteps).run(zeros, record="counts", seed=SEED)
    assert_silent(found, expected, case.name)


def _listed(refused: dict[str, Any]) -> str:
    return "; ".join(f"{name}: {diagnostic}" for name, diagnostic in refused.items())


def _assert_same_array(found: Any, expected: Any, what: str) -> None:
    assert (found is None) == (expected is None), f"{what}: {found} instead of {expected}"
    if expected is None:
        return
    assert found.dtype == expected.dtype, f"{what}: {found.dtype}, expected {expected.dtype}"
    assert found.shape == expected.shape, f"{what}: {found.shape}, expected {expected.shape}"
    wrong = np.argwhere(found != expected)
    where = tuple(int(i) for i in wrong[0]) if len(wrong) else ()
    assert not len(wrong), (
        f"{what}: {len(wrong)} of {found.size} differ, first at {where}: "
        f"{found[where]} instead of {expected[where]}"
    )
