"""Data as Python programs hold them, taken wherever data are taken."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnc
from snnc.data import Dataset, open_data
from snnc.data.given import IN_ORDER, open_given
from snnc.driver.inputs import open_batches
from snnc.errors import DataError
from snnc.testing import Style, build, sample_inputs

torch = pytest.importorskip("torch")
from torch.utils.data import (  # noqa: E402
    DataLoader,
    IterableDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

SHAPE = (1, 2, 3)
X = np.random.default_rng(0).random((10, *SHAPE), dtype=np.float32)
Y = np.arange(10) % 3
TX, TY = torch.from_numpy(X), torch.from_numpy(Y)
SAMPLES = TensorDataset(TX, TY)


class Dicts:
    """A dataset of dicts, with nothing but what a map-style dataset needs."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index >= len(X):
            raise IndexError
        return {key: (TX if i == 0 else TY)[index] for i, key in enumerate(self.keys)}


class Stream(IterableDataset[Any]):
    """Samples one after another."""

    def __iter__(self) -> Iterator[Any]:
        return iter(zip(TX, TY, strict=True))


def everything(data: Any) -> tuple[np.ndarray, np.ndarray | None]:
    opened = open_batches(data, "data", SHAPE, batch_size=4)
    assert opened is not None
    passes: list[Any] = []
    for _ in range(2):
        batches = list(opened)
        assert all(x.dtype == np.float32 for x, _ in batches)
        labels = [y for _, y in batches if y is not None]
        passes.append((np.concatenate([x for x, _ in batches]), labels))
    assert np.array_equal(passes[0][0], passes[1][0])
    assert np.array_equal(np.concatenate([*passes[0][1], []]), np.concatenate([*passes[1][1], []]))
    return passes[0][0], np.concatenate(labels) if labels else None


LABELLED: dict[str, Any] = {
    "arrays": (X, Y),
    "tensors": (TX, TY),
    "tensor with gradients": (TX.clone().requires_grad_(), TY),
    "float64": (X.astype(np.float64), Y),
    "dict of arrays": {"x": X, "y": Y},
    "dataset": SAMPLES,
    "subset": Subset(SAMPLES, range(10)),
    "dataset of dicts": Dicts("image", "label"),
    "list of samples": [(X[i], Y[i]) for i in range(10)],
    "list of batches": [(X[:7], Y[:7]), (X[7:], Y[7:])],
    "tuple of batches": ((TX[:7], TY[:7]), (TX[7:], TY[7:])),
    "loader": DataLoader(SAMPLES, batch_size=4),
    "loader that shuffles": DataLoader(SAMPLES, batch_size=4, shuffle=True),
    "loader of dicts": DataLoader(Dicts("pixel_values", "labels"), batch_size=4),  # type: ignore[arg-type]
    "loader of a stream": DataLoader(Stream(), batch_size=4),
    "loader of samples": DataLoader(SAMPLES, batch_size=None),
    "stream": Stream(),
}
UNLABELLED: dict[str, Any] = {
    "array": X,
    "tensor": TX,
    "tuple of one": (X,),
    "without y": (X, None),
    "dataset": TensorDataset(TX),
    "list of samples": list(X),
    "list of batches": [TX[:7], TX[7:]],
    "loader of x": DataLoader(TX, batch_size=4),  # type: ignore[arg-type]
    "loader of (x,)": DataLoader(TensorDataset(TX), batch_size=4),
    "dicts": Dicts("img"),
}


@pytest.mark.parametrize("name", LABELLED)
def test_labelled(name: str) -> None:
    x, y = everything(LABELLED[name])
    assert np.array_equal(x, X) and y is not None and np.array_equal(y, Y)


@pytest.mark.parametrize("name", UNLABELLED)
def test_unlabelled(name: str) -> None:
    x, y = everything(UNLABELLED[name])
    assert np.array_equal(x, X) and y is None


