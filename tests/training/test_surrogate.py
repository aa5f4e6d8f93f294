"""Surrogate gradients against finite differences of the frozen-spike network.

With the spikes h0, surrogate slopes s0 and normalised potentials z0 of a baseline run held fixed, a
spike is replaced by the linear map h0 + s0*(z - z0) and the indicator of the reset by h0. Finite
differences of that smooth network equal the surrogate gradient, in which the reset's indicator is a
constant and its threshold is not.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from snnc.errors import UsageError
from snnc.interp import Interpreter
from snnc.ir import EncodeDirect, Graph, Input, Linear, Neuron, Readout, Ref, Stage
from snnc.training import (
    SURROGATES,
    Atan,
    Exponential,
    FastInterpreter,
    FastSigmoid,
    PiecewiseLinear,
    Rectangular,
    Sigmoid,
    Stdb,
    TimedSurrogate,
    Triangle,
    find_surrogate,
)
from snnc.training.surrogate import AnySurrogate

T = 5
SIZES = (4, 6, 5)
Params = Mapping[str, np.ndarray]


def parameters() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    found: dict[str, np.ndarray] = {}
    for i in range(2):
        found[f"w{i}"] = rng.normal(0.4, 0.8, (SIZES[i + 1], SIZES[i]))
        found[f"threshold{i}"] = rng.uniform(0.6, 1.2, SIZES[i + 1])
        found[f"leak{i}"] = np.array(0.9 - 0.1 * i)
        found[f"v_init{i}"] = np.array(0.2)
    found["w2"] = rng.normal(0, 1, (3, SIZES[2]))
    return found


def network(neuron: Mapping[str, object]) -> Graph:
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(SIZES[0],)))
    last = graph.add("enc", EncodeDirect(), ["x"])
    for name, array in parameters().items():
        graph.set_param(name, array)
    for i in range(2):
        last = graph.add(f"fc{i}", Linear(weight=Ref(f"w{i}")), [last])
        values = {name: Ref(f"{name}{i}") for name in ("threshold", "leak", "v_init")}
        last = graph.add(f"act{i}", Neuron(**values, **neuron), [last])  # type: ignore[arg-type]
    graph.add("fc2", Linear(weight=Ref("w2")), [last])
    graph.add("out", Readout(), ["fc2"])
    graph.outputs = ("out",)
    return graph


@dataclass
class Frozen:
    """Per layer and step: (slope, z, value) of each spike, and the indicator of the reset."""

    surrogate: AnySurrogate
    steps: dict[tuple[int, int], tuple[list[np.ndarray], list[np.ndarray], np.ndarray]] = field(
        default_factory=dict
    )

    def slope(self, z: np.ndarray, since: np.ndarray) -> np.ndarray:
        if isinstance(self.surrogate, PiecewiseLinear):
            return 0.3 * np.maximum(0, 1 - np.abs(z))
        if isinstance(self.surrogate, TimedSurrogate):
            return 0.3 * np.exp(-0.01 * since)
        return self.surrogate.gradient(torch.tensor(z)).numpy()


def emit(key: tuple[int, int], p: np.ndarray, v: np.ndarray, total: np.ndarray, signed: bool,
         since: np.ndarray, frozen: Frozen) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The spike as a smooth function, and the frozen indicator; the first call freezes."""
    zs = [p / v - 1, -p / v] if signed else [p / v - 1]
    if key not in frozen.steps:
        h = (p > v).astype(float)
        slopes = [frozen.slope(zs[0], since)]
        if signed:
            h = h - (total > 0) * (p < 0)
            slopes.append(-frozen.slope(zs[1], since) * (total > 0))
        frozen.steps[key] = (slopes, zs, h)
    slopes, zs0, h = frozen.steps[key]
    return h + sum(s * (z - z0) for s, z, z0 in zip(slopes, zs, zs0, strict=True)), h


def smooth(p: Params, x: np.ndarray, neuron: Mapping[str, object], frozen: Frozen) -> float:
    """The loss of the frozen network; the first call with an empty `frozen` is the baseline."""
    series = [x] * T
    wait = int(neuron.get("wait", 0))  # type: ignore[call-overload]
    first, zero = neuron.get("order") != "fire-integrate", neuron.get("reset") == "zero"
    for i in range(2):
        v, leak = p[f"threshold{i}"], p[f"leak{i}"]
        u = np.zeros((len(x), SIZES[i + 1])) + p[f"v_init{i}"]
        total, out = np.zeros_like(u), []
        last = np.full_like(u, -1000)
        for t in range(T + wait):
            drive = series[t] @ p[f"w{i}"].T if t < T else 0
            potential = leak * u + drive if first else u
            s, h = np.zeros_like(u), np.zeros_like(u)
            if t >= wait:
                s, h = emit(
                    (i, t), potential, v, total, bool(neuron.get("signed")), t - last, frozen
                )
                out.append(s)
                total = total + h
                last = np.where(h != 0, t, last)
            kept = potential * (1 - h) if zero else potential - v * h
            if first:
                u = kept
            else:
                u = (leak * kept if zero else leak * u - v * h) + drive
        series = out
    logits = sum(s @ p["w2"].T for s in series) / T  # type: ignore[union-attr]
    labels = np.arange(len(x)) % 3
    shifted = logits - logits.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return float(-log_p[np.arange(len(x)), labels].mean())


VARIANTS = {
    "default": {},
    "zero": {"reset": "zero"},
    "second": {"order": "fire-integrate"},
    "second zero": {"order": "fire-integrate", "reset": "zero"},
    "wait": {"wait": 2},
    "signed": {"signed": True},
}


CASES = [(variant, "linear") for variant in VARIANTS] + [
    (variant, surrogate)
    for variant in ("default", "second")
    for surrogate in SURROGATES
    if surrogate != "linear"
]


