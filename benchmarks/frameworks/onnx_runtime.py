"""A spiking network, and the ANN of the same layers, as ONNX models for ONNX Runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from benchmarks.frameworks.modules import normalized
from snnc.ir import (
    Add,
    Conv,
    Encode,
    Graph,
    Input,
    Linear,
    Neuron,
    Node,
    Pad,
    Readout,
    Reshape,
    Scale,
    Slice,
    SumPool,
)

OPSET, IR_VERSION = 17, 9
Array = NDArray[Any]
Parts = list[str]
"""Names of tensors: one of all steps or one for each; one where the value is the same at all."""


def folded(graph: Graph, timesteps: int, batch: int) -> onnx.ModelProto:
    """The spiking graph; a layer takes all steps as one batch, neurons are unrolled."""
    return _Builder(graph, timesteps, batch, fold=True).model()


def unrolled(graph: Graph, timesteps: int, batch: int) -> onnx.ModelProto:
    """The spiking graph, a copy for each step."""
    return _Builder(graph, timesteps, batch, fold=False).model()


def ann(graph: Graph, batch: int) -> onnx.ModelProto:
    """The same layers with ReLUs, one pass."""
    return _Builder(normalized(graph), 1, batch, fold=False, is_ann=True).model()


def quantized(model: onnx.ModelProto, x: Array) -> onnx.ModelProto:
    """The model with weights (per channel) and activations of 8 bits, calibrated on x."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, source)
        quantize_static(
            source,
            target,
            _Samples(x),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(target)


def runner(model: onnx.ModelProto, x: Array, threads: int) -> Callable[[], Array]:
    """A call that runs the model on x."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    fed = {"x": x}
    return lambda: session.run(None, fed)[0]  # type: ignore[return-value]


class _Samples(CalibrationDataReader):
    def __init__(self, x: Array) -> None:
        self._samples: Iterator[dict[str, Array]] = iter([{"x": x}])

    def get_next(self) -> dict[str, Array] | None:  # type: ignore[override]
        return next(self._samples, None)


class _Builder:
    def __init__(
        self, graph: Graph, timesteps: int, batch: int, *, fold: bool, is_ann: bool = False
    ) -> None:
        self.graph, self.timesteps, self.batch = graph, timesteps, batch
        self.fold, self.is_ann = fold, is_ann
        self.types = graph.types()
        self.nodes, self.constants = list[Any](), list[Any]()
        self.factors = dict[str, int]()  # what average pooling left out, by node

    def model(self) -> onnx.ModelProto:
        """All nodes, in order."""
        made = dict[str, Parts]()
        for node in self.graph.nodes:
            sources = self.graph.inputs_of(node.name)
            made[node.name] = self._node(node, sources, [made[source] for source in sources])
        shape = (self.batch, *self.types[self.graph.input].shape)
        (result,) = made[self.graph.outputs[0]]
        classes = self.types[self.graph.outputs[0]].shape
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(result, TensorProto.FLOAT, (self.batch, *classes))],
            self.constants,
        )
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)
        onnx.checker.check_model(model)
        return model

    def _add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def _array(self, array: Array) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def _values(self, value: Any, shape: tuple[int, ...]) -> str:
        array = np.asarray(self.graph.array(value), np.float32)
        return self._array(
            array.reshape(-1, *(1,) * (len(shape) - 1)) if array.ndim == 1 else array
        )

    def _node(self, node: Node, names: tuple[str, ...], inputs: list[Parts]) -> Parts:
        op = node.op
        if isinstance(op, Input):
            return ["x"]
        self.factors[node.name] = 1
        if isinstance(op, Encode) or (self.is_ann and isinstance(op, Scale) and op.bias is None):
            return inputs[0]
        if isinstance(op, Add):
            return self._sum(names, inputs)
        if isinstance(op, Neuron):
            return self._neurons(op, names[0], inputs[0])
        if isinstance(op, Readout):
            return [self._readout(op, inputs[0], self.types[node.name].shape)]
        layer = self._layer(node, names[0])
        return [layer(part) for part in inputs[0]]

    def _layer(self, node: Node, source: str) -> Callable[[str], str]:
        op, before = node.op, self.factors.get(source, 1)
        if isinstance(op, Conv | Linear):
            arrays = [np.asarray(self.graph.array(op.weight), np.float32) * before]
            bias = None if op.bias is None else np.asarray(self.graph.array(op.bias), np.float32)
            is_map = bias is not None and bias.ndim > 1
            if bias is not None and not is_map:
                arrays.append(bias)
            constants = [self._array(array) for array in arrays]
            if isinstance(op, Linear):
                return lambda x: self._add("Gemm", x, *constants, transB=1)
            pads = [axis[end] for end in (0, 1) for axis in op.padding]
            known = {"strides": op.stride, "pads": pads, "dilations": op.dilation}
            shift = self._array(bias) if bias is not None and is_map else ""
            return lambda x: self._conv(x, constants, shift, group=op.groups, **known)
        if isinstance(op, SumPool):
            size = op.windows[0][0][1] - op.windows[0][0][0]
            self.factors[node.name] = 1 if self.is_ann else before * size**2
            sizes = (size, size)
            return lambda x: self._add("AveragePool", x, kernel_shape=sizes, strides=sizes)
        if isinstance(op, Slice):
            axes = np.arange(1, len(op.starts) + 1)
            parts = (op.starts, op.stops, axes, op.steps)
            limits = [self._array(np.array(part, np.int64)) for part in parts]
            return lambda x: self._add("Slice", x, *limits)
        if isinstance(op, Pad):
            ends = [(0, *(axis[end] for axis in op.padding)) for end in (0, 1)]
            pads = self._array(np.array(ends, np.int64).ravel())
            return lambda x: self._add("Pad", x, pads)
        if isinstance(op, Reshape):
            self.factors[node.name] = before
            return lambda x: self._add("Flatten", x)
        if isinstance(op, Scale) and before == 1:
            shape = self.types[node.name].shape
            factor = self._values(op.factor, shape)
            bias = None if op.bias is None else self._values(op.bias, shape)
            return lambda x: self._affine(x, factor, bias)
        raise ValueError(f"{node.name}: no ONNX operation for {op.mnemonic}")

    def _conv(self, x: str, constants: list[str], shift: str, **known: Any) -> str:
        current = self._add("Conv", x, *constants, **known)
        return self._add("Add", current, shift) if shift else current

    def _affine(self, x: str, factor: str, bias: str | None) -> str:
        scaled = self._add("Mul", x, factor)
        return scaled if bias is None else self._add("Add", scaled, bias)

    def _varies(self, name: str) -> bool:
        return not self.is_ann and not self.types[name].constant_in_time

    def _sum(self, names: tuple[str, ...], inputs: list[Parts]) -> Parts:
        if self.fold and len({self._varies(name) for name in names}) > 1:
            raise ValueError("a sum of a constant current and another one")
        most, total = max(map(len, inputs)), inputs[0]
        for parts in inputs[1:]:
            pairs = zip(total * (most // len(total)), parts * (most // len(parts)), strict=True)
            total = [self._add("Add", *pair) for pair in pairs]
        return total

    def _neurons(self, op: Neuron, source: str, parts: Parts) -> Parts:
        if self.is_ann:
            return [self._add("Relu", parts[0])]
        shape = self.types[source].shape
        if self.fold and self._varies(source):
            parts = self._split(parts[0])
        steps = parts * (self.timesteps // len(parts))
        threshold = self._values(op.threshold, shape)
        begins = np.any(self.graph.array(op.v_init) != 0)
        u = self._values(op.v_init, shape) if begins else ""
        spikes = Parts()
        for t, current in enumerate(steps):
            u = self._add("Add", u, current) if u else current
            fired = self._add("Greater", u, threshold)
            spikes.append(self._add("Cast", fired, to=TensorProto.FLOAT))
            if t + 1 < len(steps):
                u = self._add("Sub", u, self._add("Mul", spikes[-1], threshold))
        return [self._add("Concat", *spikes, axis=0)] if self.fold else spikes

    def _split(self, x: str) -> Parts:
        names = [f"step_{len(self.nodes)}_{t}" for t in range(self.timesteps)]
        sizes = self._array(np.full(self.timesteps, self.batch, np.int64))
        self.nodes.append(helper.make_node("Split", [x, sizes], names, names[0], axis=0))
        return names

    def _readout(self, op: Readout, parts: Parts, shape: tuple[int, ...]) -> str:
        total = parts[0]
        for part in parts[1:]:
            total = self._add("Add", total, part)
        if len(parts) == 1 and self.fold:
            sizes = self._array(np.array([self.timesteps, self.batch, *shape], np.int64))
            total = self._add("Reshape", total, sizes)
            total = self._add("ReduceSum", total, self._array(np.array([0])), keepdims=0)
        steps = 1 if self.is_ann else self.timesteps
        scale = np.asarray(self.graph.array(op.scale), np.float32) / np.float32(steps)
        return self._add("Mul", total, self._array(scale))
