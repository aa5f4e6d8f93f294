"""`calibrate`: correct a spiking network layer by layer using its ANN."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from math import ceil, sqrt
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnc.interp import for_sample
from snnc.ir import AnyNeuron, Conv, Graph, Linear, Neuron, Node, Readout, TwoSidedNeuron
from snnc.training.threads import this_host
from snnc.transform import Batches, Pass, PassContext, PassResult
from snnc_passes._context import ann_and_calibration
from snnc_passes._neuron_groups import join, separate
from snnc_passes._prefixes import Prefixes, check_prefixes, prefix_ends
from snnc_passes._real_values import refuse_integers
from snnc_passes._samples import first
from snnc_passes._scales.affine import own_param
from snnc_passes._scales.equal_amounts import of_one_amount
from snnc_passes._scales.thresholds import fitted, set_thresholds
from snnc_passes._sweep.layer_sweep import Layer
from snnc_passes._sweep.neuron_search import (
    CONSTANT,
    NeuronSearch,
    Settings,
    choices,
    refuse_neurons,
    settings_of,
    upper_of,
)
from snnc_passes._sweep.paired_sweep import PairedSweep, beyond_float32, waits_for_all
from snnc_passes._sweep.spike_train import ALL
from snnc_passes.calibrate._layer_products import MOST, MOST_ROWS, LayerProducts
from snnc_passes.calibrate._output_error import least_output_error, output_gradient
from snnc_passes.calibrate._weight_correction import (
    LeastSquares,
    Part,
    add_bias,
    joined,
    summed_into,
    weighted,
)

STEPS = 8192
"""Limit on samples times steps that are simulated."""
FEWEST = 128
"""Lower bound of that limit in samples, whatever T."""
ROWS_PER_WEIGHT = 4
"""Output positions needed per weight of an output channel; with fewer, weights are not solved."""
SOLVED = 1 << 16
"""Largest number of output positions, over all samples, for the regression of weights."""


Done = Collection[str] | None
"""The populations that have been run, for layers that may be used by later ones too; else None."""


@dataclass(frozen=True, kw_only=True)
class Calibrate(Pass):
    """Correct weights, thresholds, potentials and biases layer by layer, using the ANN.

    The network is run once, population by population, and each is corrected on the spikes of the
    corrected populations before it. Put it behind threshold-balance and before fold-scale.

    weights: ridge regression of the layer's weights and bias, in closed form, from the firing rates
        to the value of the ANN, with a penalty `ridge` on the change; the error is 0 where both
        values are cut off by the activation. (The layer-wise reconstruction of Nagel et al., "Up or
        Down? Adaptive Rounding for Post-Training Quantization", 2020, eq. 21, without its rounding;
        for spiking networks weight calibration, Li et al., "A Free Lunch From ANN", 2021, section
        4.3.)
    potential: search for threshold and starting potential of every channel with the least squared
        error on the layer's own input. A neuron that starts below zero fires later, and its bias
        compensates for it (optimised starts: Bu et al., "Optimized Potential Initialization for
        Low-latency Spiking Neural Networks", 2022; thresholds by error: Li et al. 2021, section
        4.1). Where neurons neither wait nor are `signed`, the errors of the spikes so far count
        too, so that few steps are lost from layer to layer. A population with an input that is
        constant in time, as under direct encoding, is chosen by the error of the network's outputs
        instead, to first order.
    bias: the mean error of the output is added to the bias of its channel, `rounds` times (Li et
        al. 2021, section 4.2).

    Populations of quantised activations (`fixed`) are left as they are, with their weights.
    Thresholds stay where a max pool compares channels or populations with each other.

    At most `samples` samples are used, and no more than max(128, 8192 / T) unless every population
    waits for its whole input, because then steps are not simulated.

    Attributes:
        weights, potential, bias: which corrections are made.
        rounds: iterations of the bias correction.
        ridge: penalty on the change of a weight, as a fraction of the mean squared input.
        samples: the largest number of samples.
        prefixes: "last" fits the network to its window; "all" also to shorter ones: weights to the
            mean rates of the first t = T/4, T/2, 3T/4 and T steps, squared errors weighted by t,
            thresholds and starts (none below zero) to the sum of the squared error e(T) at the
            end and the mean of T/t e(t) over every fourth step t before it, with e(t) that of the
            spikes so far as above.

    Metrics: `samples`; `errors`, per population the mean squared error of its rate as a fraction of
    the variance of the activation, on the calibration data.
    """

    name: ClassVar[str] = "calibrate"
    needs: ClassVar[frozenset[str]] = frozenset({"calibration", "ann"})
    weights: bool = True
    potential: bool = True
    bias: bool = True
    rounds: int = 3
    ridge: float = 0.01
    samples: int = 1024
    prefixes: Prefixes = "last"

    def __post_init__(self) -> None:
        check_prefixes(self.prefixes)
        if self.rounds < 1:
            raise ValueError(f"rounds={self.rounds} is not positive")
        if self.ridge <= 0:
            raise ValueError(f"ridge={self.ridge} is not positive")
        if self.samples < 1:
            raise ValueError(f"samples={self.samples} is not positive")

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Correct.

        Raises:
            PassError: for integers, and for neurons as in `refuse_neurons`.
        """
        ann, calibration = ann_and_calibration(ctx)
        refuse_integers(graph, self.name)
        groups = join(graph)
        refuse_neurons(graph, ann, self.name)
        shared = of_one_amount(graph, integers=ctx.integers)
        x = self._samples(graph, calibration, ctx.timesteps)
        sweep = PairedSweep(graph, ann, x, ctx.timesteps, ctx.device, groups)
        chosen: dict[str, Settings] = {}
        errors: dict[str, float] = {}
        populations = sum(isinstance(n.op, AnyNeuron | Readout) for n in graph.nodes)
        with ctx.progress(self.name, populations) as advance, torch.no_grad():
            for layer in sweep.layers():
                op, name = layer.node.op, layer.node.name
                fixed = isinstance(op, AnyNeuron) and op.fixed
                done = tuple(chosen) if isinstance(op, TwoSidedNeuron) else None
                if self.weights and not fixed:
                    self._compensate(sweep, layer, done)
                if fixed:
                    chosen[name], errors[name] = _as_given(sweep, layer)
                elif isinstance(op, AnyNeuron):
                    keep = name in shared
                    chosen[name], errors[name] = self._neuron(sweep, layer, done, keep)
                elif self.bias:
                    self._readout(sweep, layer)
                advance(1)
        set_thresholds(graph, {n: s.threshold.double().cpu().numpy() for n, s in chosen.items()})
        for name in fitted(graph):
            _set_start(graph, name, chosen[name].start.cpu().numpy())
        separate(graph, groups)
        graph.prune_params()
        metrics = {"samples": len(x), "errors": errors}
        return PassResult(graph, metrics=metrics)

    def _samples(self, graph: Graph, batches: Batches, steps: int) -> NDArray[np.float32]:
        most = self.samples
        if not waits_for_all(graph, steps):
            most = min(most, max(FEWEST, STEPS // steps))
        return np.concatenate(list(first(batches, most)))

    def _compensate(self, sweep: PairedSweep, layer: Layer, done: Done) -> None:
        """Solve for the weights of the layer before a population."""
        graph = sweep.graph
        node = weighted(graph, layer.source, done)
        if node is None:
            return
        op = node.op
        assert isinstance(op, Conv | Linear)
        weight = graph.array(op.weight)
        products, parts = self._fitted(sweep, layer, node)
        if not parts:
            return
        population, device = layer.node.op, sweep.interpreter.device
        rectifies = isinstance(population, Neuron)
        upper = upper_of(graph, population, layer.shape[0], device) if rectifies else None
        kept = torch.from_numpy(weight != 0).flatten(1) if op.pruned else None
        solver = LeastSquares(self.ridge, rounds=3)
        try:
            change, shift = solver.solve(products, parts, upper, kept)
        except OverflowError as error:
            raise beyond_float32(node) from error
        new = weight.astype(np.float64) + change.reshape(weight.shape).numpy()
        graph.replace_op(node.name, replace(op, weight=own_param(graph, node.name, "weight", new)))
        add_bias(graph, layer.source, shift.numpy(), done)
        sweep.edited()

    def _fitted(
        self, sweep: PairedSweep, layer: Layer, node: Node
    ) -> tuple[LayerProducts, list[Part]]:
        """The values that weights are fitted to; none if there are too few."""
        op, windows = node.op, self._windows(sweep)
        assert isinstance(op, Conv | Linear)
        (source,) = sweep.graph.inputs_of(node.name)
        weight = sweep.graph.array(op.weight)
        each = int(np.prod(layer.shape[1:])) * len(windows)
        samples, every = min(len(sweep.x), max(1, SOLVED // each)), 1
        if self.prefixes == "all" and isinstance(op, Conv):
            samples = len(sweep.x)
            every = max(1, ceil(sqrt(samples * each / SOLVED)))
        exact = windows == [ALL] and samples * each <= MOST_ROWS
        products = LayerProducts(op, weight.shape[1:], _unit(sweep, source) if exact else None)
        if samples * each < ROWS_PER_WEIGHT * weight[0].size * every**2:
            return products, []

        def parts() -> Iterator[Part]:
            for number, rows in enumerate(sweep.chunks(layer, samples)):
                wanted = sweep.target(layer, rows)
                for steps in windows:
                    x, sums = (sweep.mean(name, rows, steps) for name in (source, layer.source))
                    share = 1.0 if steps == ALL else steps.stop / sweep.timesteps
                    part = Part(x, sums, wanted, weight=share)
                    yield part if every == 1 else _thinned(products, part, every, number)

        return products.thinned(every), list(joined(parts()))

    def _windows(self, sweep: PairedSweep) -> list[slice]:
        """The windows whose mean inputs are fitted."""
        ends = prefix_ends(sweep.timesteps, "last" if sweep.at_once else self.prefixes)
        return [ALL if end == sweep.timesteps else slice(0, end) for end in ends]

    def _neuron(
        self, sweep: PairedSweep, layer: Layer, done: Done, keep: bool
    ) -> tuple[Settings, float]:
        """Choose the settings of one population, write its bias into the graph, and run it.

        With `keep`, thresholds stay: some of its channels share theirs with others.
        """
        graph, op = sweep.graph, layer.node.op
        assert isinstance(op, AnyNeuron)
        settings = settings_of(graph, op, layer.shape[0], sweep.interpreter.device)
        biased = self.bias and bool(summed_into(graph, layer.source, done))
        current, target = sweep.kept(layer)
        upper = upper_of(graph, op, layer.shape[0], sweep.interpreter.device)
        any_time = self.prefixes == "all"
        search = NeuronSearch(
            op,
            current,
            target,
            sweep.timesteps,
            sweep.at_once,
            upper,
            spread=any_time,
            copies=sweep.copies.get(layer.node.name, 1),
        )
        constant = sweep.types[layer.source].constant_in_time
        tried = CONSTANT if constant else choices(op, sweep.timesteps, any_time)
        tried = replace(tried, factors=(1.0,)) if keep else tried
        if self.potential and constant:
            x = sweep.x[: len(target)]
            gradient = output_gradient(sweep.ann_interpreter, layer.node.name, x)
            settings = least_output_error(search, gradient, settings, tried, biased)
        elif self.potential:
            settings = search.search(settings, tried, biased)
        if biased:
            settings = search.balance(settings, self.rounds)
            add_bias(graph, layer.source, settings.bias.double().cpu().numpy(), done)
            sweep.edited()
        current += for_sample(settings.bias, layer.shape)
        error = sweep.fire_on(layer, settings.threshold, settings.start, (current, target))
        return settings, error

    def _readout(self, sweep: PairedSweep, layer: Layer) -> None:
        """Correct the bias before a readout by the mean error."""
        total = np.zeros(layer.shape)
        for rows in sweep.chunks(layer, len(sweep.x)):
            error = sweep.target(layer, rows) - sweep.mean(layer.source, rows)
            total += error.double().sum(0).cpu().numpy()
        error = total.reshape(layer.shape[0], -1).mean(axis=1) / len(sweep.x)
        if add_bias(sweep.graph, layer.source, error):
            sweep.edited()


def _unit(sweep: PairedSweep, source: str) -> Tensor | None:
    """What the mean inputs of a layer are multiples of, where the processor multiplies bytes."""
    fast = sweep.interpreter.device.type == "cpu" and this_host().machine.dot
    return sweep.unit(source, MOST) if fast else None


def _thinned(products: LayerProducts, part: Part, every: int, number: int) -> Part:
    """Every `every`-th position along each axis of the `number`-th part of the samples.

    The first of them differs from part to part: positions of an image are alike, and few of each of
    many images tell more than all of few images.
    """
    places = part.sums.shape[2:]
    first = (number // every) % min(every, places[0]), number % min(every, places[1])
    grid = (..., slice(first[0], None, every), slice(first[1], None, every))
    x = products.window(part.x, first)
    return replace(part, x=x, sums=part.sums[grid], wanted=part.wanted[grid])


def _as_given(sweep: PairedSweep, layer: Layer) -> tuple[Settings, float]:
    """Run a population that keeps its settings; its weights and bias are not corrected either."""
    op = layer.node.op
    assert isinstance(op, AnyNeuron)
    settings = settings_of(sweep.graph, op, layer.shape[0], sweep.interpreter.device)
    return settings, sweep.fire_on(layer, settings.threshold, settings.start, sweep.kept(layer))


def _set_start(graph: Graph, name: str, start: NDArray[np.float32]) -> None:
    op = graph.node(name).op
    assert isinstance(op, AnyNeuron)
    ref = own_param(graph, name, "v_init", start.astype(np.float64))
    graph.replace_op(name, replace(op, v_init=ref))
