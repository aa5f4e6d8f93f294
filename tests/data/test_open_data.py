"""The DATA grammar, and every source behind it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnc.data import Dataset, DataSpec, held_out, open_data, parse
from snnc.errors import DataError
from snnc.transform import Batches, Selectable


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


# -- the grammar ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("digits#train", DataSpec("digits", split="train")),
        ("digits#test[:10]", DataSpec("digits", split="test", stop=10)),
        ("mnist:data/mnist#test[:1000]", DataSpec("mnist", "data/mnist", split="test", stop=1000)),
        ("fashion-mnist:d#train", DataSpec("fashion-mnist", "d", split="train")),
        (
            "cifar10:DIR#train[@exact_train.npy]",
            DataSpec("cifar10", "DIR", split="train", mask="exact_train.npy"),
        ),
        ("x.npz[1024:2048]", DataSpec("npz", "x.npz", start=1024, stop=2048)),
        ("x.npy", DataSpec("npy", "x.npy")),
        ("x.npy[5:]", DataSpec("npy", "x.npy", start=5)),
        ("a#b[1].npy[2:3]", DataSpec("npy", "a#b[1].npy", start=2, stop=3)),
        ("images:a:b#c", DataSpec("images", "a:b#c")),
        ("pkg.mod:make", DataSpec("module", "pkg.mod", "make")),
        ("a/b.py:make[:3]", DataSpec("file", "a/b.py", "make", stop=3)),
        ("x.npy[@m[1].npy]", None),
    ],
)
def test_parse(text: str, expected: DataSpec | None) -> None:
    if expected is None:
        with pytest.raises(DataError):
            parse(text)
    else:
        assert parse(text) == expected
        assert str(parse(text)) == text


@pytest.mark.parametrize(
    ("text", "reason", "hint"),
    [
        ("", "names no source", "digits#train"),
        ("[:3]", "names no source", "digits#train"),
        ("digits", "digits has two parts; say which", "digits#train or digits#test"),
        ("mnist:d", "mnist has two parts", "mnist:d#train or mnist:d#test"),
        ("digits#val", "'val' is not a part of digits", "#train or #test"),
        ("mnist#test", "mnist needs its folder", "mnist:DIR"),
        ("cifar10:", "cifar10 needs its folder", "cifar10:DIR"),
        ("x.npz#test", "only digits, mnist, fashion-mnist and cifar10 have #test", ""),
        ("images:d#train", "only digits, mnist", ""),
        ("x.csv", "'x.csv' is not understood", "x.npz"),
        ("imagenet:dir/x", "is not understood", "images:DIR"),
        ("im-net:x", "'im-net' is neither a known kind nor a module", "images:DIR"),
        ("x.npy[]", "[] is not a selection", "[:N]"),
        ("x.npy[3]", "[3] is not a selection", "[:N]"),
        ("x.npy[-3:]", "[-3:] is not a selection", "[:N]"),
        ("x.npy[::2]", "[::2] is not a selection", "[:N]"),
        ("x.npy[@]", "[@] is not a selection", "[:N]"),
        ("x.npy[:0]", "[:0] selects nothing", ""),
        ("x.npy[5:5]", "[5:5] selects nothing", ""),
    ],
)
def test_wrong_text(text: str, reason: str, hint: str) -> None:
    error = refused(text)
    assert reason in error.message
    assert hint in (error.hint or "")


@given(st.text(alphabet="digtsmn:#[]@./py0123 ", max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        spec = parse(text)
    except DataError:
        return
    assert parse(str(spec)) == spec


def test_opening_data_imports_no_torch() -> None:
    code = (
        "import sys; from snnc.data import open_data; list(open_data('digits#test[:3]'))\n"
        "print([m for m in ('torch', 'networkx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- arrays --------------------------------------------------------------------------------


@pytest.fixture
def arrays(tmp_path: Path) -> tuple[np.ndarray, np.ndarray, str]:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(23, 2, 3)).astype(np.float32), rng.integers(0, 5, 23)
    np.savez(tmp_path / "x.npz", x=x, y=y)
    return x, y, str(tmp_path / "x.npz")


def test_batches(arrays: tuple[np.ndarray, np.ndarray, str]) -> None:
    x, y, path = arrays
    data = open_data(path, batch_size=10, expect_shape=(2, 3))
    assert [len(batch) for batch, _ in data] == [10, 10, 3]
    assert len(data) == 23 and data.input_shape == (2, 3) and data.labelled and data.notes == ()
    for _ in range(2):
        xs, ys = everything(data)
        assert xs.dtype == np.float32
        assert np.array_equal(xs, x) and np.array_equal(ys, y)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("selection", "rows"), [("[:5]", slice(5)), ("[3:9]", slice(3, 9)), ("[20:]", slice(20, None))]
)
def test_ranges(arrays: tuple[np.ndarray, np.ndarray, str], selection: str, rows: slice) -> None:
    x, y, path = arrays
    xs, ys = everything(open_data(path + selection, batch_size=4))
    assert np.array_equal(xs, x[rows]) and np.array_equal(ys, y[rows])  # type: ignore[arg-type]


def test_samples_in_any_order(arrays: tuple[np.ndarray, np.ndarray, str]) -> None:
    x, y, path = arrays
    data = open_data(path + "[3:20]")
    assert isinstance(data, Selectable)
    xs, ys = data.take(np.array([16, 0, 4]))
    assert np.array_equal(xs, x[[19, 3, 7]])
    assert ys is not None and np.array_equal(ys, y[[19, 3, 7]])


def test_masks(arrays: tuple[np.ndarray, np.ndarray, str], tmp_path: Path) -> None:
    x, _, path = arrays
    for mask in (np.arange(23) % 3 == 0, np.array([5, 1, 5, 22])):
        np.save(tmp_path / "m.npy", mask)
        xs, _ = everything(open_data(f"{path}[@{tmp_path}/m.npy]"))
        assert np.array_equal(xs, x[mask])


def test_limit_and_digest(arrays: tuple[np.ndarray, np.ndarray, str], tmp_path: Path) -> None:
    x, y, path = arrays
    data = open_data(path)
    assert len(data.limit(5)) == 5 and len(data.limit(99)) == 23 and data.limit(None) is data
    with pytest.raises(DataError, match="a limit of 0"):
        data.limit(0)
    assert data.digest == open_data(path, batch_size=7).digest
    assert data.limit(5).digest == open_data(path + "[:5]").digest
    np.savez(tmp_path / "z.npz", x=x.astype(np.float64), y=y)
    assert open_data(str(tmp_path / "z.npz")).digest == data.digest
    np.savez(tmp_path / "z.npz", x=x, y=y + 1)
    assert open_data(str(tmp_path / "z.npz")).digest != data.digest
    np.savez(tmp_path / "z.npz", x=x + 1, y=y)
    assert open_data(str(tmp_path / "z.npz")).digest != data.digest


def test_npy_is_mapped_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((4, 2), np.float16))
    data = open_data(str(tmp_path / "x.npy"))
    assert isinstance(data.source.x, np.memmap)  # type: ignore[attr-defined]
    ((x, y),) = data
    assert x.dtype == np.float32 and y is None and not data.labelled


def test_uint8_is_divided_and_said_so(tmp_path: Path) -> None:
    values = np.arange(256, dtype=np.uint8)[:, None]
    np.save(tmp_path / "x.npy", values)
    data = open_data(str(tmp_path / "x.npy"), batch_size=256)
    assert data.notes == ("uint8 divided by 255",)
    ((x, _),) = data
    assert np.array_equal(x, values.astype(np.float32) / np.float32(255))
    assert x.min() == 0 and x.max() == 1


def save(path: Path, **arrays: Any) -> None:
    np.savez(path / "x.npz", **arrays)


ONES = np.ones((4, 3), np.float32)
WRONG_ARRAYS: dict[str, tuple[dict[str, Any], str, str]] = {
    "integers": ({"x": ONES.astype(int)}, "x is int64", "uint8 to be divided"),
    "booleans": ({"x": ONES > 0}, "x is bool", "float32"),
    "complex": ({"x": ONES * 1j}, "x is complex", "float32"),
    "text": ({"x": np.array([["a"]])}, "x is <U1", "float32"),
    "objects": ({"x": np.array([[None]])}, "x.npz cannot be read: Object arrays cannot", ""),
    "no x": ({"a": ONES, "b": ONES}, "has no array 'x'; it has a, b", "np.savez"),
    "one axis": ({"x": ONES[0]}, "x has shape (3,)", "(N, *sample shape)"),
    "empty": ({"x": ONES[:0]}, "x is empty", ""),
    "lengths": ({"x": ONES, "y": np.zeros(3)}, "4 samples but y has shape (3,)", ""),
    "scalar y": ({"x": ONES, "y": np.asarray(3)}, "4 samples but y has shape ()", ""),
    "text y": ({"x": ONES, "y": np.array(list("abcd"))}, "y is <U1", "class numbers"),
    "NaN": ({"x": np.where(np.eye(4, 3) == 1, np.nan, 0)}, "sample 0 holds NaN", ""),
    "too large": ({"x": np.full((4, 3), 1e39)}, "sample 0 holds NaN or infinity", ""),
}


@pytest.mark.parametrize("name", WRONG_ARRAYS)
def test_wrong_arrays(name: str, tmp_path: Path) -> None:
    arrays, reason, hint = WRONG_ARRAYS[name]
    np.savez(tmp_path / "x.npz", **arrays)
    error = refused(str(tmp_path / "x.npz"))
    assert reason in error.message and "x.npz" in error.message
    assert hint in (error.hint or "")


def test_nan_names_the_sample_of_the_file(tmp_path: Path) -> None:
    x = np.ones((20, 3), np.float32)
    x[13, 1] = np.nan
    np.save(tmp_path / "x.npy", x)
    assert "sample 13 holds NaN" in refused(f"{tmp_path}/x.npy[5:]", batch_size=4).message
    assert len(everything(open_data(f"{tmp_path}/x.npy[:13]"))[0]) == 13


@pytest.mark.parametrize(
    ("shape", "reason", "hint"),
    [
        ((3, 8, 8), "samples have shape (1, 8, 8), the model takes (3, 8, 8)", "--input-shape"),
        ((64,), "the model takes (64,)", "--input-shape"),
    ],
)
def test_another_shape_than_the_model_takes(shape: tuple[int, ...], reason: str, hint: str) -> None:
    error = refused("digits#test", expect_shape=shape)
    assert reason in error.message and hint in (error.hint or "")


def test_hints_for_common_shapes(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 8, 8), np.float32))
    path = str(tmp_path / "x.npy")
    assert "one sample" in str(refused(path, expect_shape=(3, 8, 8)).hint)
    np.save(tmp_path / "x.npy", np.zeros((2, 8, 8, 3), np.float32))
    assert "channels first" in str(refused(path, expect_shape=(3, 8, 8)).hint)


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (np.ones(4, bool), "a mask of 4 entries for 23 samples"),
        (np.zeros(23, bool), "selects nothing"),
        (np.array([], int), "selects nothing"),
        (np.array([23]), "an index of .* lies outside 0..22"),
        (np.array([-1]), "lies outside 0..22"),
        (np.zeros(23), "is float64"),
        (np.zeros((23, 1), bool), "is bool"),
    ],
)
def test_wrong_masks(
    mask: np.ndarray,
    reason: str,
    arrays: tuple[np.ndarray, np.ndarray, str],
    tmp_path: Path,
) -> None:
    np.save(tmp_path / "m.npy", mask)
    with pytest.raises(DataError, match=reason):
        open_data(f"{arrays[2]}[@{tmp_path}/m.npy]")


def test_selection_beyond_the_end(arrays: tuple[np.ndarray, np.ndarray, str]) -> None:
    assert "needs 24 samples, there are 23" in refused(arrays[2] + "[:24]").message
    assert "needs 24 samples, there are 23" in refused(arrays[2] + "[23:]").message


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_damaged_and_missing_files(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    assert f"there is no file {path}" in refused(str(path)).message
    for junk in (b"", b"junk", b"PK\x03\x04junk", b"\x93NUMPY\x01\x00junk", b"\x80\x04N."):
        path.write_bytes(junk)
        assert str(path) in refused(str(path)).message
    np.save(tmp_path / "a.npy", np.ones((9, 9)))
    (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    assert "a.npz cannot be read: it is not an .npz file" in refused(f"{tmp_path}/a.npz").message
    np.savez(tmp_path / "b.npz", x=ONES)
    (tmp_path / "b.npz").rename(tmp_path / "b.npy")
    assert "b.npy cannot be read: the magic string" in refused(f"{tmp_path}/b.npy").message


def test_a_truncated_npz(arrays: tuple[np.ndarray, np.ndarray, str]) -> None:
    path = Path(arrays[2])
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    assert "x.npz cannot be read: Bad CRC-32" in refused(str(path)).message
    path.write_bytes(data[:300])
    assert "cannot be read" in refused(str(path)).message


def test_held_out_samples_are_the_last_of_enough(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.arange(256, dtype=np.float32)[:, None])
    data = open_data(str(tmp_path / "x.npz"))

    def values(batches: Batches) -> list[float]:
        return [float(v) for x, _ in batches for v in x[:, 0]]

    rest, held = held_out(data, 10)
    assert values(held) == list(range(246, 256)) and values(rest) == list(range(246))
    rest, held = held_out(data, 100)
    assert values(held) == list(range(192, 256)) and values(rest) == list(range(192))
    rest, held = held_out(data.limit(40), 10)
    assert values(held) == list(range(30, 40)) and values(rest) == list(range(30))
    for few, size in ((255, 64), (39, 10)):
        whole, first = held_out(data.limit(few), size)
        assert values(whole) == list(range(few)) and values(first) == list(range(size))
    batches = list(data)
    whole, first = held_out(batches, 10)
    assert whole is batches and values(first) == list(range(10))
