"""The sources behind the DATA grammar: image collections, folders, the user's own code."""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.data import Dataset, open_data
from snnc.errors import DataError


def everything(data: Dataset) -> tuple[np.ndarray, np.ndarray | None]:
    batches = list(data)
    labels = [y for _, y in batches if y is not None]
    return np.concatenate([x for x, _ in batches]), np.concatenate(labels) if labels else None


def refused(text: str, **options: Any) -> DataError:
    """The error of opening and reading all of `text`."""
    with pytest.raises(DataError) as caught:
        list(open_data(text, **options))
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == 2
    return caught.value


# -- known image collections ---------------------------------------------------------------


def test_digits() -> None:
    train, test = (everything(open_data(f"digits#{part}")) for part in ("train", "test"))
    assert train[0].shape == (1297, 1, 8, 8) and test[0].shape == (500, 1, 8, 8)
    assert train[0].min() == 0 and train[0].max() == 1
    assert train[1] is not None and set(train[1].tolist()) == set(range(10))
    both = {image.tobytes() for image in train[0]} | {image.tobytes() for image in test[0]}
    assert len(both) == 1797  # no image lies in both parts, none twice
    assert open_data("digits#train").digest == open_data("digits#train").digest


def idx(array: np.ndarray) -> bytes:
    header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def mnist(tmp_path: Path) -> Iterator[tuple[Path, np.ndarray]]:
    images = np.random.default_rng(0).integers(0, 256, (6, 28, 28)).astype(np.uint8)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(images))
    (tmp_path / "train-labels.idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.arange(6))))
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images[:2])))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(np.arange(2)))
    yield tmp_path, images


@pytest.mark.parametrize("kind", ["mnist", "fashion-mnist"])
def test_mnist_raw_and_compressed(kind: str, mnist: tuple[Path, np.ndarray]) -> None:
    folder, images = mnist
    for part, count in (("train", 6), ("test", 2)):
        data = open_data(f"{kind}:{folder}#{part}", expect_shape=(1, 28, 28))
        x, y = everything(data)
        assert np.array_equal(x[:, 0], images[:count].astype(np.float32) / np.float32(255))
        assert y is not None and y.dtype == np.int64 and np.array_equal(y, np.arange(count))
        assert data.notes == ("uint8 divided by 255",)


MNIST_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda p: p.unlink(), "has no train-images-idx3-ubyte (or .gz)"),
    "empty": (lambda p: p.write_bytes(b""), "is not an IDX file of 3 axes"),
    "labels": (lambda p: p.write_bytes(idx(np.arange(6))), "is not an IDX file of 3 axes"),
    "cut": (lambda p: p.write_bytes(p.read_bytes()[:-1]), "is truncated or damaged: it announces"),
    "long": (lambda p: p.write_bytes(p.read_bytes() + b"0"), "it announces (6, 28, 28)"),
    "huge": (
        lambda p: p.write_bytes(b"\x00\x00\x08\x03" + b"\xff" * 12 + b"0" * 9),
        "is truncated or damaged: it announces",
    ),
    "count": (
        lambda p: p.write_bytes(idx(np.zeros((5, 28, 28)))),
        "5 samples but y has shape (6,)",
    ),
}


@pytest.mark.parametrize("name", MNIST_FAULTS)
def test_mnist_faults(name: str, mnist: tuple[Path, np.ndarray]) -> None:
    damage, reason = MNIST_FAULTS[name]
    damage(mnist[0] / "train-images-idx3-ubyte")
    assert reason in refused(f"mnist:{mnist[0]}#train").message


def test_damaged_gzip(mnist: tuple[Path, np.ndarray]) -> None:
    path = mnist[0] / "t10k-images-idx3-ubyte.gz"
    good = path.read_bytes()
    for bad in (good[:-9], b"junk", good[:20] + b"\xff" * 20 + good[40:]):
        path.write_bytes(bad)
        assert f"{path} cannot be read" in refused(f"mnist:{mnist[0]}#test").message


@pytest.mark.parametrize("kind", ["mnist", "cifar10", "images"])
def test_missing_folder(kind: str, tmp_path: Path) -> None:
    part = "" if kind == "images" else "#test"
    assert "there is no folder" in refused(f"{kind}:{tmp_path}/gone{part}").message


@pytest.fixture
def cifar(tmp_path: Path) -> tuple[Path, np.ndarray]:
    rng = np.random.default_rng(0)
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    images = rng.integers(0, 256, (10, 3, 32, 32)).astype(np.uint8)
    labels = np.arange(10, dtype=np.uint8)[:, None]
    records = np.concatenate([labels, images.reshape(10, -1)], axis=1)
    for i in range(5):
        records[2 * i : 2 * i + 2].tofile(folder / f"data_batch_{i + 1}.bin")
    records[:4].tofile(folder / "test_batch.bin")
    np.save(folder / "exact_train.npy", np.arange(10) % 2 == 0)
    return tmp_path, images