def test_a_path_and_an_open_dataset(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    assert np.array_equal(everything(tmp_path / "x.npy")[0], X)
    opened = open_data(str(tmp_path / "x.npy"))
    assert open_given(opened, "data", SHAPE, 4) is opened


def test_a_subset_is_read_as_it_is_listed() -> None:
    x, y = everything(DataLoader(SAMPLES, batch_size=2, sampler=SubsetRandomSampler([7, 2, 5])))
    assert np.array_equal(x, X[[7, 2, 5]]) and y is not None and np.array_equal(y, Y[[7, 2, 5]])


def test_what_is_changed_is_said() -> None:
    opened = open_given(DataLoader(SAMPLES, shuffle=True), "data", SHAPE, 4)
    assert isinstance(opened, Dataset) and opened.notes == (IN_ORDER,)
    bytes_ = (X * 255).astype(np.uint8)
    for data in (bytes_, torch.from_numpy(bytes_), [(bytes_, Y)], [(bytes_[0], Y[0])]):
        opened = open_given(data, "data", SHAPE, 4)
        assert opened.notes == ("uint8 divided by 255",)
        ((x, _), *_) = opened
        assert np.array_equal(x[0], bytes_[0].astype(np.float32) / np.float32(255))


def test_bfloat16() -> None:
    x, _ = everything(TX.bfloat16())
    assert np.array_equal(x, TX.bfloat16().float().numpy())


class Fails:
    """A dataset that cannot be read."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        raise OSError("no disk")


class Consumed:
    """Batches that are used up, though each iterator is new."""

    def __init__(self) -> None:
        self.left = [(X, Y)] * 2

    def __iter__(self) -> Iterator[Any]:
        for _ in range(len(self.left)):
            yield self.left.pop()


NAN = np.full_like(X, np.nan)
WRONG: dict[str, tuple[Any, str]] = {
    "iterator": (iter([(X, Y)]), "can be gone through once only"),
    "generator": ((each for each in [(X, Y)]), "can be gone through once only"),
    "used up": (Consumed(), "train: there are no batches in a second pass"),
    "number": (3, "data of type int can be gone through once only, or not at all"),
    "nothing": ([], "there are no batches"),
    "one sample": (X[0], "samples have shape"),
    "channels last": (np.moveaxis(X, 1, -1), "samples have shape"),
    "integers": (TX.long(), "x is int64"),
    "integers in batches": ([(TX.long(), TY)], "x is int64"),
    "strings": (["a", "b"], "is not numbers"),
    "triples": ([(X, Y, Y)], "an item of 3 parts"),
    "two inputs": (Dicts("image", "input"), "has not one obvious input"),
    "no input": (Dicts("pixels"), "a dict of pixels has not one obvious input"),
    "lengths": ((X, Y[:3]), "10 samples but y has shape"),
    "lengths in batches": ([(X, Y[:3])], "10 samples but y has shape"),
    "NaN": (NAN, "sample 0 holds NaN"),
    "NaN in a second batch": ([(X, Y), (NAN, Y)], "sample 10 holds NaN"),
    "ragged": ([(X, Y), (X[:, :, :1], Y)], "a batch of shape"),
    "labels in some": ([(X, Y), (X, None)], "some batches have a y, others have none"),
    "fails": (Fails(), "failed: OSError: no disk"),
    "fails in a loader": (DataLoader(Fails()), "failed: OSError: no disk"),  # type: ignore[arg-type]
    "drawn at random": (
        DataLoader(SAMPLES, sampler=WeightedRandomSampler(torch.ones(10), 500), batch_size=500),
        "a second pass begins with other samples",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_data(name: str) -> None:
    data, reason = WRONG[name]
    with pytest.raises(DataError, match=reason) as caught:
        opened = open_batches(data, "train", SHAPE)
        assert opened is not None
        for _ in range(3):
            list(opened)
    assert "\n" not in caught.value.message


def test_torch_is_not_imported() -> None:
    code = (
        "import sys, numpy as np; from snnc.driver.inputs import open_batches\n"
        "x = np.ones((3, 2), np.float32)\n"
        "for data in (x, (x, x), [(x, None)], {'x': x}): list(open_batches(data, 'data', (2,)))\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# -- where data are taken ------------------------------------------------------------------


def test_compile_evaluate_and_verify(tmp_path: Path) -> None:
    graph = build("plain", Style.ANN)
    x = sample_inputs(graph, 24)
    samples = TensorDataset(torch.from_numpy(x), torch.zeros(len(x), dtype=torch.long))
    kinds = (x, torch.from_numpy(x), samples, DataLoader(samples, batch_size=5, shuffle=True))
    prints: set[str] = set()
    for data in kinds:
        path = tmp_path / "net.snnc"
        compiled = snnc.compile(graph, target="reference", calibration=data, output=path)
        prints.add(compiled.graph.fingerprint())
        assert snnc.evaluate(path, data=data, limit=7).evaluation.samples == 7
        assert snnc.verify_artifact(path, data=data, limit=3).equal
    assert len(prints) == 1
    snnc.compile(graph, target="reference", calibration=samples, train=samples, validation=0.25)


def test_mean_is_a_number_or_one_per_channel() -> None:
    from snnc.driver import ModelSource

    for mean in (0.286, np.float32(0.286), (0.286,), [0.286], np.array([0.286])):
        (found,), std = ModelSource(model="m.py:f", mean=mean, std=2).normalization  # type: ignore[arg-type]
        assert found == pytest.approx(0.286) and std == (2,)
