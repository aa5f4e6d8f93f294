"""From a graph to a plan: one kernel per node, weights in the layout of the kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc import ir
from snnc.errors import GraphError
from snnc_backends.cpu import kernels
from snnc_backends.cpu.bounds import SHORTEST, longest_window, magnitudes
from snnc_backends.cpu.kernels.base import LARGEST
from snnc_backends.cpu.layout import channels_last, moved_positions, plane, spread
from snnc_backends.cpu.plan import Encoding, Output, Plan, Step, Tensor
from snnc_backends.cpu.storage import ANALOG, Blob, record_of, storage, weight_type

Array = NDArray[Any]
INT16 = 2**15 - 1


def lower(graph: ir.Graph, timesteps: int) -> tuple[Plan, bytes]:
    """The plan of an `snn` graph and the content of `weights.bin`."""
    lowering = _Lowering(graph)
    for node in graph.nodes:
        lowering.add(node)
    return lowering.plan(timesteps), lowering.blob.content()


@dataclass(frozen=True)
class _Site:
    """A node while it is lowered, with the types of its inputs and of its result."""

    node: ir.Node
    inputs: tuple[ir.TensorType, ...]
    result: ir.TensorType


Lowered = tuple[kernels.Kernel, dict[str, Array]]


class _Lowering:
    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.types = graph.types()
        self.bounds = magnitudes(graph)
        self.blob = Blob()
        self.tensors: list[Tensor] = []
        self.numbers: dict[str, int] = {}
        self.steps: list[Step] = []
        self.analog = 0
        self.longest = LARGEST
        self.encoding: Encoding | None = None
        self.outputs: list[Output] = []

    def plan(self, timesteps: int) -> Plan:
        """The finished plan. Raises `GraphError` for a graph without an encoder."""
        if self.encoding is None:
            raise GraphError("the graph has no encode behind its input")
        first = self.graph.outputs[0]
        outputs = sorted(self.outputs, key=lambda output: output.name != first)
        return Plan(
            timesteps=timesteps,
            longest=self.longest,
            analog=self.analog,
            tensors=tuple(self.tensors),
            steps=tuple(self.steps),
            encoding=self.encoding,
            outputs=tuple(outputs),
        )

    def add(self, node: ir.Node) -> None:
        """Lower one node."""
        sources = self.graph.inputs_of(node.name)
        site = _Site(node, tuple(self.types[s] for s in sources), self.types[node.name])
        numbers = tuple(self.numbers[source] for source in sources)
        if isinstance(node.op, ir.Readout):
            self._readout(node.op, site, numbers[0])
            return
        if isinstance(node.op, ir.Rearrange):
            self._rearrange(node.op, site, numbers)
            return
        number = self._tensor(site.node.name, site.result, record_of(node.op, site.result))
        if isinstance(node.op, ir.Input):
            return
        if isinstance(node.op, ir.Encode):
            op = node.op
            self.encoding = Encoding(op.code_class.name, op.scale, op.lo, op.hi, numbers[0], number)
            return
        self._step(self._kernel(node.op, site), numbers, number)

    def _step(self, lowered: Lowered, numbers: tuple[int, ...], number: int) -> None:
        kernel, arrays = lowered
        tables = kernel.arrays()
        offsets = {name: self.blob.add(arrays[name], tables[name].dtype) for name in tables}
        step = Step(kernel, numbers, number, offsets)
        if self.tensors[number].dtype == ANALOG:
            self.steps.insert(self.analog, step)
            self.analog += 1
        else:
            self.steps.append(step)

    def _tensor(self, name: str, kind: ir.TensorType, record: str = "none") -> int:
        constant = kind.signal is ir.Signal.ANALOG or kind.constant_in_time
        self.tensors.append(Tensor(name, kind.shape, storage(kind), constant, record))
        self.numbers[name] = len(self.tensors) - 1
        return self.numbers[name]

    def _kernel(self, op: ir.Op, site: _Site) -> Lowered:
        table: dict[type[ir.Op], Callable[[Any, _Site], Lowered]] = {
            ir.Conv: self._conv,
            ir.Linear: self._linear,
            ir.Scale: self._scale,
            ir.Add: self._add,
            ir.SumPool: self._pool,
            ir.MaxPool: self._pool,
            ir.CountMaxPool: self._count_maxpool,
            ir.Neuron: self._neuron,
            ir.TwoSidedNeuron: self._neuron,
        }
        return table[type(op)](op, site)

    def _constant(self, site: _Site) -> bool:
        return site.result.constant_in_time or site.result.signal is ir.Signal.ANALOG

    def _readout(self, op: ir.Readout, site: _Site, source: int) -> None:
        if site.node.name not in self.graph.outputs:
            return
        scale = np.asarray(self.graph.array(op.scale), np.float64)
        shape = site.result.shape
        scale = channels_last(scale) if scale.shape == shape else scale
        offset = self.blob.add(scale, "f64")
        self.outputs.append(
            Output(site.node.name, source, offset, scale.size, site.result.quantized, op.start)
        )

    def _conv(self, op: ir.Conv, site: _Site) -> Lowered:
        weight = self.graph.array(op.weight)
        rank = len(op.stride)
        pair = (lambda v: (1, *v)) if rank == 1 else tuple  # a 1-d convolution is one row high
        pads = op.padding if rank == 2 else ((0, 0), *op.padding)
        weight = weight.reshape(*weight.shape[:2], *pair(weight.shape[2:]))
        geometry = {
            "kernel_h": weight.shape[2],
            "kernel_w": weight.shape[3],
            "stride_h": pair(op.stride)[0],
            "stride_w": pair(op.stride)[1],
            "dilation_h": pair(op.dilation)[0],
            "dilation_w": pair(op.dilation)[1],
            "pad_top": pads[0][0],
            "pad_left": pads[1][0],
        }
        return self._weighted(site, weight, op.bias, op.groups, geometry)

    def _linear(self, op: ir.Linear, site: _Site) -> Lowered:
        weight = self.graph.array(op.weight)[:, :, None, None]
        geometry = dict.fromkeys(("kernel_h", "kernel_w", "stride_h", "stride_w"), 1)
        geometry |= {"dilation_h": 1, "dilation_w": 1, "pad_top": 0, "pad_left": 0}
        return self._weighted(site, weight, op.bias, 1, geometry)

    def _weighted(
        self,
        site: _Site,
        weight: Array,
        bias: ir.Ref | None,
        groups: int,
        geometry: dict[str, int],
    ) -> Lowered:
        x, y = site.inputs[0], site.result
        kind, arrays = self._bias(bias, y.shape)
        common: dict[str, Any] = {
            **self._planes(site),
            "weight": weight_type(weight, storage(y)),
            "bias": kind,
            **geometry,
        }
        outputs, inputs = weight.shape[0] // groups, weight.shape[1]
        laid = weight.reshape(groups, outputs, inputs, *weight.shape[2:]).transpose(0, 3, 4, 2, 1)
        if groups > 1 and outputs == inputs == 1:
            arrays["weight"] = laid[:, :, :, 0, 0].transpose(1, 2, 0)
            return kernels.Depthwise(**common), arrays
        arrays["weight"] = laid
        pulses = x.signal is ir.Signal.SPIKE and not x.signed and x.levels == 1
        conv = kernels.Conv(**common, out_channels=y.shape[0], groups=groups, pulses=pulses)
        return conv, arrays

    def _bias(self, bias: ir.Ref | None, shape: tuple[int, ...]) -> tuple[str, dict[str, Array]]:
        if bias is None:
            return "none", {}
        array = self.graph.array(bias)
        if array.shape == shape and len(shape) > 1:
            return "map", {"bias": channels_last(array)}
        return "channel", {"bias": np.broadcast_to(array, shape[:1])}

    def _scale(self, op: ir.Scale, site: _Site) -> Lowered:
        x, y = site.inputs[0], site.result
        arrays = {"factor": self.graph.array(op.factor)}
        if op.bias is not None:
            arrays["bias"] = self.graph.array(op.bias)
        positions, channels, arrays = spread(arrays, y.shape)
        kernel = kernels.Scale(
            source=storage(x),
            dtype=storage(y),
            positions=positions,
            channels=channels,
            bias=op.bias is not None,
            constant=self._constant(site),
        )
        return kernel, arrays

    def _add(self, op: ir.Add, site: _Site) -> Lowered:
        constant = tuple(x.constant_in_time for x in site.inputs)
        y = site.result
        return kernels.Add(dtype=storage(y), size=y.size, constant=constant), {}

    def _pool(self, op: ir.SumPool | ir.Maximum, site: _Site) -> Lowered:
        times = op.multiplicity if isinstance(op, ir.SumPool) else None
        geometry, arrays = self._windows(op, site)
        maximum = isinstance(op, ir.Maximum)
        kernel = kernels.Pool(maximum=maximum, weighted=times is not None, **geometry)
        if times is not None:
            padded = (*((1,),) * (2 - len(times)), *times)
            arrays |= {"times_y": np.array(padded[0]), "times_x": np.array(padded[1])}
        return kernel, arrays

    def _count_maxpool(self, op: ir.CountMaxPool, site: _Site) -> Lowered:
        """Counts of 16 bits where they last for `SHORTEST` steps or more."""
        if self._constant(site):
            return self._pool(op, site)
        geometry, arrays = self._windows(op, site)
        levels = max(1, site.inputs[0].levels)
        state = "i16" if INT16 // levels >= SHORTEST else "i32"
        self.longest = min(self.longest, (INT16 if state == "i16" else LARGEST) // levels)
        return kernels.CountMaxPool(state=state, **geometry), arrays

    def _windows(self, op: ir.Pool, site: _Site) -> tuple[dict[str, Any], dict[str, Array]]:
        """The fields and arrays of a `Windowed` kernel."""
        rows = (*(((0, 1),),) * (2 - len(op.windows)), *op.windows)
        return self._planes(site), {"rows_y": np.array(rows[0]), "rows_x": np.array(rows[1])}

    def _planes(self, site: _Site) -> dict[str, Any]:
        """The fields of a kernel from planes of channels to planes: types and sizes."""
        x, y = site.inputs[0], site.result
        return {
            "source": storage(x),
            "dtype": storage(y),
            "height": plane(x.shape)[0],
            "width": plane(x.shape)[1],
            "channels": x.shape[0],
            "out_height": plane(y.shape)[0],
            "out_width": plane(y.shape)[1],
            "constant": self._constant(site),
        }

    def _rearrange(self, op: ir.Rearrange, site: _Site, numbers: tuple[int, ...]) -> None:
        """Nothing for a view, else a gather; several inputs are concatenated first."""
        name, y = site.node.name, site.result
        if isinstance(op, ir.Concat):
            self._step(self._concat(op, site), numbers, self._tensor(name, y))
            return
        positions = moved_positions(op, [x.shape for x in site.inputs])
        size = sum(x.size for x in site.inputs)
        if self._is_view(site, positions, size):
            self.numbers[name] = numbers[0]
            return
        if len(numbers) > 1:
            flat = replace(y, shape=(size,))
            number = self._tensor(self.graph.fresh(f"{name}.inputs"), flat)
            ends = ir.Concat(axis=0)
            lines = tuple(replace(x, shape=(x.size,)) for x in site.inputs)
            self._step(self._concat(ends, _Site(site.node, lines, flat)), numbers, number)
            numbers = (number,)
        kernel = kernels.Gather(
            dtype=storage(y), source_size=size, size=y.size, constant=self._constant(site)
        )
        self._step((kernel, {"positions": positions}), numbers, self._tensor(name, y))

    def _is_view(self, site: _Site, positions: Array, size: int) -> bool:
        """Whether the result can share its input's buffer; the source of a readout cannot."""
        users = (self.graph.node(user).op for user, _ in site.node.users)
        return (
            len(site.inputs) == 1
            and site.result.signal is not ir.Signal.ANALOG
            and np.array_equal(positions, np.arange(size))
            and not any(isinstance(user, ir.Readout) for user in users)
        )

    def _concat(self, op: ir.Concat, site: _Site) -> Lowered:
        y = site.result
        axis = (op.axis - 1) % len(y.shape)  # channels are last
        layouts = [(*x.shape[1:], *x.shape[:1]) for x in site.inputs]
        kernel = kernels.Concat(
            sources=tuple(storage(x) for x in site.inputs),
            dtype=storage(y),
            outer=int(np.prod(layouts[0][:axis], dtype=np.int64)),
            lengths=tuple(int(np.prod(layout[axis:], dtype=np.int64)) for layout in layouts),
            constant=tuple(x.constant_in_time for x in site.inputs),
        )
        return kernel, {}

    def _neuron(self, op: ir.AnyNeuron, site: _Site) -> Lowered:
        x, y = site.inputs[0], site.result
        leak = self.graph.array(op.leak)
        arrays = {
            "threshold": self.graph.array(op.threshold),
            "v_init": self.graph.array(op.v_init),
        }
        leaky = bool(np.any(leak != 1))
        if leaky:
            arrays["leak"] = (
                np.rint(np.asarray(leak, np.float64) * 2.0**15) if x.quantized else leak
            )
        positions, channels, arrays = spread(arrays, y.shape)
        kernel = _kernel_of(op)(
            source=storage(x),
            state=self._state(site) if x.quantized else "f32",
            positions=positions,
            channels=channels,
            leaky=leaky,
            reset=op.reset,
            order=op.order,
            wait=op.wait,
            signed=op.signed,
            constant=x.constant_in_time,
        )
        return kernel, arrays

    def _state(self, site: _Site) -> str:
        """i32 if the potential fits it for `SHORTEST` steps or more, else i64."""
        (source,) = self.graph.inputs_of(site.node.name)
        longest = longest_window(self.graph, site.node, self.bounds[source])
        if longest < SHORTEST:
            return "i64"
        self.longest = min(self.longest, longest)
        return "i32"


def _kernel_of(op: ir.AnyNeuron) -> type[kernels.Neuron]:
    if not isinstance(op, ir.TwoSidedNeuron):
        return kernels.Neuron
    return kernels.RoundingNeuron if op.rounds else kernels.TwoSidedNeuron
