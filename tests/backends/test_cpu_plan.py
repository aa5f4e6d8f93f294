"""Plans that would read or write outside their buffers are refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnc.errors import ArtifactError
from snnc.testing import quantized_cases
from snnc_backends.cpu.kernels import PLAIN
from snnc_backends.cpu.lower import lower
from snnc_backends.cpu.plan import Plan

Edit = Callable[[dict[str, Any]], Any]


@pytest.fixture(name="stored")
def _stored(small) -> tuple[dict[str, Any], np.ndarray]:
    plan, weights = lower(small(), 4, PLAIN)
    return json.loads(plan.to_json()), np.frombuffer(weights, np.uint8)


def test_a_plan_survives_storing() -> None:
    for case in quantized_cases():
        plan, weights = lower(case.graph, 4)
        assert Plan.from_json(plan.to_json(), np.frombuffer(weights, np.uint8)) == plan


EDITS: dict[str, tuple[Edit, str]] = {
    "newer": (lambda p: p.update(version=6), "version"),
    "late": (lambda p: p["outputs"][0].update(start=1 << 14), "not in"),
    "no tensors": (lambda p: p.pop("tensors"), "tensors"),
    "missing input": (lambda p: p["steps"][0].update(inputs=[7]), "not written yet"),
    "own input": (lambda p: p["steps"][0].update(inputs=[2]), "not written yet"),
    "twice": (lambda p: p["steps"][1].update(output=2), "twice"),
    "negative": (lambda p: p["steps"][0].update(inputs=[-1]), "not in"),
    "smaller output": (lambda p: p["tensors"][2].update(shape=[3, 2, 3]), "output does not fit"),
    "wider output": (lambda p: p["tensors"][2].update(dtype="i8"), "output does not fit"),
    "constant": (lambda p: p["tensors"][3].update(constant=True), "does not fit"),
    "larger input": (lambda p: p["steps"][0]["kernel"].update(height=6), "inputs do not fit"),
    "larger kernel": (lambda p: p["steps"][0]["kernel"].update(kernel_h=9999), "outside"),
    "offset": (lambda p: p["steps"][0]["arrays"].update(weight=64000), "outside"),
    "unaligned": (lambda p: p["steps"][0]["arrays"].update(weight=1), "outside"),
    "array": (lambda p: p["steps"][0]["arrays"].update(other=0), "wrong set of arrays"),
    "kernel": (lambda p: p["steps"][0]["kernel"].update(name="os.system"), "none of"),
    "field": (lambda p: p["steps"][0]["kernel"].update(extra=1), "fields"),
    "kind": (lambda p: p["steps"][0]["kernel"].update(height="6"), "not of type int"),
    "zero stride": (lambda p: p["steps"][0]["kernel"].update(stride_h=0), "not positive"),
    "scale": (lambda p: p["encoding"].update(scale="1"), "scale"),
    "scale NaN": (lambda p: p["encoding"].update(scale=float("nan")), "not a finite number"),
    "encoding": (lambda p: p["encoding"].update(target=2), "twice|fit"),
    "window": (lambda p: p.update(timesteps=0), "not in"),
    "output": (lambda p: p["outputs"][0].update(source=99), "reads nothing"),
    "scales": (lambda p: p["outputs"][0].update(count=3), "scales"),
    "huge": (lambda p: p["tensors"][0].update(shape=[2**30, 2**30]), "shape"),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_wrong_plan_is_refused(stored, name: str) -> None:
    edit, message = EDITS[name]
    data, weights = copy.deepcopy(stored[0]), stored[1]
    edit(data)
    with pytest.raises(ArtifactError, match=message):
        Plan.from_json(json.dumps(data).encode(), weights)


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"\xff", b"[" * 100000, b'{"version": 1}'])
def test_what_is_no_plan_is_refused(text: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"cpu/plan\.json"):
        Plan.from_json(text, np.zeros(64, np.uint8))


def test_tables_of_positions_are_checked(small) -> None:
    plan, weights = lower(small(), 4)
    (gather,) = (step for step in plan.steps if step.kernel.name == "gather")
    blob = np.frombuffer(weights, np.uint8).copy()
    start = gather.arrays["positions"]
    blob[start : start + 4].view(np.int32)[0] = 27
    with pytest.raises(ArtifactError, match="a position outside"):
        Plan.from_json(plan.to_json(), blob)


def test_windows_are_checked() -> None:
    graph = next(case.graph for case in quantized_cases() if case.name == "grouped")
    plan, weights = lower(graph, 4)
    pool = next(step for step in plan.steps if step.kernel.name == "pool")
    blob = np.frombuffer(weights, np.uint8).copy()
    blob[pool.arrays["rows_x"] + 4] = 200
    with pytest.raises(ArtifactError, match="a window outside"):
        Plan.from_json(plan.to_json(), blob)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all numbers, strings and booleans of a JSON document."""
    if isinstance(value, dict):
        return [p for key, item in value.items() for p in leaves(item, (*path, key))]
    if isinstance(value, list):
        return [p for i, item in enumerate(value) for p in leaves(item, (*path, i))]
    return [path]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.integers(0, 10**6),
    st.sampled_from([None, True, 0, -1, 1, 2, 3, 25, 2**31 - 1, 2**70, 0.5, "i8", "", [], {}]),
)
def test_any_changed_field_is_harmless(stored, which: int, value: Any) -> None:
    data, weights = copy.deepcopy(stored[0]), stored[1]
    paths = leaves(data)
    *path, last = paths[which % len(paths)]
    place: Any = data
    for key in path:
        place = place[key]
    place[last] = value
    try:
        plan = Plan.from_json(json.dumps(data).encode(), weights)
    except ArtifactError:
        return
    for step in plan.steps:
        assert tuple(plan.tensors[i].port for i in step.inputs) == step.kernel.inputs()
        assert plan.tensors[step.output].port == step.kernel.output()
