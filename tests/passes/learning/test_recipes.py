"""The recipes that train: digits from the ANN to a spiking network, and what they are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import snnc
from snnc.interp import run_snn
from snnc.ir import Encode, Neuron
from snnc.pipeline import Pipeline, parse_one
from snnc.plugins import RECIPES, Registry

QUICK = "epochs=3 lr=0.003 batch=32 dropout=0.1"
RECIPES_TRIED = [
    (f"diet{{{QUICK} calibration-steps=10}}", 3, 0.9),
    (f"iir{{{QUICK} start=2 calibration-steps=10 bits=8}}", 1, 0.85),
    (f"hybrid{{{QUICK} calibration-steps=20}}", 10, 0.85),
    ("few-steps{epochs=3 lr=0.003 bits=8}", 2, 0.9),
]


@pytest.mark.parametrize(("recipe", "timesteps", "least"), RECIPES_TRIED)
def test_digits_from_end_to_end(digits: Any, recipe: str, timesteps: int, least: float) -> None:
    compiled = snnc.compile(
        digits.ann,
        recipe=recipe,
        timesteps=timesteps,
        calibration=[(digits.train[0][0][:200], None)],
        train=digits.train,
        validation=digits.validation,
    )
    ((x, y),) = digits.test
    output = compiled.program.run(x).output
    accuracy = float(np.mean(output.argmax(1) == y))
    assert accuracy > least, accuracy


def pipeline(text: str) -> Pipeline:
    return Pipeline.from_text(parse_one(text, Registry(RECIPES)).pipeline())


@pytest.mark.parametrize("name", ["hybrid", "diet", "iir", "robust"])
def test_every_option_gets_where_it_belongs(name: str) -> None:
    options = "epochs=7 lr=0.01 batch=5 dropout=0.4 augment=flip precision=bfloat16"
    text = str(pipeline(f"{name}{{{options} calibration-steps=9 maxpool=average bits=6}}"))
    assert text.startswith("replace-maxpool,fold-batchnorm,")
    for part in (*options.split(), "timesteps=9", "quantize{bits=6}"):
        assert part in text
    plain = str(pipeline(name))
    layers = "lower-maxpool,split-sums,linear-bottlenecks,activations-to-neurons"
    assert layers in plain and "lower-maxpool" not in text
    assert "maxpool=refuse" in str(pipeline(f"{name}{{maxpool=refuse}}"))
    assert "quantize" not in plain and "replace-maxpool" not in plain
    passes = pipeline(name).passes
    (training,) = (i for i, each in enumerate(passes) if "train" in each.needs)
    assert [each.name for each in passes].index("fold-scale") < training


def test_what_the_papers_do() -> None:
    hybrid = str(pipeline("hybrid{leak=0.99}"))
    assert "activations-to-neurons{encode=poisson leak=0.99 order=fire-integrate}" in hybrid
    assert "statistic=max" in hybrid and "scale=0.7" in hybrid
    assert "threshold=false leak=false" in hybrid and "surrogate=stdb" in hybrid
    diet = str(pipeline("diet{leak=false}"))
    assert "percentile=99.7" in diet and "scale=0.3" in diet and "leak=false" in diet
    iir = str(pipeline("iir{start=4}"))
    assert "percentile=90" in iir and "start=4" in iir and iir.endswith("drop-state")


def test_few_steps_waits_and_learns_with_even_spikes() -> None:
    text = str(pipeline("few-steps{epochs=7 lr=0.01 batch=5 augment=flip maxpool=average bits=6}"))
    assert text.startswith("replace-maxpool,fold-batchnorm,") and text.endswith("quantize{bits=6}")
    assert "activations-to-neurons{wait=T-1}" in text and "lower-maxpool" not in text
    learning = "epochs=7 batch=5 leak=false v-init=true loss=ann temperature=4 lr=0.01"
    assert f"learn{{{learning} schedule=cosine even-spikes=true augment=flip mixup=1}}" in text
    unmixed = str(pipeline("few-steps{mixup=none temperature=none}"))
    assert "mixup" not in unmixed and "temperature" not in unmixed
    ladder = str(pipeline("few-steps{start=4 maxpool=refuse}"))
    assert "reduce-timesteps{" in ladder and "start=4" in ladder and "quantize" not in ladder
    assert "maxpool=refuse" in ladder


@pytest.mark.parametrize("options", ["bits=9", "maxpool=sum"])
@pytest.mark.parametrize("name", ["hybrid", "diet", "few-steps", "iir", "robust"])
def test_wrong_options_are_refused(name: str, options: str) -> None:
    with pytest.raises(snnc.errors.SpecError, match=options.split("=")[0]):
        parse_one(f"{name}{{{options}}}", Registry(RECIPES))


# -- Poisson encoding --------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "factor"), [(0.0, 1.0), (-2.0, 2.0)])
def test_random_spikes_count_as_much_as_the_input(digits: Any, low: float, factor: float) -> None:
    x = np.random.default_rng(0).uniform(low, -low or 1.0, (4, 64)).astype(np.float32)
    x[0, 0] = -low or 1.0
    ctx = digits.context(timesteps=2000, calibration=[(x, None)])
    graph = Pipeline.from_text("activations-to-neurons{encode=poisson}").run(digits.ann, ctx).graph
    (encoder,) = [node for node in graph.nodes if isinstance(node.op, Encode)]
    assert (encoder.op.code_class.name, encoder.op.lo < 0) == ("poisson", low < 0)
    (behind,) = {name for name, _ in graph.users_of(encoder.name)}
    values = run_snn(graph, x, timesteps=2000, keep=[behind]).values[behind].mean(0)
    if behind == "fc1":
        weight, bias = (graph.array(getattr(graph.node("fc1").op, f)) for f in ("weight", "bias"))
        np.testing.assert_allclose(values, x @ weight.T + bias, atol=0.2)
    else:
        np.testing.assert_allclose(values, x, atol=0.1 * factor)
    assert any(isinstance(node.op, Neuron) for node in graph.nodes)
