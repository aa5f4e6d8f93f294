"""Damaged and hostile ONNX files: one line, nothing read outside the folder, nothing written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, load, save_model

from snnc.errors import ModelError, SnncError
from snnc.frontends import load as load_graph
from snnc.frontends import reference

node = helper.make_node


def refused(path: Path, words: str) -> None:
    before = sorted(path.parent.rglob("*"))
    with pytest.raises(ModelError, match=words) as error:
        load_graph(str(path))
    assert "\n" not in error.value.message and error.value.exit_code == 2
    assert sorted(path.parent.rglob("*")) == before, "something was written"


def linear(**kwargs: Any) -> tuple[Any, ...]:
    w = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    return [node("MatMul", ["x", "w"], ["y"])], ["N", 4], {"w": w}


@pytest.fixture
def external(tmp_path: Path, write: Any) -> Path:
    """`m/model.onnx` whose weight is in `m/w.bin`; `secret.bin` lies beside the folder."""
    folder = tmp_path / "m"
    folder.mkdir()
    proto = load(write(*linear()))
    (tmp_path / "model.onnx").unlink()
    path = folder / "model.onnx"
    save_model(proto, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    (tmp_path / "secret.bin").write_bytes((folder / "w.bin").read_bytes())
    return path


def relocated(path: Path, **entries: str) -> Path:
    proto = load(path, load_external_data=False)
    (tensor,) = proto.graph.initializer
    fields = {entry.key: entry.value for entry in tensor.external_data} | entries
    del tensor.external_data[:]
    for key, value in fields.items():
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(proto.SerializeToString())
    return path


def test_external_arrays_are_read(external: Path) -> None:
    graph = load_graph(str(external))
    x = np.ones((2, 4), np.float32)
    np.testing.assert_allclose(reference(str(external))(x)[0], x @ graph.params["w"].T, rtol=1e-5)


@pytest.mark.parametrize(
    "location",
    ["../secret.bin", "a/../../secret.bin", "..\\secret.bin", "C:\\secret.bin", "C:secret.bin",
     "\\secret.bin", "", "w\0.bin", ".."],
)  # fmt: skip
def test_outside_the_folder(external: Path, location: str) -> None:
    refused(relocated(external, location=location), "outside the folder of the model")


def test_absolute_paths_and_links(external: Path) -> None:
    secret = external.parent.parent / "secret.bin"
    refused(relocated(external, location=str(secret)), "outside the folder of the model")
    (external.parent / "link.bin").symlink_to(secret)
    refused(relocated(external, location="link.bin"), "outside the folder of the model")
    (external.parent / "up").symlink_to(secret.parent)
    refused(relocated(external, location="up/secret.bin"), "outside the folder of the model")
    os.mkfifo(external.parent / "pipe")
    refused(relocated(external, location="pipe"), "no file")
    refused(relocated(external, location="none.bin"), "no file")


@pytest.mark.parametrize(
    "entries",
    [{"offset": "-4"}, {"offset": "1e3"}, {"offset": "8"}, {"length": "4"}, {"length": "９"},
     {"offset": str(10**17)}],
)  # fmt: skip
def test_places_in_the_file(external: Path, entries: dict[str, str]) -> None:
    refused(relocated(external, **entries), "no place|claims|shorter|cannot be read")


def test_sizes_that_are_claimed(external: Path) -> None:
    proto = load(external, load_external_data=False)
    (tensor,) = proto.graph.initializer
    for dims, words in (([1 << 20, 1 << 20], "more than 4 GiB"), ([-4, -3], "negative")):
        tensor.dims[:] = dims
        external.write_bytes(proto.SerializeToString())
        refused(external, words)


def changed(write: Any, change: Any) -> Path:
    path: Path = write(*linear())
    proto = load(path)
    change(proto)
    path.write_bytes(proto.SerializeToString())
    return path


def shorter(m: ModelProto) -> None:
    m.graph.initializer[0].raw_data = b"1234"


def other_type(m: ModelProto) -> None:
    m.graph.initializer[0].data_type = 99


def whole_input(m: ModelProto) -> None:
    m.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8


def no_axis(m: ModelProto) -> None:
    del m.graph.input[0].type.tensor_type.shape.dim[1:]


def nan(m: ModelProto) -> None:
    m.graph.initializer[0].raw_data = np.full((4, 3), np.nan, np.float32).tobytes()


def renamed(text: str) -> Any:
    return lambda m: (
        setattr(m.graph.node[0], "name", text) or m.graph.node[0].attribute.add(name="q", type=2)
    )


CHANGES: dict[str, tuple[Any, str]] = {
    "opset": (lambda m: setattr(m.opset_import[0], "version", 9), "opset 9; 11 to 21"),
    "new opset": (lambda m: setattr(m.opset_import[0], "version", 99), "opset 99"),
    "no opset": (lambda m: m.ClearField("opset_import"), "opset 0"),
    "no nodes": (lambda m: m.graph.ClearField("node"), "no operations"),
    "functions": (lambda m: m.functions.add(name="f"), "functions of its own"),
    "sparse": (lambda m: m.graph.sparse_initializer.add(), "sparse"),
    "loose input": (lambda m: m.graph.node[0].input.__setitem__(1, "v"), "nothing before"),
    "loose output": (lambda m: setattr(m.graph.output[0], "name", "z"), "nothing gives"),
    "twice": (lambda m: m.graph.node.append(m.graph.node[0]), "computed twice"),
    "itself": (lambda m: m.graph.node[0].input.__setitem__(0, "y"), "nothing before"),
    "two inputs": (lambda m: m.graph.input.add(name="z"), "takes 2 inputs"),
    "unknown attribute": (renamed("n"), "Unrecognized attribute"),
    "control characters": (renamed("\x1b[31m" * 99), r"model.onnx: \?\[31m"),
    "few inputs": (lambda m: m.graph.node[0].input.pop(), "input size"),
    "short array": (shorter, "48 bytes holds 4"),
    "type": (other_type, "unknown type 99"),
    "integers": (whole_input, "not of floating point"),
    "no axis": (no_axis, "no axis of samples"),
    "nan": (nan, "NaN or infinity in w"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_changed(write: Any, case: str) -> None:
    change, words = CHANGES[case]
    refused(changed(write, change), words)


def test_damaged(write: Any) -> None:
    path: Path = write(*linear())
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for end in range(4, len(data), 7):
        path.write_bytes(data[:end])
        with pytest.raises(SnncError) as error:
            load_graph(str(path))
        assert error.value.exit_code == 2
    for _ in range(150):
        garbled = bytearray(data)
        for at in rng.integers(4, len(data), 3):
            garbled[at] = rng.integers(256)
        path.write_bytes(garbled)
        try:
            load_graph(str(path))
        except SnncError as error:
            assert "\n" not in error.message or error.exit_code == 3


def test_constants_that_explode(write: Any) -> None:
    huge = np.array([1 << 40], np.int64)
    fill = [node("ConstantOfShape", ["n"], ["c"]), node("Add", ["x", "c"], ["y"])]
    double = [node("Concat", [f"c{i}"] * 64, [f"c{i + 1}"], axis=0) for i in range(9)]
    wide = [node("Add", ["a", "b"], ["c"]), node("Add", ["x", "c"], ["y"])]
    column = np.zeros((1 << 15, 1), np.float32)
    cases: list[tuple[Any, ...]] = [
        (fill, ["N", 3], {"n": huge}),
        ([*double, node("Add", ["x", "c9"], ["y"])], ["N", 3], {"c0": np.zeros(3, np.float32)}),
        (wide, ["N", 3], {"a": column, "b": column.T}),
        ([node("Range", ["z", "n", "o"], ["c"]), *fill[1:]], ["N", 3],
         {"z": np.int64(0), "n": huge[0], "o": np.int64(1)}),
    ]  # fmt: skip
    for case in cases:
        with pytest.raises(SnncError, match="large constant"):
            load_graph(str(write(*case)))


def test_attributes_and_numbers_that_make_no_sense(write: Any) -> None:
    x, big = ["N", 2, 6, 6], 1 << 40
    two, pads = {"kernel_shape": [2, 2]}, np.array([0, 0, 0, 0, 0, 0, 0, big])
    scales = [np.array([1, 1, value, 1], np.float32) for value in (np.nan, np.inf, -1, 0, 1e9)]
    wrong = np.array([7, -9], np.int64)
    w = np.zeros((2, 2, 1, 1), np.float32)
    cases: list[tuple[Any, Any]] = [
        (node("MaxPool", ["x"], ["y"], kernel_shape=[big, 2]), {}),
        (node("MaxPool", ["x"], ["y"], pads=[big, 0, 0, 0], **two), {}),
        (node("AveragePool", ["x"], ["y"], pads=[-1, 0, 0, 0], **two), {}),
        (node("MaxPool", ["x"], ["y"], strides=[0, 1], **two), {}),
        (node("MaxPool", ["x"], ["y"], strides=[-1, 1], **two), {}),
        (node("MaxPool", ["x"], ["y"], auto_pad="\udcff".encode(errors="ignore"), **two), {}),
        (node("Conv", ["x", "w"], ["y"], group=0), {"w": w}),
        (node("Conv", ["x", "w"], ["y"], group=-3), {"w": w}),
        (node("Conv", ["x", "w"], ["y"], pads=[big, 0, 0, 0]), {"w": w}),
        (node("Conv", ["x", "w"], ["y"], dilations=[0, 1]), {"w": w}),
        (node("Conv", ["x", "w"], ["y"]), {"w": np.zeros((0, 2, 1, 1), np.float32)}),
        (node("Conv", ["x", "w"], ["y"]), {"w": np.float32(1)}),
        (node("Gemm", ["x", "w"], ["y"]), {"w": w}),
        (node("Transpose", ["x"], ["y"], perm=[0, 1, 1, 2]), {}),
        (node("Flatten", ["x"], ["y"], axis=-99), {}),
        (node("Concat", ["x", "x"], ["y"], axis=99), {}),
        (node("Split", ["x"], ["y", "z"], axis=-2**60), {}),
        (node("Squeeze", ["x", "s"], ["y"]), {"s": wrong}),
        (node("Unsqueeze", ["x", "s"], ["y"]), {"s": wrong}),
        (node("Reshape", ["x", "s"], ["y"]), {"s": np.array([-1, -1])}),
        (node("Reshape", ["x", "s"], ["y"]), {"s": np.array([], np.int64)}),
        (node("Gather", ["x", "s"], ["y"], axis=1), {"s": wrong}),
        (node("Slice", ["x", "s", "s", "s"], ["y"]), {"s": wrong}),
        (node("Pad", ["x", "s"], ["y"]), {"s": pads}),
        (node("DepthToSpace", ["x"], ["y"], blocksize=0), {}),
        (node("DepthToSpace", ["x"], ["y"], blocksize=-1), {}),
        (node("ReduceMean", ["x"], ["y"], axes=[99]), {}),
        *((node("Resize", ["x", "", "s"], ["y"]), {"s": each}) for each in scales),
        (node("BatchNormalization", ["x", *"wwww"], ["y"]), {"w": -np.ones(2, np.float32)}),
        (node("Div", ["x", "w"], ["y"]), {"w": np.float32(0)}),
        (node("Add", ["x", "w"], ["y"]), {"w": np.array("text", object)}),
    ]  # fmt: skip
    for operation, arrays in cases:
        with pytest.raises(SnncError) as error:
            load_graph(str(write([operation], x, arrays, opset=13)))
        assert error.value.exit_code in (2, 3), operation
    with pytest.raises(ModelError, match="elements"):
        load_graph(str(write([node("Relu", ["x"], ["y"])], ["N", 1 << 40])))
