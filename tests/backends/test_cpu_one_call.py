"""A batch that goes through one compiled function per sample gives what other batches give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnc.errors import DataError
from snnc.native.cache import open_cache
from snnc.testing import quantized_cases, sample_inputs, snn_cases
from snnc_backends.cpu.lower import lower
from snnc_backends.cpu.program import CpuProgram, load


def program(graph: Any, timesteps: int = 4, threads: int = 1) -> CpuProgram:
    """The CPU program of a graph."""
    plan, weights = lower(graph, timesteps)
    return load(plan.to_json(), weights, threads, open_cache())


@pytest.mark.parametrize(
    "case", (*quantized_cases()[::4], *snn_cases()[::8]), ids=lambda case: case.name
)
def test_plain_and_recorded_runs_agree(case: Any) -> None:
    loaded = program(case.graph, 5, 2)
    x = np.ascontiguousarray(3 * sample_inputs(case.graph, 7) - 1, np.float32)
    recorded = loaded.run(x, record="counts")
    for _ in range(2):
        plain = loaded.run(x)
        np.testing.assert_array_equal(plain.output, recorded.output)
        np.testing.assert_array_equal(plain.readout, recorded.readout)
        assert plain.stats == recorded.stats and plain.timesteps == 5
        assert plain.output.dtype == np.float32 and plain.counts == plain.spikes == {}
    single = loaded.run(x[3:4], timesteps=2)
    expected = loaded.run(x[3:4], timesteps=2, record="counts")
    np.testing.assert_array_equal(single.readout, expected.readout)


def test_values_outside_the_range_and_infinite_ones(small: Any) -> None:
    loaded = program(small())
    x = np.random.default_rng(0).random((3, 2, 5, 5), dtype=np.float32)
    x[0, 0, 0, 0], x[1, 1, 2, 2], x[2, 0, 1, 1] = np.inf, -np.inf, 3e38
    plain, recorded = loaded.run(x), loaded.run(x, record="counts")
    assert plain.stats == recorded.stats == {"saturated": {"encode": 3}}
    np.testing.assert_array_equal(plain.readout, recorded.readout)
    x[1, 0, 3, 3] = np.nan
    with pytest.raises(DataError, match="sample 1 of the input holds NaN"):
        loaded.run(x)


@pytest.mark.parametrize(
    "change",
    [
        np.asfortranarray,
        lambda x: x.astype(np.float64),
        lambda x: x[::-1][::-1],
        lambda x: x.tolist(),
    ],
)
def test_other_layouts_and_types_of_the_input(small: Any, change: Any) -> None:
    loaded = program(small())
    x = np.random.default_rng(0).random((3, 2, 5, 5), dtype=np.float32)
    np.testing.assert_array_equal(loaded.run(change(x)).readout, loaded.run(x).readout)
