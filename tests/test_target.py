"""What every program checks before it runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnc.errors import DataError, SnncError, UsageError
from snnc.target import checked_input, checked_window


@pytest.mark.parametrize(
    ("timesteps", "record", "prefixes", "kind", "reason"),
    [
        (2.5, "none", (), DataError, "a window of 2.5 steps; it is a whole number"),
        (True, "none", (), DataError, "a window of True steps"),
        ("8", "none", (), DataError, "a window of '8' steps"),
        (0, "none", (), DataError, "a window of 0 steps; it needs at least one"),
        (4, "none", (5,), DataError, "prefix of 5 steps outside a window of 4"),
        (4, "none", (1.5,), DataError, "a prefix of 1.5 steps"),
        (4, "all", (), UsageError, "record must be one of none, counts, spikes, not 'all'"),
    ],
)
def test_windows_that_cannot_be(
    timesteps: Any, record: str, prefixes: Any, kind: type[SnncError], reason: str
) -> None:
    with pytest.raises(kind) as caught:
        checked_window(timesteps, 8, record, prefixes)
    assert reason in caught.value.message


def test_the_stored_window_is_the_default() -> None:
    assert checked_window(None, 8, "none", (8,)) == 8
    assert checked_window(np.int64(3), 8, "counts", (1, 3)) == 3


@pytest.mark.parametrize(
    ("x", "ids", "reason"),
    [
        ([[0.0, 1.0], [0.0]], None, "the input is not an array: its parts differ in shape"),
        ([["a", "b"]], None, "the input is not an array of numbers"),
        ([[None, 1.0]], None, "the input is not an array of numbers"),
        ([[0.0, 1.0]], ["first"], "sample_ids is not an array of whole numbers"),
        ([[0.0, 1.0]], [0.5], "sample_ids is not an array of whole numbers"),
        ([[0.0, 1.0]], [0, 1], "sample_ids has shape (2,) for 1 samples"),
        ([[0.0]], None, "input has shape (1, 1), the network takes (N, 2)"),
        (np.empty((0, 2)), None, "the input has no samples"),
        ([[0.0, np.nan]], None, "sample 0 of the input holds NaN"),
    ],
)
def test_inputs_that_cannot_be(x: Any, ids: Any, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        checked_input(x, (2,), ids)
    assert reason in caught.value.message


def test_inputs_become_float32() -> None:
    batch, ids = checked_input(np.array([[1, 2]], np.uint8), (2,), None)
    assert batch.dtype == np.float32 and ids.tolist() == [0]
