"""Optimisers and learning-rate schedules."""

from __future__ import annotations

import math

import torch
from torch import nn

from snnc_passes.train._options import TrainingPass


def make_optimizer(
    options: TrainingPass, decaying: list[nn.Parameter], other: list[nn.Parameter]
) -> torch.optim.Optimizer:
    """The optimiser of a stage; weight decay applies to the `decaying` parameters only."""
    groups = [
        {"params": params, "weight_decay": decay}
        for params, decay in ((decaying, options.weight_decay), (other, 0.0))
        if params
    ]
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=options.lr, momentum=options.momentum)
    return torch.optim.Adam(groups, lr=options.lr, amsgrad=True)


def rate(options: TrainingPass, done: float) -> float:
    """The learning rate after the fraction `done` of the training."""
    if options.schedule == "cosine":
        return options.lr * (1 + math.cos(math.pi * done)) / 2
    if options.schedule == "constant":
        return options.lr
    passed = sum(done >= milestone - 1e-9 for milestone in options.milestones)
    return options.lr / options.decay**passed
