"""Validation of a network on held-out data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from snnc.training import SpikingNetwork
from snnc.transform import Ranks, Selectable
from snnc_passes._prefixes import Prefixes, learned_windows
from snnc_passes.train._adversary import Pgd
from snnc_passes.train._objective import Objective
from snnc_passes.train._samples import batches, share

WHAT = "validation"


@dataclass(frozen=True)
class Verdict:
    """The validation result of a network.

    Attributes:
        measure: what `value` is; "adversarial " stands before it where the samples were attacked.
        value: the fraction of right classes, or the mean loss.
        score: larger is better; compared lexicographically.
    """

    measure: str
    value: float
    score: tuple[float, ...]


@dataclass(frozen=True)
class Judge:
    """Validates networks on the same samples, shared among the processes.

    Attributes:
        data: the samples.
        objective: the loss and measure.
        batch: samples computed at a time.
        ranks: the processes that share the work.
        attack: what is done to the samples, always with the same seed; None for nothing.
        prefixes: "all" for the mean over the outputs after every step.
    """

    data: Selectable
    objective: Objective
    batch: int
    ranks: Ranks
    attack: Pgd | None = None
    prefixes: Prefixes = "last"

    @torch.no_grad()
    def __call__(self, network: SpikingNetwork) -> Verdict:
        """Validate in evaluation mode, in float32; ties in accuracy are decided by the loss."""
        device = self.objective.device
        network.eval()
        loss, right = (torch.zeros((), dtype=torch.float64, device=device) for _ in range(2))
        windows = learned_windows(network.timesteps, self.prefixes)
        labelled, generator = False, torch.Generator().manual_seed(self.ranks.rank)
        for rows in batches(np.arange(len(self.data)), self.batch):
            mine = share(rows, self.ranks)
            if not len(mine):
                continue
            x, y = self.data.take(mine)
            labelled = y is not None
            value = torch.from_numpy(np.array(x, np.float32)).to(device)
            wanted = self.objective.wanted(value, y, WHAT)
            if self.attack is not None:
                aim = partial(self.objective.total, wanted=wanted)
                value = self.attack.moved(network, value, aim, generator)
            outputs = network(value, sample_ids=mine, prefixes=windows)
            loss += self.objective.mean_total(outputs, wanted)
            if wanted.classes is not None:
                hits = sum((output.argmax(1) == wanted.classes).sum() for output in outputs)
                right += hits / len(windows)
        measure = self.objective.measure(labelled)
        mean, fraction = (total / len(self.data) for total in summed([loss, right], self.ranks))
        shown = measure if self.attack is None else f"adversarial {measure}"
        if measure == "loss":
            return Verdict(shown, mean, (-mean,))
        return Verdict(shown, fraction, (fraction, -mean))


def summed(numbers: Sequence[Tensor], ranks: Ranks) -> list[float]:
    """0-d tensors, each summed over all processes."""
    total = torch.stack([number.detach().to(torch.float64) for number in numbers])
    if ranks.count > 1:
        dist.all_reduce(total)
    return total.tolist()