@pytest.mark.parametrize("inner", ["", "cifar-10-batches-bin"])
def test_cifar10_binary(inner: str, cifar: tuple[Path, np.ndarray]) -> None:
    folder, images = cifar[0] / inner, cifar[1]
    x, y = everything(open_data(f"cifar10:{folder}#train", batch_size=3))
    assert np.array_equal(x, images.astype(np.float32) / np.float32(255))
    assert np.array_equal(y, np.arange(10))  # type: ignore[arg-type]
    assert len(open_data(f"cifar10:{folder}#test")) == 4
    x, y = everything(open_data(f"cifar10:{folder}#train[@exact_train.npy]"))
    assert np.array_equal(y, [0, 2, 4, 6, 8])  # type: ignore[arg-type]


def test_cifar10_faults(cifar: tuple[Path, np.ndarray]) -> None:
    folder = cifar[0] / "cifar-10-batches-bin"
    (folder / "data_batch_3.bin").unlink()
    error = refused(f"cifar10:{folder}#train")
    assert "there is no file" in error.message and "data_batch_3.bin" in error.message
    with (folder / "test_batch.bin").open("ab") as file:
        file.write(b"0")
    assert "test_batch.bin is truncated" in refused(f"cifar10:{folder}#test").message
    (folder / "test_batch.bin").unlink()
    error = refused(f"cifar10:{folder}#test")
    assert "has no cifar-10-batches-bin/test_batch.bin" in error.message
    assert "not the Python one" in str(error.hint)


def test_cifar10_pack_of_raw_and_jpeg(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    exact = np.array([True, False, True, False])
    raw = rng.integers(0, 256, (2, 3, 32, 32)).astype(np.uint8)
    files = []
    for shade in (40, 200):
        buffer = io.BytesIO()
        image.fromarray(np.full((32, 32, 3), shade, np.uint8)).save(buffer, "JPEG")
        files.append(buffer.getvalue())
    arrays = {
        "test_exact": exact,
        "test_exact_images": raw,
        "test_labels": np.array([3, 1, 4, 1], np.uint8),
        "test_jpeg": np.frombuffer(b"".join(files), np.uint8),
        "test_jpeg_offsets": np.cumsum([0, *map(len, files)]),
    }
    np.savez(tmp_path / "cifar10.npz", **arrays)
    x, y = everything(open_data(f"cifar10:{tmp_path}#test", batch_size=3))
    assert np.array_equal(x[exact], raw.astype(np.float32) / np.float32(255))
    assert np.allclose(x[1] * 255, 40, atol=2) and np.allclose(x[3] * 255, 200, atol=2)
    assert np.array_equal(y, [3, 1, 4, 1])  # type: ignore[arg-type]
    x, _ = everything(open_data(f"cifar10:{tmp_path}#test[@exact_test.npy]"))
    assert np.array_equal(x, raw.astype(np.float32) / np.float32(255))
    assert "cifar10.npz cannot be read" in refused(f"cifar10:{tmp_path}#train").message


# -- folders of images ---------------------------------------------------------------------


def test_image_folder(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (4, 5, 6, 3)).astype(np.uint8)
    for i, name in enumerate(["cat/b.png", "cat/a.PNG", "ant/x.png", "dog/y.png"]):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        image.fromarray(pixels[i]).save(tmp_path / name)
    (tmp_path / "dog" / "notes.txt").write_text("not an image")
    (tmp_path / "readme.png").write_text("not in a class")
    data = open_data(f"images:{tmp_path}", expect_shape=(3, 5, 6))
    x, y = everything(data)
    expected = pixels[[2, 1, 0, 3]].transpose(0, 3, 1, 2)
    assert np.array_equal(x, expected.astype(np.float32) / np.float32(255))
    assert np.array_equal(y, [0, 1, 1, 2])  # type: ignore[arg-type]
    assert data.notes == (
        "uint8 divided by 255",
        "images in 3 classes: ant 1, cat 2, dog 1",
        "skipped: .png 1, .txt 1",
    )
    image.fromarray(pixels[0, :4]).save(tmp_path / "dog" / "z.png")
    error = refused(f"images:{tmp_path}")
    assert "z.png has shape (3, 4, 6), the first image (3, 5, 6)" in error.message
    (tmp_path / "dog" / "z.png").write_text("junk")
    assert "z.png cannot be read" in refused(f"images:{tmp_path}").message


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "a").mkdir()
    image.fromarray(np.full((4, 4), 51, np.uint8)).save(tmp_path / "a" / "g.png")
    ((x, _),) = open_data(f"images:{tmp_path}")
    assert x.shape == (1, 1, 4, 4) and np.all(x == np.float32(0.2))


def test_no_images(tmp_path: Path) -> None:
    assert "no images in folders of" in refused(f"images:{tmp_path}").message


@pytest.mark.parametrize(
    ("name", "module", "hint"),
    [("images:{}", "PIL.Image", "snnc[images]"), ("digits#test", "sklearn.datasets", "snnc[demo]")],
)
def test_an_extra_that_is_not_installed(
    name: str, module: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "g.png").touch()
    monkeypatch.setitem(sys.modules, module, None)
    error = refused(name.format(tmp_path))
    assert "which is not installed" in error.message and hint in str(error.hint)


