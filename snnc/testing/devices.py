"""The contract of devices of crossbar cells."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from snnc.device import Device, DeviceFacts, ReadNoise, levels_of, nominal_us
from snnc.testing.round_trip import assert_round_trip

LARGEST = (1, 3, 15)
SHAPES = ((), (0,), (7,), (3, 4, 5))
CELLS = 2000
SECONDS = (0.0, 1.0, 1e6)


def assert_device_contract(device: Device) -> None:
    """Assert that a device fulfils the contract of `snnc.device.Device`.

    Its options as text read back as the same device, and 0 <= g_min_us < g_max_us; a list of levels
    ascends from the one to the other, without `max_levels`. Conductances
    are float32, of the shape of the levels, finite, not negative, and at most `g_max_us` unless
    `facts.exceeds`; so is read noise, without the bound. Arguments are not changed, and one seed
    gives one result. Cells of level 0 conduct less than those of the largest level. Of an ideal
    device every level is read as its conductance without errors.

    Args:
        device: the device, with its options.

    Raises:
        AssertionError: naming the method and what it returned.
    """
    assert_round_trip(device, "device")
    facts = device.facts
    assert 0 <= facts.g_min_us < facts.g_max_us and isfinite(facts.g_max_us), f"limits: {facts}"
    most = facts.most_levels
    assert most is None or most >= 2, f"a cell of {most} levels, fewer than 2"
    if facts.levels_us is not None:
        _assert_list(facts, facts.levels_us)
        _assert_levels(device, len(facts.levels_us) - 1)
        return
    for largest in LARGEST:
        if most is None or largest < most:
            _assert_levels(device, largest)


def _assert_list(facts: DeviceFacts, levels_us: tuple[float, ...]) -> None:
    assert (np.diff(levels_us) > 0).all(), f"levels do not ascend: {levels_us}"
    ends, limits = (levels_us[0], levels_us[-1]), (facts.g_min_us, facts.g_max_us)
    assert ends == limits, f"levels from {ends[0]:g} to {ends[1]:g} uS, but the limits are {limits}"
    assert facts.max_levels is None, f"max_levels={facts.max_levels} beside a list of levels"


def _assert_levels(device: Device, largest: int) -> None:
    what = f"{device.name}, levels 0..{largest}"
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        _assert_cells(device, rng.integers(0, largest + 1, shape), largest, what)
    silent = _assert_cells(device, np.zeros(CELLS, np.int64), largest, what)
    full = _assert_cells(device, np.full(CELLS, largest), largest, what)
    assert silent.mean() < full.mean(), f"{what}: level 0 conducts as much as level {largest}"
    small = np.arange(largest + 1, dtype=np.uint8)
    wide = device.program(small.astype(np.int64), largest, np.random.default_rng(1))
    same = np.array_equal(device.program(small, largest, np.random.default_rng(1)), wide)
    assert same, f"{what}: the result depends on the type of the levels"


def _assert_cells(
    device: Device, levels: NDArray[np.integer], largest: int, what: str
) -> NDArray[np.float32]:
    given = levels.copy()
    programmed = _repeated(lambda rng: device.program(levels, largest, rng), f"{what}: program")
    assert np.array_equal(levels, given), f"{what}: program changes the levels it is given"
    _assert_conductances(device, programmed, levels.shape, f"{what}: program")
    before = programmed.copy()
    for seconds in SECONDS:
        part = f"{what}: read after {seconds:g} s"
        read = _repeated(lambda rng, t=seconds: device.read(programmed, rng, t), part)
        assert np.array_equal(programmed, before), f"{part} changes what was programmed"
        _assert_conductances(device, read, levels.shape, part)
        if isinstance(device, ReadNoise):
            _assert_noise(device.read_noise_us(read, seconds), levels.shape, f"{part}: its noise")
        if device.facts.ideal:
            nominal = levels_of(nominal_us(levels, largest, device.facts), device.facts, largest)
            error = np.abs(levels_of(read, device.facts, largest) - nominal).max(initial=0)
            assert error < 1e-3, f"{part}: an ideal device is off by {error:g} levels"
    return programmed


def _assert_noise(noise: NDArray[np.float32], shape: tuple[int, ...], what: str) -> None:
    kind = (noise.dtype, noise.shape)
    assert kind == (np.float32, shape), f"{what} is {kind}, not float32 of shape {shape}"
    assert np.isfinite(noise).all() and (noise >= 0).all(), f"{what} is negative or not finite"


def _repeated(
    draw: Callable[[np.random.Generator], NDArray[np.float32]], what: str
) -> NDArray[np.float32]:
    """The result of `draw`, asserted to be the same for the same seed."""
    first, second = draw(np.random.default_rng(1)), draw(np.random.default_rng(1))
    assert np.array_equal(first, second), f"{what}: one seed gives two results"
    return first


def _assert_conductances(
    device: Device, conductances: NDArray[np.float32], shape: tuple[int, ...], what: str
) -> None:
    kind = (conductances.dtype, conductances.shape)
    assert kind == (np.float32, shape), f"{what} gives {kind}, not float32 of shape {shape}"
    assert np.isfinite(conductances).all(), f"{what} gives conductances that are not finite"
    low, high = conductances.min(initial=0), conductances.max(initial=0)
    assert low >= 0, f"{what} gives the negative conductance {low:g} uS"
    # The bound of float32 rounding: one unit in the last place.
    bound = np.nextafter(np.float32(device.facts.g_max_us), np.float32(np.inf))
    within = device.facts.exceeds or high <= bound
    assert within, f"{what} gives {high:g} uS, above g_max_us={device.facts.g_max_us:g}"
