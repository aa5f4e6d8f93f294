"""The contract of passes, and golden texts of what they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from snnc.errors import PassError, UnsupportedError
from snnc.ir import Stage
from snnc.ir.parse import parse
from snnc.ir.text import to_text
from snnc.pipeline import Pipeline, format_spec
from snnc.testing.graphs import Case, ann_cases, lowered_ann_cases, sample_inputs, snn_cases
from snnc.testing.round_trip import assert_round_trip
from snnc.transform import Pass, PassContext

BATCHES, BATCH = 2, 4


def assert_pass_contract(
    tested: Pass, *, cases: Sequence[Case] | None = None, ctx: PassContext | None = None
) -> None:
    """Assert that a pass fulfils the contract on small graphs of the stage it takes.

    On every graph: the input is not changed, the result verifies and has the declared stage, and
    the same seed gives the same result. A pass may refuse a graph with `PassError` or
    `UnsupportedError`, but must accept at least one. The options as text read back as the same
    pass.

    Args:
        tested: the pass, with its options.
        cases: graphs to use instead of those of `snnc.testing`.
        ctx: context to use instead of one with seeded random data in every field.

    Raises:
        AssertionError: naming the graph and the broken rule.
    """
    assert_round_trip(tested, "pass")
    chosen = _cases(tested) if cases is None else cases
    refusals = [_refusal(tested, case, ctx) for case in chosen]
    assert None in refusals, f"{tested.name} refuses every graph: {'; '.join(map(str, refusals))}"


def assert_pass_golden(
    tested: Pass, before: str, golden: str, *, ctx: PassContext | None = None
) -> None:
    """Assert that the texts of a graph before and after a pass are the golden text.

    Args:
        tested: the pass, with its options.
        before: the graph as text, in the form of `snnc.ir.text.to_text`.
        golden: the fixture of `snnc.testing.golden`; accept a new text with `--update-golden`.
        ctx: context to use instead of an empty one.
    """
    graph = parse(before)
    after = Pipeline([tested]).run(graph, ctx or PassContext()).graph
    text = f"{to_text(graph)}\n{format_spec(tested)}\n\n{to_text(after)}"
    assert text == golden


def _cases(tested: Pass) -> Sequence[Case]:
    """Graphs of the stage; for passes from `ann` to `snn`, with only the ops of both stages."""
    if tested.takes is Stage.SNN:
        return snn_cases()
    return ann_cases() if tested.gives is Stage.ANN else lowered_ann_cases()


def default_context(case: Case) -> PassContext:
    """A context with seeded random data for calibration, training and validation."""
    outputs = case.graph.type_of(case.graph.outputs[0]).shape[0]
    labels = np.random.default_rng(0)
    data = [
        (sample_inputs(case.graph, BATCH, seed), labels.integers(0, outputs, BATCH))
        for seed in range(BATCHES)
    ]
    return PassContext(timesteps=4, ann=case.ann, calibration=data, train=data, validation=data[:1])


def _refusal(tested: Pass, case: Case, ctx: PassContext | None) -> str | None:
    """Check one graph; the reason if the pass refuses it, else None."""
    before = case.graph.fingerprint()
    try:
        first = tested.run(case.graph.clone(), _context(case, ctx)).graph
    except (PassError, UnsupportedError) as error:
        return f"{case.name}: {error}"
    finally:
        untouched = case.graph.fingerprint() == before
        assert untouched, f"{tested.name} changes the graph it was given ({case.name})"
    # The manager verifies the result and compares its stage with the declared one.
    second = Pipeline([tested]).run(case.graph, _context(case, ctx)).graph
    same = first.fingerprint() == second.fingerprint()
    assert same, f"{tested.name} gives different graphs for one seed ({case.name})"
    return None


def _context(case: Case, ctx: PassContext | None) -> PassContext:
    return replace(ctx or default_context(case), rng=np.random.default_rng(0))
