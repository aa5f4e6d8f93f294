"""One step of the optimiser, in one or several processes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from snnc.errors import PassError
from snnc.training import SpikingNetwork
from snnc.training.parameters import roles
from snnc.transform import Ranks, Selectable
from snnc_passes._prefixes import learned_windows
from snnc_passes.train._augment import augment
from snnc_passes.train._mixup import mixup
from snnc_passes.train._objective import Objective, Wanted
from snnc_passes.train._optimizer import make_optimizer, rate
from snnc_passes.train._options import TrainingPass
from snnc_passes.train._samples import Rows, share
from snnc_passes.train._target_errors import TargetErrors

WHAT = "training"


@dataclass(frozen=True)
class Step:
    """Statistics of one step in this process.

    Attributes:
        loss: summed over the samples of this process.
        norm: norm of the gradient of all processes, before clipping.
        spikes: spikes per neuron, summed over the samples of this process; None if not counted.
        samples: number of samples of all processes.
    """

    loss: Tensor
    norm: Tensor
    spikes: Tensor | None
    samples: int


class Stepper:
    """Trains a network batch by batch.

    Every process computes its share of a batch; the gradient is that of the whole batch.

    Args:
        network: the network, on its device.
        options: options of the pass.
        objective: the loss.
        data: the training data.
        ranks: the processes; with more than one, torch.distributed is initialised.
        errors: what weights have added to them in every step; None for nothing.
    """

    def __init__(
        self,
        network: SpikingNetwork,
        options: TrainingPass,
        objective: Objective,
        data: Selectable,
        ranks: Ranks,
        errors: TargetErrors | None = None,
    ) -> None:
        self.errors = errors
        self.network, self.options, self.objective = network, options, objective
        self.data, self.ranks = data, ranks
        types = network.source.types()
        self._prefixes = learned_windows(network.timesteps, options.prefixes)
        self.neurons = max(1, sum(types[name].size for name in network.thresholds))
        self.optimizer = make_optimizer(options, *_parameters(network))
        self._module: nn.Module = network
        if ranks.count > 1:
            cuda = objective.device.type == "cuda"
            devices = [torch.cuda.current_device()] if cuda else None
            self._module = DistributedDataParallel(network, device_ids=devices)

    def step(self, rows: Rows, done: float, watch: bool) -> Step:
        """Take a step on the samples `rows`.

        Args:
            rows: indices of the batch of all processes.
            done: fraction of the training that is done, for the schedule.
            watch: whether spikes are counted.
        """
        mine = share(rows, self.ranks)
        x, y = self.data.take(mine if len(mine) else rows[:1])
        value = self._changed(torch.from_numpy(np.array(x, np.float32)))
        wanted = self.objective.wanted(value, y, WHAT)
        value = self._attacked(value, wanted)
        self.network.train()
        watched = watch or self.options.spike_cost > 0
        record = self.network.record() if watched else nullcontext(dict[str, Tensor]())
        idle = not len(mine)  # more processes than samples: it takes part with a loss of 0
        with nullcontext() if self.errors is None else self.errors.added():
            with record as spikes, self._precision():
                outputs = self._module(value, prefixes=self._prefixes)
            loss = self.objective.mean_total(outputs, wanted)
            counted = _total(spikes) / self.neurons if watched else None
            if counted is not None and self.options.spike_cost:
                loss = loss + self.options.spike_cost * counted
            loss = loss * 0 if idle else loss
            self.optimizer.zero_grad()
            (loss * (self.ranks.count / len(rows))).backward()
        norm = self._descend(done)
        if counted is not None:
            counted = counted.detach() * (0 if idle else 1)
        return Step(loss.detach(), norm, counted, len(rows))

    def _changed(self, x: Tensor) -> Tensor:
        """`x`, augmented and mixed, on the device."""
        x = augment(x, self.options.augment)
        if self.options.mixup is not None:
            x = mixup(x, self.options.mixup)
        return x.to(self.objective.device)

    def _attacked(self, x: Tensor, wanted: Wanted) -> Tensor:
        """What the attack, if there is one, makes of `x`."""
        attack = self.options.adversarial
        if attack is None:
            return x
        with self._precision():
            return attack.moved(self.network, x, partial(self.objective.total, wanted=wanted))

    def _descend(self, done: float) -> Tensor:
        """Take a step along the gradient; its norm."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.options, done)
        parameters = [p for p in self.network.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if self.options.clip is not None:
            nn.utils.clip_grads_with_norm_(parameters, self.options.clip, norm)
        self.optimizer.step()
        self.network.constrain()
        return norm

    def _precision(self) -> torch.autocast:
        mixed = self.options.precision == "bfloat16"
        return torch.autocast(self.objective.device.type, torch.bfloat16, enabled=mixed)


def _total(spikes: Mapping[str, Tensor]) -> Tensor:
    totals = [fired.abs().sum(dtype=torch.float32) for fired in spikes.values()]
    return torch.stack(totals).sum() if totals else torch.zeros(())


def _parameters(network: SpikingNetwork) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The parameters that are trained: weights, and all others."""
    names = (name for name, fields in roles(network.source).items() if "weight" in fields)
    weights = [p for p in map(network.parameter, names) if p.requires_grad]
    known = set(map(id, weights))
    others = [p for p in network.parameters() if p.requires_grad and id(p) not in known]
    if not weights and not others:
        raise PassError("the network has none of the parameters that should learn")
    return weights, others
