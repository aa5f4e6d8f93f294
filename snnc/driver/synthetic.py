"""Synthetic calibration: inputs made from the model's batch norms where the user gave no data."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import BatchNorm, Conv, Graph, Linear, Node, Scale, Stage
from snnc.pipeline import Pipeline
from snnc.transform import PassContext, Progress, silent

if TYPE_CHECKING:
    from torch import Tensor

    from snnc.training import FastInterpreter

SAMPLES = 64
FEWEST = 4
STEPS = 20
RATE = 0.2
MULTIPLICATIONS = 1_000_000_000
"""Of one step forwards; a large network gets fewer samples, down to `FEWEST`."""

WARNING = (
    "not calibrated: thresholds are guesses from synthetic inputs, accuracy will suffer; "
    "give --calibration DATA (a few hundred unlabeled samples)"
)
NORMAL, MATCHED = "standard normal", "batch-norm statistics"


@dataclass(frozen=True)
class Synthetic:
    """Synthetic samples.

    Attributes:
        inputs: (N, *shape) float32, in the units of the network's input.
        mismatch: the last loss of `synthesize`, 0 for equal statistics; None without batch norms.
    """

    inputs: NDArray[np.float32]
    mismatch: float | None = None

    @property
    def method(self) -> str:
        """`MATCHED`, or `NORMAL` without batch norms."""
        return NORMAL if self.mismatch is None else MATCHED

    def report(self) -> dict[str, Any]:
        """Keys as in docs/report.md, under `synthetic`."""
        made = {"samples": len(self.inputs), "method": self.method}
        return made if self.mismatch is None else {**made, "mismatch": self.mismatch}


def with_synthetic_calibration(
    pipeline: Pipeline,
    graph: Graph,
    ctx: PassContext,
    seed: int,
    *,
    samples: int | None = None,
    steps: int = STEPS,
) -> tuple[PassContext, Synthetic | None]:
    """`ctx` with synthetic calibration data and a warning; unchanged where none are needed.

    They are needed where a pass needs calibration data, the user gave none, and the graph is of
    stage `ann`. Nothing is computed for a pipeline that cannot run for another reason.
    """
    needed = any("calibration" in each.requirements() for each in pipeline.passes)
    if not needed or ctx.calibration is not None or graph.stage is not Stage.ANN:
        return ctx, None
    present = replace(ctx, calibration=())
    if pipeline.problems(graph.stage, present):
        return present, None
    ctx.log.warning(WARNING)
    made = synthesize(graph, seed, samples=samples, steps=steps, progress=ctx.progress)
    return replace(ctx, calibration=[(made.inputs, None)]), made


def synthetic_info(made: Synthetic | None) -> dict[str, Any]:
    """Keys of the report and the manifest: with synthetic data `calibrated` is false."""
    if made is None:
        return {"synthetic": None}
    return {"calibrated": False, "calibration": None, "synthetic": made.report()}


def synthesize(
    graph: Graph,
    seed: int,
    *,
    samples: int | None = None,
    steps: int = STEPS,
    progress: Progress = silent,
) -> Synthetic:
    """Samples whose activations have the running statistics of the batch norms.

    From standard normal samples z, which `fold-normalization`'s Scale behind the input maps back to
    the units of the input, Adam lowers

        sum over batch norms of mean_c[((m_c - mu_c) / sigma_c)^2 + (s_c / sigma_c - 1)^2],

    m and s the mean and standard deviation over the batch of what comes before the batch norm, mu
    and sigma its own. Without batch norms, or with no steps, z itself is taken.

    Source: Cai et al., "ZeroQ: A Novel Zero Shot Quantization Framework", 2020, section 3.1;
    Haroush et al., "The Knowledge Within: Methods for Data-Free Model Compression", 2020,
    section 3.1. Relative to sigma here, so that layers of all scales count alike.

    Args:
        graph: at stage `ann`.
        seed: the same seed gives the same samples.
        samples: size of the batch; None for what `MULTIPLICATIONS` allows.
        steps: of Adam.
    """
    import torch

    from snnc.training import FastInterpreter

    interpreter = FastInterpreter(graph)
    generator = torch.Generator().manual_seed(seed)
    count = _affordable(graph) if samples is None else samples
    z = torch.randn(count, *graph.type_of(graph.input).shape, generator=generator)
    factor, shift = _normalization(interpreter)
    matched = steps > 0 and any(isinstance(node.op, BatchNorm) for node in graph)
    mismatch = _match(interpreter, z, factor, shift, steps, progress) if matched else None
    return Synthetic(((z.detach() - shift) / factor).numpy(), mismatch)


def _affordable(graph: Graph) -> int:
    """How many samples `MULTIPLICATIONS` allows, within `FEWEST` and `SAMPLES`."""
    total = 0
    for node in graph:
        if isinstance(node.op, Conv | Linear):
            out, weight = graph.type_of(node.name).shape, graph.params[node.op.weight.name]
            total += weight.size * math.prod(out[1:] if isinstance(node.op, Conv) else out[:-1])
    return max(FEWEST, min(SAMPLES, MULTIPLICATIONS // max(total, 1)))


def _match(
    interpreter: FastInterpreter,
    z: Tensor,
    factor: Tensor,
    shift: Tensor,
    steps: int,
    progress: Progress,
) -> float:
    """Optimise `z` in place; the loss of the last step."""
    import torch

    z.requires_grad_()
    optimizer = torch.optim.Adam([z], lr=RATE)
    loss = torch.zeros(())
    with torch.enable_grad(), progress("synthetic inputs", steps) as advance:
        for _ in range(steps):
            optimizer.zero_grad()
            loss = _loss(interpreter, (z - shift) / factor)
            loss.backward()
            optimizer.step()
            advance(1)
    return float(loss.detach())


def _loss(interpreter: FastInterpreter, x: Tensor) -> Tensor:
    losses: list[Tensor] = []

    def observe(node: Node, inputs: Any, value: Tensor) -> None:
        if not isinstance(node.op, BatchNorm):
            return
        before = inputs[0].transpose(0, 1).flatten(1)
        mean = interpreter.constant(node.op.mean)
        sigma = (interpreter.constant(node.op.variance) + node.op.eps).sqrt()
        centre = (before.mean(1) - mean) / sigma
        spread = (before.var(1, unbiased=False) + node.op.eps).sqrt() / sigma - 1
        losses.append((centre.square() + spread.square()).mean())

    interpreter.ann(x, observe=observe)
    total = losses[0]
    for each in losses[1:]:
        total = total + each
    return total / len(losses)


def _normalization(interpreter: FastInterpreter) -> tuple[Tensor, Tensor]:
    """(factor, shift) of the Scale that alone uses the input, to broadcast; (1, 0) without."""
    import torch

    graph = interpreter.graph
    users = graph.users_of(graph.input)
    op = graph.node(users[0][0]).op if len(users) == 1 else None
    if not isinstance(op, Scale):
        return torch.ones(()), torch.zeros(())
    shape = graph.type_of(graph.input).shape
    values = (op.factor, 0.0 if op.bias is None else op.bias)
    factor, shift = (_broadcast(interpreter.constant(v), len(shape)) for v in values)
    return (factor, shift) if bool((factor != 0).all()) else (torch.ones(()), torch.zeros(()))


def _broadcast(value: Tensor, rank: int) -> Tensor:
    """A number, (C,) or a whole sample, to broadcast against (N, *shape)."""
    return value.reshape(-1, *(1,) * (rank - 1)) if value.ndim == 1 and rank > 1 else value
