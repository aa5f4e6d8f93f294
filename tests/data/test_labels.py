"""Labels as people store them, and the number of classes against the network's outputs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnc
from snnc.data import open_data
from snnc.data.labels import ClassNumbers
from snnc.driver.inputs import open_batches
from snnc.errors import DataError
from snnc.ir import Graph, Input, Linear, Relu

CLASSES = np.array([2, 0, 1, 1, 2, 0])
X = np.eye(3, dtype=np.float32)[CLASSES]
SINGLE = "labels of shape (N, 1) are taken as class numbers"
ONE_HOT = "one-hot labels are taken as class numbers"


def network(outputs: int) -> Graph:
    """Whose output is its input; of one output, input 1 minus one half."""
    graph = Graph()
    graph.add("x", Input(shape=(3,)))
    graph.add("relu", Relu(), ["x"])
    rows = np.eye(3, dtype=np.float32) if outputs == 3 else np.array([[-1, 1, -1]], np.float32)
    graph.add("fc", Linear(weight=graph.set_param("w", rows)), ["relu"])
    graph.outputs = ("fc",)
    return graph


def artifact(folder: Path, outputs: int) -> Path:
    snnc.compile(network(outputs), target="reference", calibration=X, output=folder / "n.snnc")
    return folder / "n.snnc"


@pytest.mark.parametrize("as_batches", [True, False])
@pytest.mark.parametrize(
    ("y", "line"),
    [
        (CLASSES, None),
        (CLASSES[:, None], SINGLE),
        (np.eye(3, dtype=int)[CLASSES], ONE_HOT),
        (np.eye(3, dtype=bool)[CLASSES], ONE_HOT),
    ],
)
def test_labels_of_several_outputs(
    y: Any, line: str | None, as_batches: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = artifact(tmp_path, 3)
    data = [(X[:4], y[:4]), (X[4:], y[4:])] if as_batches else (X, y)
    with caplog.at_level(logging.INFO, "snnc"):
        found = snnc.evaluate(path, data=data, log=logging.getLogger("snnc")).evaluation
    assert found.windows[-1].accuracy == 1
    told = [message for message in caplog.messages if message.startswith("data: ")]
    assert told == ([f"data: {line}"] if line else [])


@pytest.mark.parametrize("kind", [int, bool])
@pytest.mark.parametrize("axes", [1, 2])
def test_labels_of_one_output(kind: type, axes: int, tmp_path: Path) -> None:
    path, y = artifact(tmp_path, 1), (CLASSES == 1).astype(kind)
    for wanted, labels in ((1, y), (0, ~(CLASSES == 1)), (4 / 6, np.zeros(6, kind))):
        labels = labels.astype(kind) if axes == 1 else labels.astype(kind)[:, None]
        found = snnc.evaluate(path, data=(X, labels)).evaluation
        assert found.windows[-1].accuracy == pytest.approx(wanted)
    with pytest.raises(DataError, match="labels 0 to 2, but the network has 1 outputs"):
        snnc.evaluate(path, data=(X, CLASSES))


@pytest.mark.parametrize("wrong", [np.zeros((6, 3), int), np.ones((6, 3), int), -np.eye(6, 3)])
def test_what_is_not_one_hot(wrong: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not one-hot everywhere"):
        snnc.evaluate(artifact(tmp_path, 3), data=(X, wrong.astype(int)))


def test_targets_of_passes_that_learn_stay() -> None:
    learns = ClassNumbers((3,), judged=False)
    targets = np.eye(3, dtype=int)
    assert learns(targets) is targets and learns.note(targets) is None
    assert learns(CLASSES[:, None]).shape == (6,)
    one = ClassNumbers((1,), judged=False)
    assert one(CLASSES[:, None]).shape == (6, 1)
    real = X[:, :1]
    assert ClassNumbers((3,), judged=True)(real) is real


def folder(place: Path, classes: int) -> str:
    image = pytest.importorskip("PIL.Image")
    for number in range(classes):
        (place / f"c{number}").mkdir(parents=True)
        image.fromarray(np.zeros((1, 3), np.uint8)).save(place / f"c{number}" / "0.png")
    return f"images:{place}"


@pytest.mark.parametrize(
    ("classes", "outputs", "fits"), [(3, 3, True), (2, 3, False), (4, 3, False), (2, 1, True)]
)
def test_the_number_of_classes(classes: int, outputs: int, fits: bool, tmp_path: Path) -> None:
    text = folder(tmp_path, classes)
    for judged in (True, False):
        numbers = ClassNumbers((outputs,), judged=judged)
        if fits:
            assert open_batches(text, "data", (1, 1, 3), class_numbers=numbers) is not None
            continue
        with pytest.raises(DataError) as caught:
            open_batches(text, "data", (1, 1, 3), class_numbers=numbers)
        assert caught.value.message == (
            f"data: the data has {classes} classes, the network has {outputs} outputs"
        )
        assert caught.value.exit_code == 2


def test_other_outputs_and_unknown_classes_are_not_compared(tmp_path: Path) -> None:
    assert open_data("digits#test").source.classes == 10
    ClassNumbers((3, 4), judged=True).require_classes(10)
    ClassNumbers((3,), judged=True).require_classes(None)
    for kept in ("[:2]", ""):
        with pytest.raises(DataError, match="10 classes, the network has 3 outputs"):
            open_data(f"digits#test{kept}").judged_by(ClassNumbers((3,), judged=True))


def test_validation_is_compared_too(tmp_path: Path) -> None:
    graph = Graph()
    graph.add("x", Input(shape=(1, 1, 3)))
    graph.add("relu", Relu(), ["x"])
    graph.outputs = ("relu",)
    text = folder(tmp_path, 2)
    snnc.compile(graph, target="reference", calibration=text, validation=text)  # not in a row
    with pytest.raises(DataError, match="validation: the data has 2 classes"):
        open_batches(text, "validation", (1, 1, 3), class_numbers=ClassNumbers((5,), judged=False))
