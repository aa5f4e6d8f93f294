"""What every pass must keep to, whoever wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from snnc.errors import PassError, UnsupportedError
from snnc.ir import Stage
from snnc.pipeline import Pipeline
from snnc.testing.graphs import Case, ann_cases, lowered_ann_cases, sample_inputs, snn_cases
from snnc.testing.round_trip import assert_round_trip
from snnc.transform import Pass, PassContext

BATCHES, BATCH = 2, 4


def assert_pass_contract(
    each: Pass, *, cases: Sequence[Case] | None = None, ctx: PassContext | None = None
) -> None:
    """Assert that a pass keeps to the contract on small graphs of the stage it takes.

    On every graph: the input is left untouched, the result verifies, its stage is the one that was
    declared, and the same seed gives the same result. `PassError` and `UnsupportedError` are lawful
    refusals of a graph, but one graph at least must be accepted. The options as text must read back
    as the same pass.

    Args:
        each: the pass, with its options.
        cases: graphs to use instead of those of `snnc.testing`.
        ctx: context to use instead of one with seeded random data in every field.
    """
    assert_round_trip(each, "pass")
    chosen = _cases(each) if cases is None else cases
    refusals = [_refusal(each, case, ctx) for case in chosen]
    assert None in refusals, f"{each.name} refuses every graph: {'; '.join(map(str, refusals))}"


def _cases(each: Pass) -> Sequence[Case]:
    """Graphs of the stage; to leave stage `ann`, they must have no other ops than both know."""
    if each.takes is Stage.SNN:
        return snn_cases()
    return ann_cases() if each.gives is Stage.ANN else lowered_ann_cases()


def default_context(case: Case) -> PassContext:
    """A context with seeded random data for calibration, training and validation."""
    outputs = case.graph.type_of(case.graph.outputs[0]).shape[0]
    labels = np.random.default_rng(0)
    data = [
        (sample_inputs(case.graph, BATCH, seed), labels.integers(0, outputs, BATCH))
        for seed in range(BATCHES)
    ]
    return PassContext(timesteps=4, ann=case.ann, calibration=data, train=data, validation=data[:1])


def _refusal(each: Pass, case: Case, ctx: PassContext | None) -> str | None:
    """Check one graph; the reason if the pass refuses it, else None."""
    before = case.graph.fingerprint()
    try:
        first = each.run(case.graph.clone(), _context(case, ctx)).graph
    except (PassError, UnsupportedError) as error:
        return f"{case.name}: {error}"
    finally:
        untouched = case.graph.fingerprint() == before
        assert untouched, f"{each.name} changes the graph it was given ({case.name})"
    # The manager verifies the result and compares its stage with the declared one.
    second = Pipeline([each]).run(case.graph, _context(case, ctx)).graph
    same = first.fingerprint() == second.fingerprint()
    assert same, f"{each.name} gives different graphs for one seed ({case.name})"
    return None


def _context(case: Case, ctx: PassContext | None) -> PassContext:
    return replace(ctx or default_context(case), rng=np.random.default_rng(0))
