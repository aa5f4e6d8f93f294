"""Every spike of every dialect equals that of its own equation, in numpy, in float64."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import pytest
from numpy.typing import NDArray

from snnc.errors import ModelError, SpecError, UnsupportedError, UsageError
from snnc.frontends import load
from snnc.frontends.nir.frontend import NirFrontend
from snnc.interp import run_snn
from snnc.ir import Graph, Neuron, Stage
from snnc.pipeline import parse_one
from snnc.plugins import FRONTENDS, Registry

Array = NDArray[Any]
T = 40
STEPS = {"spec": 1e-4, "snntorch": 1e-4, "norse": 1e-3, "spikingjelly": 1e-4, "sinabs": 1.0}
DIALECTS = [
    ("spec", "zero"),
    ("spec", "subtract"),
    ("snntorch", "zero"),
    ("norse", "zero"),
    ("norse", "subtract"),
    ("spikingjelly", "zero"),
    ("spikingjelly", "subtract"),
    ("sinabs", "subtract"),
    ("sinabs", "zero"),
]


def spikes_of(graph: Graph, x: Array) -> list[Array]:
    """(T, N, *shape) of every population, in order, in the interpreter."""
    names = [node.name for node in graph if isinstance(node.op, Neuron)]
    values = run_snn(graph, x, timesteps=T, keep=names).values
    return [
        np.broadcast_to(values[n].numpy(), (T, *values[n].shape[1:])).astype(float) for n in names
    ]


class Population:
    """A neuron of NIR by the equation that its dialect has for it."""

    def __init__(self, node: Any, dialect: str, reset: str, dt: float) -> None:
        self.node, self.dialect, self.reset, self.dt = node, dialect, reset, dt
        self.v: Any = 0.0
        self.nearest = np.inf

    def step(self, x: Array) -> Array:
        node, v = self.node, self.v
        if isinstance(node, nir.IF):
            v = v + (x if self.dialect in ("norse", "sinabs") else self.dt * node.r * x)
        elif self.dialect == "sinabs":
            v = np.exp(-1 / node.tau) * v + x
        elif self.dialect == "norse":
            v = v + self.dt / node.tau * ((node.v_leak - v) + x)
        else:
            v = v + self.dt / node.tau * ((node.v_leak - v) + node.r * x)
        level = node.v_threshold
        fired = v >= level if self.dialect in ("spikingjelly", "sinabs") else v > level
        self.nearest = min(self.nearest, np.abs(v - level).min())
        base = node.v_reset if self.dialect in ("spec", "spikingjelly") else 0.0
        self.v = np.where(fired, v - level if self.reset == "subtract" else base, v)
        return fired.astype(float)


def leaky(n: int, dialect: str, rng: Any, **fields: Any) -> Any:
    """A LIF of `n` neurons with different time constants and thresholds, in the dialect's units."""
    tau = rng.uniform(3, 20, n) * STEPS[dialect]
    given = {
        "tau": tau,
        "r": rng.uniform(0.5, 8, n),
        "v_leak": np.zeros(n),
        "v_threshold": rng.uniform(0.2, 0.6, n),
        "v_reset": np.zeros(n),
    }
    return nir.LIF(**(given | fields))


def integrate(n: int, dialect: str, rng: Any, **fields: Any) -> Any:
    given = {
        "r": rng.uniform(0.5, 2, n) / STEPS[dialect],
        "v_threshold": rng.uniform(0.4, 1.5, n),
        "v_reset": np.zeros(n),
    }
    return nir.IF(**(given | fields))


@pytest.mark.parametrize(("dialect", "reset"), DIALECTS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_spikes_of_a_dialect(chain: Any, dialect: str, reset: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.normal(0.2, 1, (12, 6)), rng.normal(0.2, 0.6, (9, 12))
    bias = rng.normal(0, 0.2, 9)
    nodes = [leaky(12, dialect, rng), integrate(9, dialect, rng)]
    path = chain(
        nir.Input(np.array([6])), nir.Linear(first), nodes[0],
        nir.Affine(second, bias), nodes[1], nir.Output(np.array([9])),
        dialect=dialect, reset=reset, dt=STEPS[dialect],
    )  # fmt: skip
    graph = load(str(path))
    x = rng.uniform(-1, 2, (5, 6)).astype(np.float32)
    ours = spikes_of(graph, x)
    populations = [Population(node, dialect, reset, STEPS[dialect]) for node in nodes]
    for t in range(T):
        hidden = populations[0].step(x.astype(float) @ first.T)
        final = populations[1].step(hidden @ second.T + bias)
        np.testing.assert_array_equal(ours[0][t], hidden, err_msg=f"step {t}")
        np.testing.assert_array_equal(ours[1][t], final, err_msg=f"step {t}")
    assert all(0.02 < spikes.mean() < 0.98 for spikes in ours)
    assert min(p.nearest for p in populations) > 1e-6, "a tie: equality is not to be expected"


def test_potentials_rest_and_are_reset_elsewhere(chain: Any) -> None:
    """v_leak and v_reset, per channel, on a convolution."""
    rng = np.random.default_rng(3)
    weight = rng.normal(0, 0.5, (3, 2, 3, 3))
    column = np.ones((3, 4, 4))
    node = leaky(
        1, "spec", rng,
        tau=column * np.array([5e-4, 8e-4, 2e-3])[:, None, None], r=column * 2.5,
        v_leak=column * 0.1, v_threshold=column * np.array([0.5, 0.4, 0.3])[:, None, None],
        v_reset=column * -0.2,
    )  # fmt: skip
    conv = nir.Conv2d((4, 4), weight, 1, 1, 1, 1, np.zeros(3))
    path = chain(nir.Input(np.array([2, 4, 4])), conv, node, nir.Output(np.array([3, 4, 4])))
    graph = load(str(path), frontend=NirFrontend(dt=1e-4, reset="zero"))
    x = rng.uniform(0, 1, (4, 2, 4, 4)).astype(np.float32)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))).astype(float)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    current = np.einsum("ncijkl,ockl->noij", windows, weight)
    population = Population(node, "spec", "zero", 1e-4)
    (ours,) = spikes_of(graph, x)
    for t in range(T):
        np.testing.assert_array_equal(ours[t], population.step(current), err_msg=f"step {t}")
    assert 0.02 < ours.mean() < 0.98 and population.nearest > 1e-6


