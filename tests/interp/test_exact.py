"""Integer graphs against a second implementation in Python integers, written from the definitions.

It shares nothing with the interpreter but the IR and the encoders: time inside, loops outside, no
torch.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
import torch

from snnc.errors import GraphError
from snnc.interp import run_snn
from snnc.ir import (
    Add,
    AnyNeuron,
    Concat,
    Conv,
    CountMaxPool,
    Encode,
    Graph,
    Linear,
    MaxPool,
    Op,
    Pad,
    Permute,
    Readout,
    Ref,
    Reshape,
    Scale,
    Slice,
    SumPool,
    TwoSidedNeuron,
    Upsample,
)
from snnc.testing.graphs import Case, quantized_cases, sample_inputs

T = 5
Integers = np.ndarray[Any, np.dtype[np.object_]]
CASES = quantized_cases(seed=1)


def integers(array: Any) -> Integers:
    """The same array holding Python integers, which never overflow."""
    assert np.all(np.asarray(array) == np.rint(array))
    return np.vectorize(int, otypes=[object])(array)


class Naive:
    """Evaluates one sample at one step (stateless ops) or one neuron over its window."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def parameter(self, value: Ref | float | None, shape: tuple[int, ...]) -> Integers:
        array = integers(0 if value is None else self.graph.array(value))
        if array.ndim == 1 and len(shape) > 1:
            array = array.reshape(-1, *(1,) * (len(shape) - 1))
        return np.broadcast_to(array, shape)

    def conv(self, op: Conv, x: Integers) -> Integers:
        weight = integers(self.graph.array(op.weight))
        x = np.pad(x, ((0, 0), *op.padding), constant_values=0)
        per_group, group_out = weight.shape[1], weight.shape[0] // op.groups
        reach = [d * (k - 1) + 1 for d, k in zip(op.dilation, weight.shape[2:], strict=True)]
        size = [(n - r) // s + 1 for n, r, s in zip(x.shape[1:], reach, op.stride, strict=True)]
        y = np.zeros((weight.shape[0], *size), object)
        for o, *at in product(range(weight.shape[0]), *map(range, size)):
            first = o // group_out * per_group
            window = tuple(
                slice(i * s, i * s + r, d)
                for i, s, r, d in zip(at, op.stride, reach, op.dilation, strict=True)
            )
            y[(o, *at)] = (x[(slice(first, first + per_group), *window)] * weight[o]).sum()
        return y + self.parameter(op.bias, y.shape)

    def linear(self, op: Linear, x: Integers) -> Integers:
        y = integers(self.graph.array(op.weight)).dot(x)
        return y + self.parameter(op.bias, y.shape)

    def scale(self, op: Scale, x: Integers) -> Integers:
        return self.parameter(op.factor, x.shape) * x + self.parameter(op.bias, x.shape)

    def upsample(self, op: Upsample, x: Integers) -> Integers:
        index = [np.arange(n * k) // k for n, k in zip(x.shape[1:], op.factors, strict=True)]
        return x[np.ix_(np.arange(len(x)), *index)]

    def pool(self, op: SumPool | MaxPool | CountMaxPool, x: Integers) -> Integers:
        y = np.zeros((len(x), *map(len, op.windows)), object)
        for c, *at in product(*map(range, y.shape)):
            windows = [axis[i] for axis, i in zip(op.windows, at, strict=True)]
            patch = x[(c, *(slice(*w) for w in windows))]
            if not isinstance(op, SumPool):
                y[(c, *at)] = patch.max()
            else:
                times = [m[i] for m, i in zip(op.multiplicities(), at, strict=True)]
                y[(c, *at)] = patch.sum() * int(np.prod(times))
        return y

    def count_maxpool(self, op: CountMaxPool, events: Sequence[Integers]) -> list[Integers]:
        """The most any input of a window has had so far, minus the same one step before."""
        most = [self.pool(op, sum(events[1 : t + 1], events[0])) for t in range(len(events))]
        return [most[0], *(now - before for before, now in pairwise(most))]

    def stateless(self, op: Op, xs: Sequence[Integers]) -> Integers:
        moves: dict[type[Op], Callable[[Any], Integers]] = {
            Add: lambda op: sum(xs[1:], xs[0]),
            Concat: lambda op: np.concatenate(xs, op.axis),
            Reshape: lambda op: xs[0].reshape(op.shape),
            Permute: lambda op: xs[0].transpose(op.axes),
            Slice: lambda op: xs[0][op.slices()],
            Pad: lambda op: np.pad(xs[0], op.padding, constant_values=0),
            Upsample: lambda op: self.upsample(op, xs[0]),
            Conv: lambda op: self.conv(op, xs[0]),
            Linear: lambda op: self.linear(op, xs[0]),
            Scale: lambda op: self.scale(op, xs[0]),
            SumPool: lambda op: self.pool(op, xs[0]),
            MaxPool: lambda op: self.pool(op, xs[0]),
        }
        return moves[type(op)](op)

    def neuron(self, op: AnyNeuron, current: Sequence[Integers]) -> list[Integers]:
        shape = current[0].shape
        thresholds = self.parameter(op.threshold, shape)
        v_init = self.parameter(op.v_init, shape)
        leaks = np.broadcast_to(np.asarray(self.graph.array(op.leak)), shape)
        spikes = [np.zeros(shape, object) for _ in current]
        for at in product(*map(range, shape)):
            m = int(leaks[at] * 32768)
            assert m == leaks[at] * 32768
            trace = [step[at] for step in current]
            for t, s in enumerate(one_neuron(op, trace, thresholds[at], m, v_init[at])):
                spikes[t][at] = s
        return spikes


def one_neuron(op: AnyNeuron, current: list[int], threshold: int, m: int, u: int) -> list[int]:
    """docs/semantics.md, sections 2 and 8, for one neuron; leak = m / 2^15."""
    window, emitted, spikes = len(current), 0, []
    for t in range(window + op.wait):
        drive = current[t] if t < window else 0
        first = op.order == "integrate-fire"
        p = ((m * u) >> 15) + drive if first else u
        s = 0
        if t >= op.wait:
            two_sided = isinstance(op, TwoSidedNeuron)
            size = 2 * p if isinstance(op, TwoSidedNeuron) and op.rounds else p
            below = size < -threshold if two_sided else op.signed and emitted > 0 and p < 0
            s = 1 if size > threshold else -1 if below else 0
            spikes.append(s)
            emitted += s
        if op.reset == "zero":
            kept = 0 if s else p
            u = kept if first else ((m * kept) >> 15) + drive
        else:
            u = (p if first else ((m * p) >> 15) + drive) - threshold * s
    return spikes


def run_naively(graph: Graph, x: np.ndarray, sample: int) -> dict[str, list[Integers]]:
    """Every value of one sample: per node, one array per step."""
    naive, values = Naive(graph), {}
    for node in graph.nodes:
        op, inputs = node.op, [values[source] for source in graph.inputs_of(node.name)]
        if isinstance(op, Encode):
            events = op.code().encode(x[None], T, np.array([sample]), seed=11).values
            values[node.name] = [integers(events[t % len(events), 0]) for t in range(T)]
        elif isinstance(op, AnyNeuron):
            values[node.name] = naive.neuron(op, inputs[0])
        elif isinstance(op, CountMaxPool):
            values[node.name] = naive.count_maxpool(op, inputs[0])
        elif isinstance(op, Readout):
            values[node.name] = [sum(inputs[0][1:], inputs[0][0])]
        else:
            values[node.name] = [
                naive.stateless(op, [v[t] for v in inputs]) if inputs else x for t in range(T)
            ]
    return values


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_equals_python_integers(case: Case) -> None:
    """Rules S9 to S15, S19, S21, S22, S25 and S29 of docs/semantics.md."""
    graph, x = case.graph, sample_inputs(case.graph, 2)
    found = run_snn(graph, x, timesteps=T, keep="all", seed=11)
    fired = 0
    for sample in range(len(x)):
        expected = run_naively(graph, x[sample], sample)
        for node in graph.nodes:
            if node.name == graph.input:
                continue
            if isinstance(node.op, Readout):
                got = found.sums[node.name][sample]
                assert got.tolist() == expected[node.name][0].tolist(), node.name
                continue
            value = found.values[node.name].expand(T, *found.values[node.name].shape[1:])
            for t in range(T):
                assert value[t, sample].tolist() == expected[node.name][t].tolist(), (node.name, t)
            fired += isinstance(node.op, AnyNeuron) and int(value[:, sample].abs().sum())
    assert fired > 0, "nothing fired; the comparison says nothing"


def test_the_output_is_the_scaled_mean_in_float32() -> None:
    graph = CASES[0].graph
    (name,) = graph.outputs
    found = run_snn(graph, sample_inputs(graph, 3), timesteps=7)
    readout = graph.node(name).op
    assert isinstance(readout, Readout)
    scale = np.asarray(graph.array(readout.scale), np.float64)
    expected = (found.sums[name].numpy() * scale / 7).astype(np.float32)
    assert found.outputs[name].dtype == torch.float32
    np.testing.assert_array_equal(found.outputs[name].numpy(), expected)


def test_integer_graphs_are_refused_in_float32() -> None:
    graph = CASES[0].graph
    with pytest.raises(GraphError, match="is integer; run the graph in float64"):
        run_snn(graph, sample_inputs(graph, 1), timesteps=1, dtype=torch.float32)
