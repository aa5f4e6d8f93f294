"""The simulator of examples/stdp_digits beside a plain numpy simulation of the same equations."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from llvmlite import ir

COUNT = 21


@pytest.fixture(scope="module")
def plain(repository: Path) -> ModuleType:
    path = repository / "tests" / "examples" / "plain_stdp_network.py"
    spec = importlib.util.spec_from_file_location("plain_stdp_network", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def images(count: int) -> np.ndarray:
    rng = np.random.default_rng(7)
    blobs = rng.random((count, 784)) < 0.3
    return (blobs * rng.integers(40, 256, (count, 784))).astype(np.uint8)


def both(stdp_digits: dict[str, ModuleType], plain: ModuleType, dtype: str, **rule: Any) -> float:
    """Learn two images, test one; spikes must be equal. The largest difference of weights."""
    constants, network = stdp_digits["constants"], stdp_digits["network"]
    rule = constants.Rule(**{"eta": 0.02, **rule})
    fast = network.Network(COUNT, rule, 3, dtype)
    fast.plastic[:] = np.random.default_rng(1).random(fast.plastic.shape) < 0.8
    slow = plain.PlainNetwork(
        fast.learned.T.astype(float), fast.plastic.T != 0, fast.neurons, fast.rule
    )
    source = network.Poisson((5,), constants.Presentation(shown=100), fast.neurons.dt)
    spikes = 0
    for number, image in enumerate(images(3)):
        learn = number < 2
        shown = source.draw(image, 4, number)
        if learn:
            fast.normalise()
            slow.normalise()
        found = fast.present(shown, 300, learn)
        expected = []
        for t in range(shown.steps + 300):
            inputs = shown.spikes[slice(*shown.starts[t : t + 2])] if t < shown.steps else ()
            expected += [(t, k) for k in slow.step(np.array(inputs, np.int32), learn)]
        assert [tuple(pair) for pair in found] == expected
        spikes += len(expected)
    assert spikes > 30 and np.ptp(slow.theta) > 0
    assert np.abs(fast.learned.T - fast.weights).max() == 0
    np.testing.assert_allclose(fast.state["theta"], slow.theta, atol=1e-6)
    return float(np.abs(slow.w - fast.weights).max())


@pytest.mark.parametrize("rule", [{}, {"mu": 0.9, "offset": 0.6}, {"mu": 0, "additive": False}])
def test_every_spike_and_weight_is_that_of_the_equations(
    stdp_digits: dict[str, ModuleType], plain: ModuleType, rule: dict[str, Any]
) -> None:
    assert both(stdp_digits, plain, "f64", **rule) < 1e-12


def test_single_precision_stays_close(
    stdp_digits: dict[str, ModuleType], plain: ModuleType
) -> None:
    assert both(stdp_digits, plain, "f32") < 1e-5


def test_input_spikes_are_a_function_of_seed_and_number(stdp_digits: dict[str, ModuleType]) -> None:
    constants, network = stdp_digits["constants"], stdp_digits["network"]
    presentation = constants.Presentation()
    image = (np.arange(784) % 256).astype(np.uint8)
    one, two, other = (
        network.Poisson((seed,), presentation, 0.5).draw(image, 8, 4) for seed in (1, 1, 2)
    )
    assert one.spikes.tobytes() == two.spikes.tobytes() != other.spikes.tobytes()
    counts = np.bincount(one.spikes, minlength=784)
    chance = image * 8.0 * 0.5 / 8000
    spread = np.sqrt(700 * chance * (1 - chance)).clip(1)
    assert counts[0] == 0 and np.abs((counts - 700 * chance) / spread).max() < 5
    assert abs(counts.sum() / (700 * chance.sum()) - 1) < 0.02


@pytest.mark.parametrize("exponent", [None, 0.2, 0.9])
def test_elementary_functions_in_single_precision(
    stdp_digits: dict[str, ModuleType], exponent: float | None
) -> None:
    module = ir.Module("elementary")
    code = stdp_digits["emission"].Code(module, "apply", ("x", "y"), ("count",))
    with code.loop(0, code.arguments["count"], 16) as i:
        x = code.read("x", i, 16)
        if exponent is None:
            y = stdp_digits["elementary"].exponential(code, x, 16)
        else:
            y = stdp_digits["elementary"].power(code, x, exponent, 16)
        code.write(y, "y", i)
    code.end()
    apply = stdp_digits["network"].compiled(module, {"apply": (2, 1)})["apply"]
    x = np.linspace(-40, 0, 4096) if exponent is None else np.geomspace(1e-9, 1, 4096)
    x = x.astype(np.float32)
    if exponent is not None:
        x[0] = 0
    y = np.empty_like(x)
    apply(x.ctypes.data, y.ctypes.data, len(x))
    wide = x.astype(np.float64)
    exact = np.exp(wide) if exponent is None else wide**exponent
    assert np.abs(y - exact).max() < 4e-6
    assert np.abs(y / np.maximum(exact, 1e-30) - 1)[exact > 0].max() < 1e-5


def test_pruned_synapses_stay_pruned_and_the_rest_is_at_levels(
    stdp_digits: dict[str, ModuleType],
) -> None:
    constants, network = stdp_digits["constants"], stdp_digits["network"]
    plan = stdp_digits["compression"].Compression(kept=0.25, levels=4)
    net = network.Network(COUNT, constants.Rule(eta=0.02), 3)
    source = network.Poisson((5,), constants.Presentation(shown=100), net.neurons.dt)
    net.normalise()
    plan.apply(net, 0.25, 0)
    pruned = net.weights == 0
    assert 0.74 < pruned.mean() < 0.76
    before = net.learned.copy()
    for number, image in enumerate(images(3)):
        net.normalise()
        net.present(source.draw(image, 4, number), 100, True)
    net.normalise()
    assert np.abs(net.learned - before).max() > 0.01
    assert (net.weights[pruned] == 0).all() and (net.learned.T[pruned] == 0).all()
    levels = net.weights[~pruned] / net.levels[0]
    assert {2, 3, 4} <= set(np.rint(levels)) <= {1, 2, 3, 4}
    np.testing.assert_allclose(levels, np.rint(levels), rtol=1e-6)
    nearest = np.clip(np.rint(net.learned.T[~pruned] / net.levels[0]), 1, 4)
    assert (nearest == np.rint(levels)).mean() > 0.999


@pytest.mark.parametrize("by", ["weight", "random"])
def test_a_control_has_exactly_as_many_synapses(
    stdp_digits: dict[str, ModuleType], by: str
) -> None:
    """Also where the rule has made some of those zero that a choice would keep."""
    constants, network = stdp_digits["constants"], stdp_digits["network"]
    plan = stdp_digits["compression"].Compression(kept=0.3, spare=1.5, total=COUNT * 200, by=by)
    net = network.Network(COUNT, constants.Rule(), 3)
    net.learned *= np.random.default_rng(2).random(net.learned.shape) < 0.6
    assert plan.fraction(10**6) == pytest.approx(0.45)
    plan.apply(net, 0.45, 0)
    net.learned[:, ::50] = 0
    before = net.learned.copy()
    plan.finish(net, 0)
    assert (net.kept != 0).sum() == (net.weights > 0).sum() == COUNT * 200
    if by == "weight":
        kept, gone = (before[(net.kept != 0) == choice] for choice in (True, False))
        assert kept.min() >= gone.max()


def test_soft_masks_let_synapses_come_back(stdp_digits: dict[str, ModuleType]) -> None:
    constants, network = stdp_digits["constants"], stdp_digits["network"]
    for hard in (True, False):
        plan = stdp_digits["compression"].Compression(kept=0.5, levels=0, hard=hard)
        net = network.Network(COUNT, constants.Rule(), 3)
        net.normalise()
        plan.apply(net, 0.5, 0)
        pruned = net.kept == 0
        net.learned[pruned] += 0.9 * (net.plastic[pruned] != 0)
        plan.apply(net, 0.5, 0)
        assert (net.kept[pruned] == 0).all() == hard


def test_levels_of_least_squares(stdp_digits: dict[str, ModuleType]) -> None:
    fit = stdp_digits["compression"].fit_levels
    w = np.random.default_rng(0).random(1000)
    assert fit(w, 1) == pytest.approx(w.mean())
    exact = np.repeat([0.2, 0.4, 0.6], 50)
    assert fit(exact, 3) == pytest.approx(0.2)
    assert fit(w[:0], 3) == 0


def test_a_wrong_option_is_refused(stdp_digits: dict[str, ModuleType]) -> None:
    plan = stdp_digits["compression"].Compression()
    with pytest.raises(ValueError, match="not a fraction"):
        replace(plan, kept=0)
    with pytest.raises(ValueError, match="neither"):
        replace(plan, by="chance")