def test_an_inclusive_threshold_fires_at_ties(chain: Any) -> None:
    """sinabs and SpikingJelly fire at v == threshold, the others above it."""
    node = nir.IF(np.ones(1), np.ones(1), np.zeros(1))
    path = chain(nir.Input(np.array([1])), node, nir.Output(np.array([1])))
    x = np.full((1, 1), 0.25, np.float32)
    for dialect, first in (("spec", 4), ("norse", 4), ("sinabs", 3), ("spikingjelly", 3)):
        options = NirFrontend(dialect=dialect, dt=1.0, reset="subtract")  # type: ignore[arg-type]
        (ours,) = spikes_of(load(str(path), frontend=options), x)
        assert int(ours[:, 0, 0].argmax()) == first, dialect
        assert ours.sum() == (10 if first == 3 else 9)


def test_a_threshold_with_feedback_is_a_neuron_that_subtracts(chain: Any) -> None:
    rng = np.random.default_rng(4)
    weight, level = rng.normal(0.2, 1, (7, 5)), rng.uniform(0.5, 2, 7)
    path = chain(
        nir.Input(np.array([5])), nir.Linear(weight), nir.I(np.ones(7)), nir.Threshold(level),
        nir.Output(np.array([7])),
        more=[("n3", "back"), ("back", "n2")], extra={"back": nir.Scale(-level)},
    )  # fmt: skip
    graph = load(str(path))
    ops = [type(node.op).__name__ for node in graph]
    assert ops == ["Input", "EncodeDirect", "Linear", "Neuron", "Readout"]
    x = rng.uniform(0, 1, (6, 5)).astype(np.float32)
    (ours,) = spikes_of(graph, x)
    v, fired = np.zeros((6, 7)), np.zeros((6, 7))
    for t in range(T):
        v = v + x.astype(float) @ weight.T - level * fired
        fired = (v > level).astype(float)
        np.testing.assert_array_equal(ours[t], fired, err_msg=f"step {t}")
    assert 0.02 < ours.mean() < 0.98


def test_norse_writes_its_time_constants_divided_by_the_step(chain: Any) -> None:
    """Norse 1.1.0 writes 1/tau_mem_inv * dt: 5e-6 s for 5 ms."""
    zero = np.zeros(2)
    nodes = [nir.LIF(np.full(2, tau), np.ones(2), zero, np.ones(2), zero) for tau in (5e-6, 5e-3)]
    leaks = []
    for node in nodes:
        path = chain(nir.Input(np.array([2])), node, nir.Output(np.array([2])), dialect="norse")
        (neuron,) = [n.op for n in load(str(path)) if isinstance(n.op, Neuron)]
        leaks.append(neuron.leak)
    assert leaks == [pytest.approx(0.8), pytest.approx(0.8)]
    path = chain(nir.Input(np.array([2])), nodes[0], nir.Output(np.array([2])), dt=1e-3)
    with pytest.raises(UnsupportedError, match="dialect=norse"):
        load(str(path), frontend=NirFrontend(reset="zero"))


def test_what_a_file_does_not_say_is_asked_for(chain: Any) -> None:
    rng = np.random.default_rng(0)
    path = str(chain(nir.Input(np.array([3])), leaky(3, "spec", rng), nir.Output(np.array([3]))))
    with pytest.raises(UsageError, match="how long a step is and how its neurons are") as error:
        load(path)
    assert "--frontend 'nir{dt=1e-4 reset=subtract}'" in str(error.value.hint)
    with pytest.raises(UsageError, match="how its neurons are reset") as error:
        load(path, frontend=NirFrontend(dialect="snntorch"))
    graph = load(path, frontend=parse_one("nir{dt=1e-4 reset=subtract}", Registry(FRONTENDS)))
    assert graph.stage is Stage.SNN


def test_options_go_before_metadata(chain: Any) -> None:
    rng = np.random.default_rng(0)
    nodes = (nir.Input(np.array([3])), leaky(3, "spec", rng), nir.Output(np.array([3])))
    path = str(chain(*nodes, dialect="spec", reset="zero", dt=1e-4))
    assert [n.op.reset for n in load(path) if isinstance(n.op, Neuron)] == ["zero"]
    graph = load(path, frontend=NirFrontend(reset="subtract"))
    assert [n.op.reset for n in graph if isinstance(n.op, Neuron)] == ["subtract"]


@pytest.mark.parametrize("noted", [{"dialect": "lava"}, {"reset": "none"}, {"dt": -1.0}])
def test_metadata_that_mean_nothing(chain: Any, noted: Any) -> None:
    node = integrate(3, "spec", np.random.default_rng(0))
    path = str(chain(nir.Input(np.array([3])), node, nir.Output(np.array([3])), **noted))
    with pytest.raises(ModelError, match="notes"):
        load(path)


@pytest.mark.parametrize("text", ["nir{dt=0}", "nir{reset=hard}", "nir{dialect=lava}"])
def test_options_that_mean_nothing(text: str) -> None:
    with pytest.raises(SpecError):
        parse_one(text, Registry(FRONTENDS))
