"""Integers in units of a population's scale (S19), and the proof that they fit (S23)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.errors import PassError
from snnc.ir import (
    AnyNeuron,
    CountMaxPool,
    Graph,
    Neuron,
    Op,
    Readout,
    Ref,
    Scale,
    TensorType,
    Weighted,
    broadcast_to_sample,
)
from snnc.ir.neuron import LEAK_UNIT
from snnc.ir.populations import Group, WeightedInput
from snnc.ir.shared_scales import shared_channels
from snnc_passes._statistics import Granularity
from snnc_passes.quantize._event_value import event_value

Real = NDArray[np.float64]
Bounds = dict[str, dict[str, int]]
LIMIT = 2**31
SMALLEST_SCALE = 2.0**-20
"""Smallest scale as a fraction of threshold and bias; for channels whose weights are near 0."""
FACTOR_LEVELS = 4095
"""Largest integer factor of a population whose inputs are all `Scale`s."""

LEVEL_DIGITS = 4
"""Decimals by which levels of weights differ, as fractions of the largest one."""


@dataclass(frozen=True)
class Rounding:
    """Rounds groups of populations, one at a time.

    Attributes:
        graph: changed in place.
        types: the types before rounding, since a partly rounded graph mixes integers and reals.
        q_max: the largest weight.
        units: see `event_value`.
    """

    graph: Graph
    types: Mapping[str, TensorType]
    q_max: int
    units: Mapping[str, float]

    def quantize(self, group: Group, scales: Mapping[str, Real], timesteps: int) -> Bounds:
        """Round the contributors and populations of one group, whose `scales` are given.

        Returns:
            Per population, `step`, the largest change of a potential in one step, and `rest`, the
            largest threshold plus initial potential; both in units of the scale.

        Raises:
            PassError: 32 bits could overflow within `timesteps`.
        """
        step = sum(
            c.gain * (self._signs if c.signs else self._layer)(c.name, scales[c.name])
            for c in group.contributors
        )
        bounds: Bounds = {}
        for name in group.populations:
            rest = self._population(name, scales[name])
            bounds[name] = {"step": step, "rest": rest}
            wide = isinstance(self.graph.node(name).op, Readout)  # sums over time in 64 bits
            reach = step if wide else step * timesteps + rest
            if reach >= LIMIT:
                raise PassError(
                    f"{name} at {self.graph.node(name).loc} could reach {reach:.3g} in "
                    f"{1 if wide else timesteps} steps, more than 32 bits hold",
                    hint="use fewer bits, or a smaller -T",
                )
        return bounds

    def counts(self) -> Bounds:
        """Per CountMaxPool with a state, the bounds of its counts, as of potentials (S25)."""
        return {
            node.name: {"step": self.types[node.name].levels, "rest": 0}
            for node in self.graph.nodes
            if isinstance(node.op, CountMaxPool) and not self.types[node.name].constant_in_time
        }

    def scales(
        self, group: Group, granularity: Granularity, whole_thresholds: bool = False
    ) -> dict[str, Real]:
        """s of every population and layer of a group: (C,), or () for granularity "layer".

        Those with weights set it, or the factors where no weights are in a class of channels. With
        `whole_thresholds` it moves to where the threshold, if the class has a single one, is an
        integer, but for layers `on_levels`.
        """
        shapes = {name: kind.shape for name, kind in self.types.items()}
        classes = shared_channels(self.graph, group, shapes)
        if granularity == "layer":
            classes = {name: np.zeros_like(own) for name, own in classes.items()}
        count = 1 + max(int(own.max()) for own in classes.values())
        of_weights, of_factors, high, biases = np.zeros((4, count))
        low = np.full(count, np.inf)
        weighted = np.zeros(count, bool)
        for layer in group.contributors:
            own = classes[layer.name]
            np.maximum.at(biases, own, largest(np.abs(self._biases(layer.name)), len(own)))
            if not layer.signs:
                is_weighted = self._is_weighted(layer)
                sizes = largest(np.abs(self._coefficients(layer.name)), len(own))
                np.maximum.at(of_weights if is_weighted else of_factors, own, sizes)
                weighted[own] |= is_weighted
        for name in group.populations:
            op = self.graph.node(name).op
            if isinstance(op, AnyNeuron):
                thresholds, own = self._spread(name, op.threshold), classes[name]
                np.maximum.at(high, own, largest(thresholds, len(own)))
                np.minimum.at(low, own, -largest(-thresholds, len(own)))
        scale = np.where(weighted, of_weights / self.q_max, of_factors / FACTOR_LEVELS)
        scale = np.maximum(scale, np.maximum(high, biases) * SMALLEST_SCALE)
        scale = np.where(scale > 0, scale, scale.max() or 1.0)
        found = _by_node(scale, classes, granularity)
        levels = any(self.on_levels(c.name, found[c.name]) for c in group.contributors)
        if not whole_thresholds or levels:
            return found
        whole = high / np.maximum(np.rint(high / scale), 1)
        return _by_node(np.where(low == high, whole, scale), classes, granularity)

    def on_levels(self, name: str, scale: Real) -> bool:
        """Whether a layer has weights, and they repeat a few levels, as conductances do."""
        if not isinstance(self.graph.node(name).op, Weighted):
            return False
        sizes = np.abs(self._coefficients(name))
        sizes = (sizes / along(scale, sizes) / self.q_max)[sizes > 0]
        count = len(np.unique(np.round(sizes, LEVEL_DIGITS)))
        return count <= self.q_max and 2 * count <= len(sizes)

    def _is_weighted(self, contributor: WeightedInput) -> bool:
        return isinstance(self.graph.node(contributor.name).op, Weighted)

    def event_value(self, layer: str) -> float:
        """What one event of the layer's input stands for."""
        return event_value(self.graph, self.graph.inputs_of(layer)[0], self.units)

    def _coefficients(self, name: str) -> Real:
        """What one event of the layer's input adds, in real units; axis 0 is the output channel."""
        op = self.graph.node(name).op
        value = self.event_value(name)
        if isinstance(op, Weighted):
            return self.graph.array(op.weight).astype(np.float64) * value
        if isinstance(op, Scale):
            return self._spread(name, op.factor) * value
        raise PassError(f"{name} ({op.mnemonic}) has no coefficients")

    def _biases(self, name: str) -> Real:
        """The bias over the whole sample of a contributor's result, 0 where it has none."""
        op = self.graph.node(name).op
        bias = op.bias if isinstance(op, Weighted | Scale) else None
        return self._spread(name, 0.0 if bias is None else bias)

    def _layer(self, name: str, scale: Real) -> int:
        """Round weights or factors, and the bias; returns the largest sum of one step."""
        op = self.graph.node(name).op
        levels = self.types[self.graph.inputs_of(name)[0]].levels
        real = self._coefficients(name)
        scaled = real / along(scale, real)
        if isinstance(op, Scale):
            q = self._integers(name, "factor", smallest(scaled))
            step = np.abs(q.astype(np.int64)).max() * levels
            new: Op = replace(op, factor=self.graph.own_param(name, "factor", q))
        elif isinstance(op, Weighted):
            q = np.clip(np.rint(scaled), -self.q_max, self.q_max).astype(np.int8)
            step = np.abs(q.astype(np.int64)).reshape(len(q), -1).sum(axis=1).max() * levels
            new = replace(op, weight=self.graph.own_param(name, "weight", q))
        else:
            raise PassError(f"{name} ({op.mnemonic}) has no coefficients")
        if op.bias is not None:
            bias = self._bias(name, op.bias, scale)
            step = step + np.abs(self.graph.array(bias).astype(np.int64)).max()
            new = replace(new, bias=bias)
        self.graph.replace_op(name, new)
        return int(step)

    def _signs(self, name: str, scale: Real) -> int:
        """Round the bias of a Scale with signs for factors; returns its largest value."""
        op = self.graph.node(name).op
        assert isinstance(op, Scale)
        signs = self._integers(name, "factor", smallest(self._spread(name, op.factor)))
        new = replace(op, factor=self.graph.own_param(name, "factor", signs))
        if op.bias is None:
            self.graph.replace_op(name, new)
            return 0
        bias = self._bias(name, op.bias, scale)
        self.graph.replace_op(name, replace(new, bias=bias))
        return int(np.abs(self.graph.array(bias).astype(np.int64)).max())

    def _bias(self, name: str, bias: Ref, scale: Real) -> Ref:
        values = self.graph.array(bias).astype(np.float64)
        rounded = self._integers(name, "bias", values / along(scale, values))
        return self.graph.own_param(name, "bias", rounded)

    def _population(self, name: str, scale: Real) -> int:
        """Round a neuron's parameters; returns the largest threshold plus the largest |v_init|.

        For a readout, multiply its scale by the unit and return 0.
        """
        op = self.graph.node(name).op
        units = broadcast_to_sample(scale, self.types[name].shape).astype(np.float64)
        if isinstance(op, Readout):
            real = smallest(np.asarray(self._spread(name, op.scale) * units))
            self.graph.replace_op(
                name, replace(op, scale=self.graph.own_param(name, "scale", real))
            )
            return 0
        if not isinstance(op, AnyNeuron):
            raise PassError(f"{name} ({op.mnemonic}) is no population")
        threshold = self._spread(name, op.threshold)
        q = np.maximum(np.rint(threshold / units), 1)
        v = np.rint(self._spread(name, op.v_init) / threshold * q)
        leak = smallest(np.rint(self._spread(name, op.leak) * LEAK_UNIT) / LEAK_UNIT)
        unit = smallest(np.broadcast_to(units, self.types[name].shape))
        new = replace(
            op,
            unit=float(unit) if unit.ndim == 0 else self.graph.own_param(name, "unit", unit),
            threshold=self._own(name, "threshold", q),
            v_init=self._own(name, "v_init", v),
            leak=float(leak) if leak.ndim == 0 else self.graph.own_param(name, "leak", leak),
        )
        if isinstance(new, Neuron):
            new = replace(new, upper=self._upper(name, new.upper, units, q))
        self.graph.replace_op(name, new)
        return int(np.abs(v).max() + q.max())

    def _upper(
        self, name: str, upper: Ref | float | None, units: Real, threshold: Real
    ) -> Ref | float | None:
        """The bound in units of the scale, at least the rounded threshold (S26)."""
        if upper is None:
            return None
        bound = smallest(np.maximum(np.rint(self._spread(name, upper) / units), threshold))
        if bound.ndim > 1:
            bound = bound.reshape(len(bound), -1).max(axis=1)
        return float(bound) if bound.ndim == 0 else self.graph.own_param(name, "upper", bound)

    def _own(self, name: str, field: str, values: Real) -> Ref:
        return self.graph.own_param(name, field, self._integers(name, field, smallest(values)))

    def _spread(self, name: str, parameter: Ref | float) -> Real:
        """A parameter over the whole sample of `name`'s result, read-only."""
        shape = self.types[name].shape
        array = self.graph.array(parameter).astype(np.float64)
        wide = np.asarray(broadcast_to_sample(array, shape), np.float64)
        return np.broadcast_to(wide, shape)

    def _integers(self, name: str, what: str, values: Real) -> NDArray[np.int32]:
        rounded = np.rint(values)
        if np.abs(rounded).max(initial=0) >= LIMIT:
            raise PassError(
                f"{what} of {name} at {self.graph.node(name).loc} is "
                f"{np.abs(rounded).max():.3g} units of its population, more than 32 bits hold",
                hint="use fewer bits, or granularity=layer",
            )
        return rounded.astype(np.int32)


def _by_node(
    scale: Real, classes: Mapping[str, NDArray[np.intp]], granularity: Granularity
) -> dict[str, Real]:
    """(C,) of each node for the scales of classes of channels, or () for granularity "layer"."""
    if granularity == "layer":
        return {name: scale[0].reshape(()) for name in classes}
    return {name: scale[own] for name, own in classes.items()}


def largest(values: Real, channels: int) -> Real:
    """(channels,) the largest value of each channel (axis 0), or of all when `channels` is 1."""
    return values.reshape(channels, -1).max(axis=1)


def along(scale: Real, array: NDArray[Any]) -> Real:
    """`scale`, () or (C,), shaped to divide an array whose axis 0 is the channel."""
    return scale if scale.ndim == 0 else scale.reshape(-1, *(1,) * (array.ndim - 1))


def smallest(values: Real) -> Real:
    """A parameter reduced to one number, or one per channel, if its values allow it."""
    if values.size and np.all(values == values.flat[0]):
        return np.array(values.flat[0])
    if values.ndim < 2:
        return values
    flat = values.reshape(len(values), -1)
    return np.array(flat[:, 0]) if np.all(flat == flat[:, :1]) else values
