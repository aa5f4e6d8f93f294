"""`calibrate-readout`: fit the outputs to the values of the ANN's outputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod, sqrt
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from snnc.errors import PassError
from snnc.ir import Conv, Graph, Linear, Node, Readout, Ref, Weighted
from snnc.training import FastInterpreter
from snnc.transform import Pass, PassContext, PassResult, size_of
from snnc_passes._context import ann_and_calibration
from snnc_passes._samples import chunks
from snnc_passes._scales.affine import combine, own_param
from snnc_passes.calibrate._weight_correction import summed_into

LIMIT = 2**31
Real = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class CalibrateReadout(Pass):
    """Fit scale and bias of every output channel to the ANN's output by least squares.

    With r the spiking network's output and a the ANN's over all calibration samples and positions
    of a channel, scale' = α*scale and bias' = bias + β/scale', where

        α = (n Σra − Σr Σa) / (n Σr² − (Σr)²),   β = (Σa − α Σr) / n.

    Only these sums are kept, so memory does not grow with the data. The bias goes into a weighted
    layer before the readout; without one, β = 0 and α = Σra / Σr². In a network of integers the
    bias is an integer b in units of the readout's scale: 0 or one of the two next to β,
    whichever has the least error with its best α; the bound proved by `quantize` is raised
    accordingly. A channel whose output is constant or negatively correlated with the ANN's keeps
    its scale.

    For regression and dense outputs: of several classes, the order may change. Errors that vary
    between samples remain; more steps or `calibrate` reduce them.

    Metrics: `samples`; `error_before` and `error_after`, root mean square errors against the ANN's
    output on the calibration data, in its unit; `largest_change`, the largest |α − 1|.
    """

    name: ClassVar[str] = "calibrate-readout"
    needs: ClassVar[frozenset[str]] = frozenset({"ann", "calibration"})

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Fit. Raises `PassError` if the ANN's output has another shape, or a bias overflows."""
        ann, _ = ann_and_calibration(ctx)
        name = graph.outputs[0]
        node, shape = graph.node(name), graph.type_of(name).shape
        if not isinstance(node.op, Readout) or not shape:
            raise PassError(f"the output {name} ({node.op.mnemonic}) is no readout with channels")
        if ann.type_of(ann.outputs[0]).shape != shape:
            raise PassError(f"the output {name} has shape {shape}, the ANN's another")
        sums = _Sums(shape[0])
        for output, expected in _outputs(graph, ctx):
            sums.add(output, expected)
        layer = biased_layer(graph, graph.inputs_of(name)[0])
        old = graph.array(node.op.scale).astype(np.float64)
        if layer is None or (_is_integer(graph, layer) and old.ndim > 1):
            layer, (alpha, beta) = None, sums.fit(with_bias=False)
        else:
            alpha, beta = sums.fit(with_bias=True)
        if layer is not None and _is_integer(graph, layer):
            alpha, beta = sums.fit_integer(old, beta / (alpha * old))
        scale = combine(np.multiply, old, alpha, shape)
        graph.replace_op(name, replace(node.op, scale=_scale(graph, name, scale)))
        if layer is not None:
            _add_bias(graph, layer, combine(np.divide, beta, scale, shape), name)
        graph.prune_params()
        ones = np.ones(shape[0])
        metrics = {
            "samples": sums.samples,
            "error_before": sums.error(ones, 0 * ones),
            "error_after": sums.error(alpha, beta),
            "largest_change": float(np.abs(alpha - 1).max()),
        }
        return PassResult(graph, metrics=metrics)


