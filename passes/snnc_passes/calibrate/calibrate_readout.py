"""`calibrate-readout`: outputs that have the ANN's size, not only its order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod, sqrt
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from snnc.errors import PassError
from snnc.ir import Add, Conv, Graph, Linear, Node, Readout, Ref
from snnc.training import FastInterpreter
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes._affine import combine, own_param
from snnc_passes._samples import chunks

LIMIT = 2**31
Real = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class CalibrateReadout(Pass):
    """Fit scale and bias of every output channel to the ANN's output by least squares.

    With r the spiking network's output and a the ANN's over all calibration samples and positions
    of a channel, scale' = α*scale and bias' = bias + β/scale', where

        α = (n Σra − Σr Σa) / (n Σr² − (Σr)²),   β = (Σa − α Σr) / n.

    Only these sums are kept, so the stream may be as long as it likes. The bias goes into the one
    weighted layer in front of the readout; where there is none, β = 0 and α = Σra / Σr². In a
    network of integers the bias is a whole number b of the readout's scale in every step: 0, or
    what is next to β on either side, whichever leaves the least error with the α that is best for
    it; and the bound that `quantize` proved is raised. A channel whose output does not vary, or
    varies against the ANN's, keeps its scale.

    For outputs that are values. The largest of several classes need not stay the largest. What
    differs from sample to sample stays: more steps, or `calibrate`, lower that.

    Metrics: `samples`; `error_before` and `error_after`, root mean square errors against the ANN in
    the output's unit on the calibration data; `largest_change`, the largest |α − 1|.
    """

    name: ClassVar[str] = "calibrate-readout"
    needs: ClassVar[frozenset[str]] = frozenset({"ann", "calibration"})

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Fit. Raises `PassError` where the ANN's output has another shape."""
        if ctx.ann is None or ctx.calibration is None:
            raise PassError("needs the network before activations-to-neurons, and calibration data")
        name = graph.outputs[0]
        node, shape = graph.node(name), graph.type_of(name).shape
        if not isinstance(node.op, Readout) or not shape:
            raise PassError(f"the output {name} ({node.op.mnemonic}) is no readout with channels")
        if ctx.ann.type_of(ctx.ann.outputs[0]).shape != shape:
            raise PassError(f"the output {name} has shape {shape}, the ANN's another")
        sums = _Sums(shape[0])
        for found, expected in _outputs(graph, ctx):
            sums.add(found, expected)
        layer = biased_layer(graph, graph.inputs_of(name)[0])
        old = graph.array(node.op.scale).astype(np.float64)
        if layer is None or (_whole(graph, layer) and old.ndim > 1):
            layer, (alpha, beta) = None, sums.fit(with_bias=False)
        else:
            alpha, beta = sums.fit(with_bias=True)
        if layer is not None and _whole(graph, layer):
            alpha, beta = sums.fit_whole(old, beta / (alpha * old))
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

    def add(self, found: NDArray[Any], expected: NDArray[Any]) -> None:
        """Count outputs (N, C, *rest) of both networks."""
        r, a = (_rows(each) for each in (found, expected))
        self.samples += len(found)
        self.n += r.shape[1]
        self.r, self.a = self.r + r.sum(1), self.a + a.sum(1)
        self.rr, self.ra, self.aa = (
            total + (x * y).sum(1)
            for total, x, y in ((self.rr, r, r), (self.ra, r, a), (self.aa, a, a))
        )

    def fit(self, with_bias: bool) -> tuple[Real, Real]:
        """(C,) α and β of the least squared error."""
        if with_bias:
            above, below = self.n * self.ra - self.r * self.a, self.n * self.rr - self.r**2
        else:
            above, below = self.ra, self.rr
        varies = below > 1e-9 * self.n * self.rr if with_bias else below > 0
        alpha = np.divide(above, below, out=np.ones_like(above), where=varies)
        alpha = np.where(alpha > 0, alpha, 1.0)
        return alpha, (self.a - alpha * self.r) / self.n if with_bias else 0 * alpha

    def fit_whole(self, unit: Real, wished: Real) -> tuple[Real, Real]:
        """(C,) α and β = α*unit*b with whole numbers b: 0 or next to `wished`."""
        tried = [self._with_whole(unit, b) for b in (0 * wished, np.floor(wished), np.ceil(wished))]
        squares = np.stack([self._squares(alpha, beta) for alpha, beta in tried])
        best = squares.argmin(axis=0), np.arange(len(wished))
        alphas, betas = (np.stack(each) for each in zip(*tried, strict=True))
        return alphas[best], betas[best]

    def _with_whole(self, unit: Real, whole: Real) -> tuple[Real, Real]:
        """The best α for outputs that are `whole` units larger."""
        shift = unit * whole
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
    assert ctx.ann is not None and ctx.calibration is not None
    ours = FastInterpreter(graph, device=ctx.device)
    theirs = FastInterpreter(ctx.ann, device=ctx.device)
    done = 0
    with ctx.progress("readout", None) as advance, torch.no_grad():
        for x in chunks(ctx.calibration):
            ids = np.arange(done, done + len(x))
            found = ours.snn(x, ctx.timesteps, sample_ids=ids).outputs[graph.outputs[0]]
            expected = theirs.ann(x)[ctx.ann.outputs[0]]
            yield found.cpu().numpy(), expected.cpu().numpy()
            done += len(x)
            advance(len(x))


def biased_layer(graph: Graph, name: str) -> Node | None:
    """A weighted layer whose result is `name`, or is added to others to give it, and that alone."""
    node = graph.node(name)
    if len(graph.users_of(name)) != 1 or name in graph.outputs:
        return None
    if isinstance(node.op, Conv | Linear):
        return node
    sources = graph.inputs_of(name) if isinstance(node.op, Add) else ()
    found = (biased_layer(graph, source) for source in sources)
    return next((each for each in found if each is not None), None)


def _scale(graph: Graph, name: str, scale: Real) -> Ref:
    if graph.type_of(name).quantized:
        return graph.own_param(name, "scale", scale)
    return own_param(graph, name, "scale", scale)


def _add_bias(graph: Graph, layer: Node, bias: Real, readout: str) -> None:
    """Add to a layer's bias; in units of the readout's scale where the layer is of integers."""
    assert isinstance(layer.op, Conv | Linear)
    whole = _whole(graph, layer)
    bias = np.rint(bias) if whole else bias
    raised = int(np.abs(bias).max())
    if layer.op.bias is not None:
        old = graph.array(layer.op.bias).astype(np.float64)
        bias = combine(np.add, old, bias, graph.type_of(layer.name).shape)
    if not whole:
        ref = own_param(graph, layer.name, "bias", bias)
    elif np.abs(bias).max() >= LIMIT:
        raise PassError(f"the bias of {layer.name} at {layer.loc} does not fit 32 bits")
    else:
        ref = graph.own_param(layer.name, "bias", bias.astype(np.int32))
        _raise_bound(graph, readout, raised)
    graph.replace_op(layer.name, replace(layer.op, bias=ref))


def _whole(graph: Graph, layer: Node) -> bool:
    assert isinstance(layer.op, Conv | Linear)
    return np.issubdtype(graph.array(layer.op.weight).dtype, np.integer)


def _raise_bound(graph: Graph, readout: str, raised: int) -> None:
    """Add to the largest sum of one step that was proved for a readout."""
    bound = graph.meta.get("quantize", {}).get("bounds", {}).get(readout)
    if bound is None:
        return
    bound["step"] += raised
    if bound["step"] >= LIMIT:
        raise PassError(f"{readout} could reach {bound['step']:.3g} in a step, beyond 32 bits")
