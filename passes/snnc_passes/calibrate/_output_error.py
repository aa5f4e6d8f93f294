"""Search for settings of a population with the least error at the network's outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnc.training import FastInterpreter
from snnc_passes._sweep.neuron_search import Choices, NeuronSearch, Settings

CHUNK = 64
"""Samples whose gradients are computed at a time."""
SEED = 0
"""Seed of the random combinations of outputs."""
ROUNDS = 3
"""Rounds of coordinate descent over the channels."""
ALONE = 0.1
"""Weight of the uncombined errors of all positions, a regulariser for few samples."""


def output_gradient(ann: FastInterpreter, name: str, x: NDArray[np.float32]) -> Tensor:
    """Gradient of a random linear combination of the outputs with respect to a node.

    Each sample has another combination, with standard normal coefficients.

    Args:
        ann: the network.
        name: the node.
        x: samples, (n, *shape).

    Returns:
        (n, *shape of the node).
    """
    return torch.cat([slopes[0] for _, slopes in output_gradients(ann, [name], x)])


def output_gradients(
    ann: FastInterpreter, names: Sequence[str], x: NDArray[np.float32]
) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Values of nodes, and gradients as of `output_gradient`, (n, *shape) each, in chunks."""
    generator, outputs = torch.Generator().manual_seed(SEED), ann.graph.outputs
    for i in range(0, len(x), CHUNK):
        with torch.enable_grad():
            samples = torch.from_numpy(x[i : i + CHUNK]).to(ann.device)
            if samples.ndim == 4:  # the format of the errors that the gradients meet
                samples = samples.contiguous(memory_format=torch.channels_last)
            values = ann.ann(samples.requires_grad_(True), keep=names)
            total = torch.zeros((), device=ann.device)
            for output in outputs:
                weights = torch.randn(values[output].shape, generator=generator)
                total = total + (values[output] * weights.to(ann.device)).sum()
            kept = [values[name] for name in names]
            slopes = torch.autograd.grad(total, kept)
        yield [value.detach() for value in kept], list(slopes)


def least_output_error(
    search: NeuronSearch, gradient: Tensor, settings: Settings, tried: Choices, biased: bool
) -> Settings:
    """The settings whose errors, summed over channels, change the outputs least.

    To first order the change of the outputs is the error times `gradient`. All pairs of a factor
    and a start are candidates; coordinate descent over the channels chooses among them, so that
    errors of channels may cancel. The mean over samples is ignored: a bias compensates for it.

    Args:
        search: the population.
        gradient: (n, C, *rest) of a combination of the outputs, for the first samples of `search`.
        settings: the present settings, to which factors are relative.
        tried: the candidates.
        biased: whether the bias may be corrected.
    """
    trials: list[Settings] = []
    for factor in tried.factors:
        for start in tried.starts:
            threshold = search.threshold(settings, factor)
            trial = Settings(threshold, threshold * start, torch.zeros_like(threshold))
            trials.append(search.biased(trial) if biased else trial)
    effects, alone = zip(*(_effect(search, gradient, trial) for trial in trials), strict=True)
    picked = _together(torch.stack(effects), torch.stack(alone))
    return Settings(
        _select([trial.threshold for trial in trials], picked),
        _select([trial.start for trial in trials], picked),
        _select([trial.bias for trial in trials], picked),
    )


def _effect(search: NeuronSearch, gradient: Tensor, trial: Settings) -> tuple[Tensor, Tensor]:
    """(n, C) change of the outputs by channel, minus its mean; (C,) squares by position."""
    effect, squares = search.weighted_sums(trial, gradient).unbind(1)
    return effect - effect.mean(0), ALONE * squares.sum(0)


def _together(effects: Tensor, alone: Tensor) -> Tensor:
    """(C,) index of the best trial of each channel, for (K, n, C) effects and (K, C) own costs."""
    picked = (effects.square().sum(1) + alone).argmin(0)
    channels = range(effects.shape[2])
    total = torch.stack([effects[int(picked[c]), :, c] for c in channels]).sum(0)
    for _ in range(ROUNDS):
        for c in channels:
            rest = total - effects[int(picked[c]), :, c]
            costs = (rest + effects[:, :, c]).square().sum(1) + alone[:, c]
            picked[c] = costs.argmin()
            total = rest + effects[int(picked[c]), :, c]
    return picked


def _select(values: Iterable[Tensor], picked: Tensor) -> Tensor:
    """(C,) the picked one of K values (C,) for each channel."""
    return torch.stack(list(values)).gather(0, picked[None])[0]
