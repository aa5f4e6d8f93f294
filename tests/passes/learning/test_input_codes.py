"""How the input becomes events: by a pass, in every recipe, equal on every target."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import snnc
from snnc.errors import PassError, SpecError
from snnc.interp import run_snn
from snnc.ir import Encode, EncodeDirect, Graph, Scale
from snnc.pipeline import Pipeline, parse_one
from snnc.plugins import RECIPES, Registry
from snnc.testing import assert_equal_runs, load_program
from snnc.transform import PassContext
from snnc_backends.cpu import CpuBackend
from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.reference import ReferenceBackend
from snnc_passes.lower.activations_to_neurons import ActivationsToNeurons

CODES = [
    "direct",
    "direct{bits=3}",
    "poisson",
    "poisson{rate=0.5}",
    "poisson{bits=4 signed=true}",
    "latency",
]


def converted(digits: Any, code: str, x: Any, timesteps: int = 8) -> Graph:
    ctx = PassContext(timesteps=timesteps, calibration=[(x, None)])
    text = f"activations-to-neurons{{encode={code}}}"
    return Pipeline.from_text(text).run(digits.ann, ctx).graph


def encoder(graph: Graph) -> Encode:
    (op,) = [node.op for node in graph.nodes if isinstance(node.op, Encode)]
    return op


def value_of_event(graph: Graph) -> float:
    (factor,) = [node.op.factor for node in graph.nodes if isinstance(node.op, Scale)] or [1.0]
    assert isinstance(factor, float)
    return factor


@pytest.mark.parametrize(
    ("code", "low", "scale", "lo", "hi"),
    [
        ("direct", -2.0, None, 0, 255),
        ("direct{bits=3}", 0.0, 1 / 7, 0, 7),
        ("direct{bits=16}", 0.0, 1 / 255, 0, 255),  # a pixel has 8 bits
        ("direct{bits=3}", -2.0, 2 / 3, -3, 3),
        ("direct{bits=3 signed=false}", -2.0, 1 / 7, 0, 7),
        ("poisson", -2.0, 2 / 127, -127, 127),
        ("poisson{signed=true}", 0.0, 1 / 127, -127, 127),
        ("poisson{rate=0.5}", 0.0, 1 / 255, 0, 510),
        ("poisson{rate=0.5}", -2.0, 2 / 127, -254, 254),
        ("latency{bits=4}", 0.0, 1 / 15, 0, 15),
    ],
)
def test_ranges(digits: Any, code: str, low: float, scale: float | None, lo: int, hi: int) -> None:
    x = np.linspace(low, 1.0, 64, dtype=np.float32)[None]
    op = encoder(converted(digits, code, x))
    assert op.scale == (None if scale is None else pytest.approx(scale))
    assert (op.lo, op.hi) == (lo, hi)


def test_fewer_spikes_stand_for_as_much(digits: Any) -> None:
    """At half the rate half of the spikes come, each worth twice as much."""
    x = digits.train[0][0][:50]
    sums, spikes = [], []
    for rate in (1.0, 0.5):
        graph = converted(digits, f"poisson{{rate={rate}}}", x)
        name = next(node.name for node in graph.nodes if isinstance(node.op, Encode))
        fired = run_snn(graph, x, timesteps=400, keep=[name]).values[name].mean().item()
        spikes.append(fired)
        sums.append(fired * value_of_event(graph))
    assert spikes[1] / spikes[0] == pytest.approx(0.5, abs=0.01)
    assert sums == pytest.approx([x.mean()] * 2, rel=0.02)


def test_rounded_input_is_what_the_bits_say(digits: Any) -> None:
    x = digits.train[0][0][:50]
    graph = converted(digits, "direct{bits=2}", x)
    name = next(node.name for node in graph.nodes if isinstance(node.op, Encode))
    counts = run_snn(graph, x, timesteps=1, keep=[name]).values[name][0]
    np.testing.assert_array_equal(counts, np.rint(x * 3))
    assert value_of_event(graph) == pytest.approx(1 / 3)


def test_a_latency_spike_stands_for_the_mean_of_what_fires(digits: Any) -> None:
    x = np.zeros((4, 64), np.float32)
    x[0, :3] = 0.2, 0.4, 1.0
    graph = converted(digits, "latency", x, timesteps=10)
    assert value_of_event(graph) == pytest.approx(10 * (0.2 + 0.4 + 1.0) / 3)
    silent = converted(digits, "latency", np.zeros((1, 64), np.float32))
    assert np.isfinite(value_of_event(silent))


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("recipe", ["convert", "diet", "iir", "hybrid", "robust"])
def test_every_recipe_takes_every_code(recipe: str, code: str) -> None:
    options = "" if recipe == "convert" else " epochs=1"
    text = parse_one(f"{recipe}{{encode={code}{options}}}", Registry(RECIPES)).pipeline()
    (neurons,) = [p for p in Pipeline.from_text(text).passes if isinstance(p, ActivationsToNeurons)]
    assert str(neurons.encode) == code


@pytest.mark.parametrize("code", CODES)
def test_the_same_events_on_every_target_in_batches_of_any_size(digits: Any, code: str) -> None:
    x, y = digits.train[0]
    compiled = snnc.compile(
        digits.ann,
        recipe=f"convert{{encode={code} bits=8}}",
        timesteps=16,
        calibration=[(x[:300], None)],
        target="reference",
    )
    backends = (ReferenceBackend(), CpuBackend(threads=2), CrossbarBackend())
    ids = np.arange(1000, 1064)
    runs = [
        load_program(backend, compiled.graph, 16).run(
            x[:64], record="spikes", seed=5, sample_ids=ids
        )
        for backend in backends
    ]
    for run, backend in zip(runs[1:], backends[1:], strict=True):
        assert_equal_runs(run, runs[0], f"{backend.name} beside reference")
    for backend in backends:
        alone = load_program(backend, compiled.graph, 16)
        for row in (0, 17, 63):
            one = alone.run(x[row : row + 1], seed=5, sample_ids=ids[row : row + 1])
            np.testing.assert_array_equal(one.readout, runs[0].readout[row : row + 1])  # type: ignore[index]
    accuracy = np.mean(runs[0].output.argmax(1) == y[:64])
    assert accuracy > (0.5 if code == "latency" else 0.85), accuracy


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("rate", "rate"),
        ("poisson{rate=0}", "rate must be in"),
        ("poisson{rate=1.5}", "rate must be in"),
        ("direct{bits=0}", "bits must be 1 to 16"),
        ("direct{signed=true}", "signed needs bits"),
        ("latency{bits=1 signed=true}", "one is the sign"),
        ("poisson{bits=none}", "bits"),
    ],
)
def test_wrong_codes_are_refused(code: str, reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        Pipeline.from_text(f"activations-to-neurons{{encode={code}}}")


def test_the_range_needs_data(digits: Any) -> None:
    with pytest.raises(PassError, match="encode=poisson needs data"):
        ctx = PassContext(timesteps=4)
        parse_one("activations-to-neurons{encode=poisson}", Registry("snnc.passes")).run(
            digits.ann.clone(), ctx
        )
    assert encoder(converted(digits, "direct", np.ones((1, 64), np.float32))) == EncodeDirect()
