"""A network under attack: as it runs, and as a function with a gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from snnc.ir import Encode, Graph, Stage
from snnc.training import AnySurrogate, FastInterpreter
from snnc.training.surrogate import PiecewiseLinear

Images = NDArray[np.float32]
Judge = Callable[[Images, NDArray[np.int64], int], NDArray[np.integer[Any]]]
"""(x (N, *shape), sample_ids (N,), seed) -> the classes (N,) that the network answers."""


def is_random(graph: Graph) -> bool:
    """Whether the input is encoded by chance."""
    return any(isinstance(node.op, Encode) and node.op.code_class.random for node in graph.nodes)


@dataclass(frozen=True)
class Target:
    """A network that is attacked and judged.

    Attributes:
        graph: of stage `ann` or `snn`, of real values or of integers.
        timesteps: the window T; not used at stage `ann`.
        classify: the network as it runs: an artifact on its target, or the ANN.
    """

    graph: Graph
    timesteps: int
    classify: Judge

    @property
    def random(self) -> bool:
        """Whether answers depend on a seed."""
        return is_random(self.graph)


class DifferentiableNetwork(nn.Module):
    """The logits of a graph, with a gradient with respect to the input.

    Spikes are those of the graph (an integer graph is run in float64, where its integers are
    exact); their derivative is the surrogate's. Gradients pass straight through the rounding of
    the encoder and, of integers, of leak * u. The logits are the mean over `draws` draws of a
    random encoder, which are new at every call: the gradient is an expectation over them
    (Athalye et al., "Synthesizing Robust Adversarial Examples", 2018).

    Args:
        graph: of stage `ann` or `snn`.
        timesteps: the window T.
        surrogate: the derivative of a spike, or one for every population by name.
        draws: seeds of a random encoder per call; 1 where nothing is random.
        seed: of the first draw.

    Attributes:
        random: whether the input is encoded by chance.
    """

    def __init__(
        self,
        graph: Graph,
        timesteps: int,
        surrogate: AnySurrogate | Callable[[str], AnySurrogate] | None = None,
        *,
        draws: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.random = is_random(graph)
        self._timesteps, self._draws = timesteps, draws if self.random else 1
        self._random = np.random.default_rng(seed)
        chosen = PiecewiseLinear() if surrogate is None else surrogate
        self._interpreter = _Attacked(graph, chosen)
        self.queries = 0

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, K) of x (N, *shape)."""
        interpreter, (output,) = self._interpreter, self._interpreter.graph.outputs
        self.queries += 1
        if interpreter.graph.stage is Stage.ANN:
            return interpreter.ann(x)[output].to(x.dtype)
        seeds = self._random.integers(0, 2**31, self._draws)
        total = sum(
            interpreter.snn(x, self._timesteps, seed=int(seed)).outputs[output] for seed in seeds
        )
        assert isinstance(total, Tensor)
        return (total / self._draws).to(x.dtype)


class _Attacked(FastInterpreter):
    """An interpreter whose populations may have a surrogate each."""

    def __init__(
        self, graph: Graph, surrogate: AnySurrogate | Callable[[str], AnySurrogate]
    ) -> None:
        super().__init__(graph)
        self._choose = surrogate

    def surrogate_of(self, node: Any) -> AnySurrogate | None:
        """See `FastInterpreter.surrogate_of`."""
        chosen = self._choose
        return chosen(node.name) if callable(chosen) else chosen


def gradient(network: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradient of the cross-entropy by x, the losses (N,) and whether each is classified right."""
    x = x.detach().requires_grad_()
    logits = network(x)
    losses = torch.nn.functional.cross_entropy(logits, y, reduction="none")
    (slope,) = torch.autograd.grad(losses.sum(), x)
    return slope, losses.detach(), logits.detach().argmax(1) == y