# -- the user's own data -------------------------------------------------------------------

USER = """
import numpy as np, torch
from torch.utils.data import DataLoader, TensorDataset
X = np.arange(24, dtype=np.float32).reshape(6, 2, 2)
Y = np.arange(6)
tensors = lambda: TensorDataset(torch.from_numpy(X).requires_grad_(), torch.from_numpy(Y))
loader = lambda: DataLoader(tensors(), batch_size=4)
samples = lambda: iter(zip(X, Y))
unlabelled = lambda: [x for x in X]
def generator():
    for i in range(0, 6, 4):
        yield X[i:i + 4], Y[i:i + 4]
empty = lambda: []
nothing = lambda: iter(())
number = lambda: 3
strings = lambda: iter(["a"])
triples = lambda: iter([(X[0], 1, 2)])
ragged = lambda: iter([(X[0], 1), (X[0, 0], 1)])
listed = lambda: [(X[0], 1), (X[0, 0], 1)]
mixed = lambda: iter([(X[0], 1), X[0]])
integers = lambda: [(X[0].astype(int), 1)]
def broken():
    raise RuntimeError("no disk")
def broken_later():
    yield X[0], 1
    raise RuntimeError("no disk")
class Broken:
    def __len__(self): return 3
    def __getitem__(self, i): return (X[i], 1) if i < 2 else 1 / 0
constant = 3
"""


@pytest.fixture
def user(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(USER)
    return str(tmp_path / "mine.py")


@pytest.mark.parametrize("name", ["tensors", "loader", "samples", "generator", "unlabelled"])
@pytest.mark.parametrize("shape", [None, (2, 2)])
def test_factories(name: str, shape: tuple[int, ...] | None, user: str) -> None:
    data = open_data(f"{user}:{name}", batch_size=5, expect_shape=shape)
    for _ in range(2):
        x, y = everything(data)
        assert np.array_equal(x, np.arange(24, dtype=np.float32).reshape(6, 2, 2))
        assert y is None if name == "unlabelled" else np.array_equal(y, np.arange(6))  # type: ignore[arg-type]
    assert data.labelled == (name != "unlabelled")
    x, _ = everything(open_data(f"{user}:{name}[2:4]"))
    assert np.array_equal(x, np.arange(24, dtype=np.float32).reshape(6, 2, 2)[2:4])


def test_a_factory_of_a_module(user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(user).parent)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    before = list(sys.path)
    assert len(open_data("mine:samples")) == 6
    assert sys.path == before


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone", "there is no function 'gone'"),
        ("constant", "there is no function 'constant'"),
        ("empty", "is empty"),
        ("nothing", "is empty"),
        ("number", "returned a int"),
        ("strings", "a str is not numbers"),
        ("triples", "an item of 3 parts"),
        ("ragged", "samples of shapes (2,) and (2, 2)"),
        ("listed", "sample 1 has shape (2,), the first (2, 2)"),
        ("mixed", "some samples have a y, others have none"),
        ("integers", "x is int64"),
        ("broken", "failed: RuntimeError: no disk"),
        ("broken_later", "failed: RuntimeError: no disk"),
        ("Broken", "mine.py:Broken[2] failed: ZeroDivisionError"),
    ],
)
def test_wrong_factories(name: str, reason: str, user: str) -> None:
    error = refused(f"{user}:{name}")
    assert reason in error.message and "mine.py" in error.message


def test_a_module_that_cannot_be_imported(tmp_path: Path) -> None:
    assert "No module named" in refused("no_such_module_here:make").message
    assert "there is no file" in refused(f"{tmp_path}/gone.py:make").message
    (tmp_path / "bad.py").write_text("def f(:\n")
    assert "failed: SyntaxError" in refused(f"{tmp_path}/bad.py:f").message


# -- real data -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mnist", "fashion-mnist"])
def test_real_mnist(kind: str, snnc_data: Path) -> None:
    for part, count in (("train", 60_000), ("test", 10_000)):
        data = open_data(f"{kind}:{snnc_data / kind}#{part}", expect_shape=(1, 28, 28))
        assert len(data) == count
        x, y = everything(data.limit(1000))
        assert 0 <= x.min() < x.max() <= 1
        assert y is not None and set(y.tolist()) == set(range(10))


def test_real_cifar10_pack_is_the_official_layout(snnc_data: Path, cifar10_dir: Path) -> None:
    for text in ("#test[1000:1030]", "#train[@exact_train.npy]"):
        packed = open_data(f"cifar10:{snnc_data / 'cifar10'}{text}", expect_shape=(3, 32, 32))
        official = open_data(f"cifar10:{cifar10_dir}{text}", expect_shape=(3, 32, 32))
        assert len(packed) == len(official)
        assert packed.limit(500).digest == official.limit(500).digest
    exact = open_data(f"cifar10:{cifar10_dir}#test[@exact_test.npy]")
    assert len(exact) == 1017 and np.array_equal(exact.indices, np.arange(1017))