@pytest.mark.parametrize(("variant", "surrogate"), CASES)
def test_gradients_equal_frozen_finite_differences(variant: str, surrogate: str) -> None:
    neuron = VARIANTS[variant]
    x = np.random.default_rng(5).normal(0.4, 1, (4, SIZES[0]))
    values = parameters()
    tensors = {n: torch.tensor(a, requires_grad=True) for n, a in values.items()}
    chosen = find_surrogate(surrogate)
    run = FastInterpreter(network(neuron), torch.float64, params=tensors, surrogate=chosen).snn(
        torch.tensor(x), T, keep=["act0", "act1"]
    )
    loss = torch.nn.functional.cross_entropy(run.outputs["out"], torch.arange(4) % 3)
    loss.backward()

    frozen = Frozen(find_surrogate(surrogate))
    assert smooth(values, x, neuron, frozen) == pytest.approx(loss.item(), abs=1e-12)
    assert all(0.05 < float(spikes.detach().abs().mean()) < 0.95 for spikes in run.values.values())
    step = 1e-6
    for name, array in values.items():
        gradient = tensors[name].grad
        assert gradient is not None and gradient.abs().sum() > 0, name
        for at in np.ndindex(array.shape):
            sides = []
            for sign in (1, -1):
                moved = array.copy()
                moved[at] += sign * step
                sides.append(smooth({**values, name: moved}, x, neuron, frozen))
            difference = (sides[0] - sides[1]) / (2 * step)
            assert float(gradient[at]) == pytest.approx(difference, abs=2e-8), (name, at)


def test_without_surrogate_no_gradient_passes_a_spike() -> None:
    tensors = {n: torch.tensor(a, requires_grad=True) for n, a in parameters().items()}
    x = torch.ones(2, SIZES[0], dtype=torch.float64)
    run = Interpreter(network({}), params=tensors).snn(x, T)
    run.outputs["out"].sum().backward()
    assert tensors["w2"].grad is not None
    assert tensors["w0"].grad is None and tensors["threshold1"].grad is None


def test_a_surrogate_changes_no_spike() -> None:
    x = np.random.default_rng(0).normal(0.4, 1, (8, SIZES[0]))
    for neuron in VARIANTS.values():
        interpreter = Interpreter(network(neuron))
        learning = FastInterpreter(network(neuron), torch.float64, surrogate=PiecewiseLinear())
        plain = interpreter.snn(x, T, keep=["act1"]).values["act1"]
        with_gradient = learning.snn(x, T, keep=["act1"])
        assert torch.equal(plain, with_gradient.values["act1"])


def test_piecewise_linear_by_hand() -> None:
    z = torch.tensor([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0])
    expected = torch.tensor([0, 0, 0.15, 0.3, 0.15, 0, 0])
    torch.testing.assert_close(PiecewiseLinear().gradient(z), expected)
    wide = PiecewiseLinear(gamma=1.0, width=2.0).gradient(z)
    torch.testing.assert_close(wide, torch.tensor([0, 0.5, 0.75, 1, 0.75, 0.5, 0]))


def test_named_surrogates_by_hand() -> None:
    z = torch.tensor([-1.0, -0.25, 0.0, 0.25, 1.0], dtype=torch.float64)
    expected = {
        Triangle(width=2.0): [0.25, 0.4375, 0.5, 0.4375, 0.25],
        Rectangular(): [0, 1, 1, 1, 0],
        Atan(alpha=2.0): [1 / (1 + np.pi**2), 1 / (1 + np.pi**2 / 16), 1] * 2,
        Sigmoid(alpha=4.0): [0.07065082, 0.78644773, 1.0] * 2,
        FastSigmoid(slope=4.0): [0.04, 0.25, 1.0] * 2,
        Exponential(): [0.3 * np.exp(-1), 0.3 * np.exp(-0.25), 0.3] * 2,
    }
    for surrogate, values in expected.items():
        five = values if len(values) == 5 else [*values[:3], values[1], values[0]]
        torch.testing.assert_close(surrogate.gradient(z), torch.tensor(five, dtype=z.dtype))
    assert all(find_surrogate(name) == kind() for name, kind in SURROGATES.items())


@pytest.mark.parametrize("surrogate", [Triangle(0.7), Rectangular(2.0), Atan(3.0), Sigmoid(5.0)])
def test_surrogates_of_area_one(surrogate: Triangle | Rectangular | Atan | Sigmoid) -> None:
    z = torch.linspace(-400, 400, 800_001, dtype=torch.float64)
    assert float(torch.trapezoid(surrogate.gradient(z), z)) == pytest.approx(1, abs=2e-3)


def test_stdb_does_not_underflow() -> None:
    steps = torch.tensor([1.0, 103.0, 104.0, 1000.0, 5000.0])
    slope = Stdb().gradient_since(torch.zeros(5), steps)
    expected = 0.3 * np.exp(-0.01 * steps.double().numpy())
    np.testing.assert_allclose(slope.numpy(), expected, rtol=1e-5)
    assert float(torch.exp(-steps[2]) ** 0.01) == 0 and (slope > 0).all()


def test_an_unknown_surrogate() -> None:
    with pytest.raises(UsageError, match="'step'") as caught:
        find_surrogate("step")
    assert "linear, stdb" in str(caught.value.hint)


@pytest.mark.parametrize("kind", SURROGATES.values())
def test_options_of_the_wrong_sign(kind: Callable[..., AnySurrogate]) -> None:
    for name in vars(kind()):
        for value in (-1.0, float("nan"), float("inf")):
            with pytest.raises(ValueError, match=f"{name}="):
                kind(**{name: value})