class _Sums:
    """Sums over samples and positions, (C,) each."""

    def __init__(self, channels: int) -> None:
        self.samples = self.n = 0
        self.r, self.a, self.rr, self.ra, self.aa = np.zeros((5, channels))

    def add(self, output: NDArray[Any], expected: NDArray[Any]) -> None:
        """Add outputs (N, C, *rest) of the spiking network and the ANN."""
        r, a = _rows(output), _rows(expected)
        self.samples += len(output)
        self.n += r.shape[1]
        self.r, self.a = self.r + r.sum(1), self.a + a.sum(1)
        self.rr, self.ra, self.aa = (
            total + (x * y).sum(1)
            for total, x, y in ((self.rr, r, r), (self.ra, r, a), (self.aa, a, a))
        )

    def fit(self, with_bias: bool) -> tuple[Real, Real]:
        """(C,) α and β with the least squared error."""
        if with_bias:
            above, below = self.n * self.ra - self.r * self.a, self.n * self.rr - self.r**2
        else:
            above, below = self.ra, self.rr
        varies = below > 1e-9 * self.n * self.rr if with_bias else below > 0
        alpha = np.divide(above, below, out=np.ones_like(above), where=varies)
        alpha = np.where(alpha > 0, alpha, 1.0)
        return alpha, (self.a - alpha * self.r) / self.n if with_bias else 0 * alpha

    def fit_integer(self, unit: Real, bias: Real) -> tuple[Real, Real]:
        """(C,) α and β = α*unit*b with b = 0 or an integer next to the real `bias`."""
        tried = [self._with_integer(unit, b) for b in (0 * bias, np.floor(bias), np.ceil(bias))]
        squares = np.stack([self._squares(alpha, beta) for alpha, beta in tried])
        best = squares.argmin(axis=0), np.arange(len(bias))
        alphas, betas = (np.stack(values) for values in zip(*tried, strict=True))
        return alphas[best], betas[best]

    def _with_integer(self, unit: Real, bias: Real) -> tuple[Real, Real]:
        """The best α for outputs that are larger by `bias` units, and the β of it."""
        shift = unit * bias
        above = self.ra + shift * self.a
        below = self.rr + 2 * shift * self.r + self.n * shift**2
        alpha = np.divide(above, below, out=np.ones_like(above), where=below > 0)
        alpha = np.where(alpha > 0, alpha, 1.0)
        return alpha, alpha * shift

    def error(self, alpha: Real, beta: Real) -> float:
        """Root mean square of α*r + β − a over all channels."""
        return sqrt(max(0.0, float(self._squares(alpha, beta).sum()) / (self.n * len(alpha))))

    def _squares(self, alpha: Real, beta: Real) -> Real:
        cross = alpha * beta * self.r - alpha * self.ra - beta * self.a
        return alpha**2 * self.rr + self.n * beta**2 + self.aa + 2 * cross


def _rows(output: NDArray[Any]) -> Real:
    """(C, N*positions) of (N, C, *rest)."""
    rest = prod(output.shape[2:])
    return (
        output.astype(np.float64)
        .reshape(*output.shape[:2], rest)
        .swapaxes(0, 1)
        .reshape(output.shape[1], -1)
    )


def _outputs(graph: Graph, ctx: PassContext) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Outputs of the spiking network and of the ANN, chunk by chunk."""
    ann, calibration = ann_and_calibration(ctx)
    ours = FastInterpreter(graph, device=ctx.device)
    theirs = FastInterpreter(ann, device=ctx.device)
    done = 0
    with ctx.progress("readout", size_of(calibration)) as advance, torch.no_grad():
        for x in chunks(calibration):
            ids = np.arange(done, done + len(x))
            output = ours.snn(x, ctx.timesteps, sample_ids=ids).outputs[graph.outputs[0]]
            expected = theirs.ann(x)[ann.outputs[0]]
            yield output.cpu().numpy(), expected.cpu().numpy()
            done += len(x)
            advance(len(x))


def biased_layer(graph: Graph, name: str) -> Node | None:
    """A weighted layer that is `name` or a term of its sum, and has no other users; or None."""
    terms = summed_into(graph, name)
    return next((term for term in terms if isinstance(term.op, Weighted)), None)


def _scale(graph: Graph, name: str, scale: Real) -> Ref:
    if graph.type_of(name).quantized:
        return graph.own_param(name, "scale", scale)
    return own_param(graph, name, "scale", scale)


def _add_bias(graph: Graph, layer: Node, bias: Real, readout: str) -> None:
    """Add to a layer's bias; rounded, in units of the readout's scale, if the layer is integer."""
    assert isinstance(layer.op, Conv | Linear)
    is_integer = _is_integer(graph, layer)
    bias = np.rint(bias) if is_integer else bias
    raised = int(np.abs(bias).max())
    if layer.op.bias is not None:
        old = graph.array(layer.op.bias).astype(np.float64)
        bias = combine(np.add, old, bias, graph.type_of(layer.name).shape)
    if not is_integer:
        ref = own_param(graph, layer.name, "bias", bias)
    elif np.abs(bias).max() >= LIMIT:
        raise PassError(f"the bias of {layer.name} at {layer.loc} does not fit 32 bits")
    else:
        ref = graph.own_param(layer.name, "bias", bias.astype(np.int32))
        _raise_bound(graph, readout, raised)
    graph.replace_op(layer.name, replace(layer.op, bias=ref))


def _is_integer(graph: Graph, layer: Node) -> bool:
    assert isinstance(layer.op, Conv | Linear)
    return np.issubdtype(graph.array(layer.op.weight).dtype, np.integer)


def _raise_bound(graph: Graph, readout: str, raised: int) -> None:
    """Add to the bound on the sum of one step that `quantize` proved for a readout."""
    bound = graph.meta.get("quantize", {}).get("bounds", {}).get(readout)
    if bound is None:
        return
    bound["step"] += raised
    if bound["step"] >= LIMIT:
        raise PassError(f"{readout} could reach {bound['step']:.3g} in a step, beyond 32 bits")
