"""The table of a plan that `inspect --plan` shows."""

from __future__ import annotations

from typing import Any

import pytest

from snnc.testing import quantized_cases
from snnc_backends.cpu.kernels import PLAIN
from snnc_backends.cpu.lower import lower
from snnc_backends.cpu.plan_rows import plan_rows


def test_every_step_has_a_row_with_an_expected_time() -> None:
    for case in quantized_cases():
        plan, weights = lower(case.graph, 4)
        rows = plan_rows(plan, case.graph)
        assert [row["layer"] for row in rows] == [plan.tensors[s.output].name for s in plan.steps]
        assert [row["kernel"] for row in rows] == [step.kernel.name for step in plan.steps]
        assert all(row["us"] >= 0 for row in rows) and any(row["us"] > 0 for row in rows)
        assert sum(row["constants"] for row in rows) <= len(weights)


def test_long_plans_are_shared_by_threads(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, _ = lower(small(), 4)
    assert {row["threads"] for row in plan_rows(plan, small(), 3)} == {1}
    monkeypatch.setattr("snnc_backends.cpu.parts.NS_PER_PART", 1e-3)
    assert {row["threads"] for row in plan_rows(plan, small(), 3)} == {3}


def test_more_events_cost_more_time(small: Any) -> None:
    graph = small()
    plan, _ = lower(graph, 4, PLAIN)
    graph.stats["act"] = {"rate": 0.01}
    few = sum(row["us"] for row in plan_rows(plan, graph))
    graph.stats["act"] = {"rate": 0.9}
    many = sum(row["us"] for row in plan_rows(plan, graph))
    assert many > few
