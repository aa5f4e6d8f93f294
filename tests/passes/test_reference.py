"""What passes compare outputs with: labels, predictions, or outputs that are no classes."""

from __future__ import annotations

import numpy as np
import pytest

from snnc.errors import PassError
from snnc.interp import run_snn
from snnc.testing import Style, build, sample_inputs
from snnc.transform import PassContext
from snnc_passes._reference import Reference, class_labels, network_outputs

OUTPUTS = np.eye(3)[[0, 1, 2, 2]]


def test_labels_come_before_predictions() -> None:
    predicted = Reference((), None, OUTPUTS)
    assert (predicted.measure, predicted.own_fraction) == ("agreement", 1.0)
    labelled = Reference((), np.array([0, 1, 1, 0]), OUTPUTS)
    assert (labelled.measure, labelled.own_fraction) == ("accuracy", 0.5)
    assert Reference((), np.array([0, 1]), None).own_fraction is None
    later = np.stack([OUTPUTS, OUTPUTS[::-1]])
    assert labelled.right(later).tolist() == [
        [True, True, False, False],
        [False, False, True, True],
    ]
    assert labelled.right(OUTPUTS[1:3], slice(1, 3)).tolist() == [True, False]
    assert labelled.loss(OUTPUTS) == 0.5


@pytest.mark.parametrize("shape", [(1,), (3, 2, 2), ()])
def test_outputs_that_are_no_classes_have_an_error(shape: tuple[int, ...]) -> None:
    wanted = np.random.default_rng(0).normal(size=(5, *shape))
    reference = Reference((), None, wanted)
    assert reference.measure == "error" and len(reference) == 5
    assert reference.loss(wanted + 0.5) == pytest.approx(0.5)


def test_fractions_are_those_of_one_run() -> None:
    graph = build("plain", Style.SNN)
    x = sample_inputs(graph, 70)
    ctx = PassContext(timesteps=6, calibration=[(x[:7], None), (x[7:], None)])
    assert ctx.calibration is not None
    outputs = network_outputs(graph, ctx.calibration, 66, ctx)
    run = run_snn(graph, x[:66], timesteps=6, prefixes=(2,))
    assert np.allclose(outputs, run.outputs[graph.outputs[0]].numpy())
    found = Reference(ctx.calibration, None, outputs).fractions(graph, ctx, (2, 6))
    early = run.prefixes[2][graph.outputs[0]].numpy().argmax(1)
    assert found == {2: np.mean(early == outputs.argmax(1)), 6: 1.0}


def test_labels_outside_the_classes_are_refused() -> None:
    x = np.zeros((3, 2), np.float32)
    assert class_labels([(x, None)], 3, 2) is None
    assert class_labels([(x, np.zeros(3, np.float32))], 3, 2) is None
    assert class_labels([(x, np.array([0, 1, 1]))], 2, 2).tolist() == [0, 1]  # type: ignore[union-attr]
    with pytest.raises(PassError, match="not class numbers from 0 to 1"):
        class_labels([(x, np.array([0, 1, 2]))], 3, 2)
