"""The reader of arrays: what safetensors writes, and no more than safetensors accepts."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from snnc.artifact.tensors import read_tensors
from snnc.errors import ArtifactError

ARRAYS: dict[str, Any] = {
    "bytes": np.arange(-3, 4, dtype=np.int8),
    "empty": np.empty((3, 0), np.float32),
    "flags": np.array([True, False]),
    "half": np.array([[0.5], [2]], np.float16),
    "number": np.array(7, np.int64),
    "weights": np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 3,
    "words": np.array([1, 2**40], np.uint64),
}
Header = dict[str, Any]


def packed(header: Header | bytes, data: bytes, length: int | None = None) -> bytes:
    """A file of a header and data; `length` is what it says of the header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def described(shape: list[Any], begin: Any, end: Any, dtype: Any = "F32") -> Header:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_reads_what_safetensors_writes_as_views() -> None:
    data = safetensors.numpy.save(ARRAYS, {"by": "nobody"})
    read = read_tensors(data, "a")
    assert read.keys() == ARRAYS.keys()
    memory = np.frombuffer(data, np.uint8)
    for name, array in read.items():
        assert array.dtype == ARRAYS[name].dtype and array.flags.aligned
        np.testing.assert_array_equal(array, ARRAYS[name])
        assert not array.size or (not array.flags.writeable and np.shares_memory(array, memory))


def test_an_array_at_an_odd_place_is_copied() -> None:
    data = packed(b" " + json.dumps({"a": described([1], 0, 4)}).encode(), np.float32(3).tobytes())
    variants = [packed({"a": described([1], 0, 4), "__metadata__": {"x": "y" * n}}, data[-4:])
                for n in range(4)]  # fmt: skip
    for variant in variants:
        (array,) = read_tensors(variant, "a").values()
        assert array.flags.aligned and array.tolist() == [3]


WRONG: dict[str, bytes] = {
    "nothing": b"",
    "a cut length": b"\1\0\0",
    "a header beyond the end": packed({}, b"", 99),
    "a header without end": packed({}, b"", 2**64 - 1),
    "no JSON": packed(b"{", b""),
    "a list": packed(b"[]", b""),
    "a key twice": packed(b'{"a":%s,"a":%s}' % ((json.dumps(described([1], 0, 4)).encode(),) * 2),
                          bytes(4)),
    "no description": packed({"a": 3}, b""),
    "a field less": packed({"a": {"dtype": "F32", "shape": [1]}}, bytes(4)),
    "an unknown type": packed({"a": described([1], 0, 4, "F31")}, bytes(4)),
    "a type that is no text": packed({"a": described([1], 0, 4, ["F32"])}, bytes(4)),
    "a negative extent": packed({"a": described([-1, -1], 0, 4)}, bytes(4)),
    "an extent that is no number": packed({"a": described(["1"], 0, 4)}, bytes(4)),
    "an extent that is true": packed({"a": described([True], 0, 4)}, bytes(4)),
    "metadata that are no text": packed({"__metadata__": {"a": 1}}, b""),
    "another size": packed({"a": described([2], 0, 4)}, bytes(4)),
    "an overflow": packed({"a": described([2**62, 4], 0, 0)}, b""),
    "an end before the begin": packed({"a": described([0], 4, 0)}, bytes(4)),
    "three offsets": packed({"a": described([1], 0, 4) | {"data_offsets": [0, 4, 4]}}, bytes(4)),
    "a gap": packed({"a": described([1], 0, 4), "b": described([1], 8, 12)}, bytes(12)),
    "an overlap": packed({"a": described([2], 0, 8), "b": described([1], 4, 8)}, bytes(8)),
    "data behind the arrays": packed({"a": described([1], 0, 4)}, bytes(5)),
    "data that end too early": packed({"a": described([1], 0, 4)}, bytes(3)),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_member_is_refused(wrong: str) -> None:
    with pytest.raises(ArtifactError, match="it is damaged|the header of it is"):
        read_tensors(WRONG[wrong], "it")


def test_changed_members_are_refused_or_read_as_safetensors_reads_them() -> None:
    rng, good = np.random.default_rng(0), safetensors.numpy.save(ARRAYS)
    length = int.from_bytes(good[:8], "little")
    read = 0
    for _ in range(4000):
        changed = bytearray(good)
        for place in rng.integers(0, 8 + length, rng.integers(1, 4)):
            changed[place] = rng.choice(bytearray(b'0123456789[]{},":FIU8 \xff'))
        read += _is_read_alike(bytes(changed))
    assert read > 20


def _is_read_alike(data: bytes) -> bool:
    """Whether the reader takes it; then safetensors must, with the same result."""
    try:
        found = read_tensors(data, "it")
    except ArtifactError:
        return False
    expected = safetensors.numpy.load(data)
    assert found.keys() == expected.keys()
    for name, array in found.items():
        assert array.dtype == expected[name].dtype and array.shape == expected[name].shape
        assert array.tobytes() == expected[name].tobytes()
    return True
