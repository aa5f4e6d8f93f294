"""One stage of training: epochs, steps, the best network, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnc.errors import PassError
from snnc.training import SpikingNetwork
from snnc.transform import PassContext, silent
from snnc_passes.train._checkpoint import Checkpoints, Saved
from snnc_passes.train._compression import Compression
from snnc_passes.train._interrupt import Interrupt
from snnc_passes.train._journal import Journal, Row
from snnc_passes.train._judge import Judge, Verdict, summed
from snnc_passes.train._samples import batches
from snnc_passes.train._stepper import Step, Stepper

WATCHED = 8
"""Spikes are counted in one of so many steps."""
TOGETHER = 16
"""Steps between reads of the loss where a read synchronises devices or processes."""
FAR_BELOW = 0.05
"""A compressed network that has lost more of the validation data than this is warned of."""
SECONDS = 60.0
"""Longest time between two checkpoints."""


@dataclass
class Standing:
    """State of a stage, as in its checkpoint.

    Attributes:
        epoch: the current epoch, starting at 1.
        step: number of steps done in it.
        seconds, loss, spikes, watched: of this epoch so far: time, loss and spikes per neuron
            summed over samples, and the number of samples in which spikes were counted.
        chosen: the epoch of the best network so far; 0 for the one before training.
        score: score of that network, empty without validation.
        untrained: validation result of the network before training; None without validation.
        rows: report rows, one per epoch.
        finished: whether all epochs are done.
    """

    epoch: int = 1
    step: int = 0
    seconds: float = 0.0
    loss: float = 0.0
    spikes: float = 0.0
    watched: int = 0
    chosen: int = 0
    score: tuple[float, ...] = ()
    untrained: float | None = None
    rows: list[Row] = field(default_factory=list[Row])
    finished: bool = False


class Trainer:
    """Trains a network for the epochs of a stage and restores the best epoch.

    Args:
        stepper: the network with its optimiser and data.
        judge: scores networks to choose the epoch that is kept; None for the last epoch.
        ctx: context of the pass.
        store: the checkpoints, or None.
        stage: the name of the stage's checkpoint.
        identity: values that must equal those in a checkpoint to resume, JSON-able.
        seed: seed of all random numbers.
        journal: the log.
        compression: what is removed or snapped at the start of epochs; None for nothing. An epoch
            is then kept only if nothing of that follows it.
    """

    def __init__(
        self,
        stepper: Stepper,
        judge: Judge | None,
        ctx: PassContext,
        *,
        store: Checkpoints | None,
        stage: str,
        identity: Mapping[str, Any],
        seed: tuple[int, ...],
        journal: Journal,
        compression: Compression | None = None,
    ) -> None:
        self.stepper, self.judge, self.ctx, self.store = stepper, judge, ctx, store
        self.stage, self.identity, self.seed, self.journal = stage, identity, seed, journal
        self.network: SpikingNetwork = stepper.network
        self.options, self.compression = stepper.options, compression
        self.now = Standing()
        self.best: dict[str, Tensor] = {}
        self._pending: list[Step] = []
        self._saved = time.monotonic()
        alone = ctx.ranks.count == 1 and stepper.objective.device.type == "cpu"
        self._together = 1 if alone else TOGETHER

    def run(self) -> Standing:
        """Train, or resume. Afterwards the network is that of the chosen epoch.

        Raises:
            PassError: the loss or gradient is not finite; the data or a checkpoint do not fit.
            KeyboardInterrupt: after Ctrl-C, when the state has been saved.
        """
        device = self.stepper.objective.device
        devices = [torch.cuda.current_device()] if device.type == "cuda" else []
        with torch.random.fork_rng(devices), Interrupt(self.ctx.log) as interrupt:
            self._begin()
            while self.now.epoch <= self.options.epochs and not self.now.finished:
                self._epoch(interrupt)
            self._finish()
            (stop,) = summed([torch.tensor(interrupt.asked, device=device)], self.ctx.ranks)
            if stop:
                self._stop()
        return self.now

    def _begin(self) -> None:
        if self.store is not None and (saved := self.store.read(self.stage, self.identity)):
            self._restore(saved)
            return
        if (verdict := self._verdict()) is not None:
            self.journal.began(verdict)
            self.now.untrained = verdict.value
            self._choose(0, verdict)

    def _epoch(self, interrupt: Interrupt) -> None:
        now, size = self.now, self.options.batch
        count = len(self.stepper.data)
        order = np.random.default_rng([*self.seed, now.epoch]).permutation(count)
        total = math.ceil(count / size)
        if self.compression is not None and not now.step and self.compression.due(now.epoch):
            self.compression.apply(self.network, now.epoch, self.ctx)
        progress = silent if self.ctx.ranks.rank else self.ctx.progress
        title = f"{self.journal.title}, epoch {now.epoch}/{self.options.epochs}"
        with progress(title, total) as advance:
            advance(now.step)
            clock = time.monotonic()
            for rows in batches(order, size, now.step):
                self._step(rows, total)
                advance(1)
                now.seconds += time.monotonic() - clock
                clock = time.monotonic()
                if now.step % self._together == 0 or now.step == total:
                    self._collect(interrupt)
            verdict = self._verdict()
            now.seconds += time.monotonic() - clock
        self._close_epoch(verdict)

    def _step(self, rows: np.ndarray, total: int) -> None:
        now = self.now
        rank = self.ctx.ranks.rank
        _seed_torch([*self.seed, now.epoch, now.step, rank], self.stepper.objective.device)
        done = (now.epoch - 1 + now.step / total) / self.options.epochs
        self._pending.append(self.stepper.step(rows, done, now.step % WATCHED == 0))
        now.step += 1

    def _collect(self, interrupt: Interrupt) -> None:
        """Add up the losses of the last steps; stop if interrupted, save if it is time."""
        now = self.now
        zero = torch.zeros((), device=self.stepper.objective.device)
        asked = torch.full_like(zero, float(interrupt.asked))
        losses = sum((step.loss for step in self._pending), zero)
        norms = sum((step.norm for step in self._pending), zero)
        spikes = sum((step.spikes for step in self._pending if step.spikes is not None), zero)
        loss, norm, spike, stop = summed([losses, norms, spikes, asked], self.ctx.ranks)
        self._refuse_infinite(loss, "loss")
        self._refuse_infinite(norm, "gradient")  # a neuron that is not a number does not fire
        now.loss += loss
        now.spikes += spike
        now.watched += sum(step.samples for step in self._pending if step.spikes is not None)
        self._pending.clear()
        if stop:
            self._save()
            self._stop()
        if time.monotonic() - self._saved >= SECONDS:
            self._save()

    def _verdict(self) -> Verdict | None:
        if self.judge is None:
            return None
        verdict = self.judge(self.network)
        self._refuse_infinite(sum(verdict.score), "validation loss")
        return verdict

    def _refuse_infinite(self, value: float, what: str) -> None:
        if not math.isfinite(value):
            raise PassError(
                f"the {what} is {value:g} in epoch {self.now.epoch}, step {self.now.step}, at "
                f"T={self.network.timesteps}",
                hint="a smaller lr, or clip=1",
            )

    def _close_epoch(self, verdict: Verdict | None) -> None:
        now = self.now
        row: Row = {
            "timesteps": self.network.timesteps,
            "epoch": now.epoch,
            "loss": now.loss / len(self.stepper.data),
            "validation": None if verdict is None else verdict.value,
            "measure": None if verdict is None else verdict.measure,
            "spikes_per_neuron": now.spikes / max(1, now.watched),
            "seconds": now.seconds,
        }
        now.rows.append(row)
        self.journal.epoch(row, verdict, self.network)
        self._choose(now.epoch, verdict)
        now.epoch, now.step, now.watched = now.epoch + 1, 0, 0
        now.seconds = now.loss = now.spikes = 0.0
        self._save()

    def _choose(self, epoch: int, verdict: Verdict | None) -> None:
        """Keep the network if it is better than the best so far; without validation, always."""
        if self.compression is not None and epoch < self.compression.last:
            return
        if verdict is None:
            self.now.chosen = epoch
        elif not self.now.score or verdict.score > self.now.score:
            self.now.chosen, self.now.score = epoch, verdict.score
            self.best = {n: v.detach().clone() for n, v in self.network.state_dict().items()}

    def _finish(self) -> None:
        if self.now.finished:
            return
        if self.best:
            self.network.load_state_dict(self.best)
        self.now.finished = True
        self._save()
        if self.judge is not None:
            self.journal.info("epoch %d is kept", self.now.chosen)
            self._warn_of_loss()

    def _warn_of_loss(self) -> None:
        """Warn if the compressed network is far below what it was with more synapses or levels."""
        now = self.now
        if self.compression is None or not now.chosen or now.rows[-1]["measure"] == "loss":
            return
        before = [(now.untrained, 0), *((row["validation"], row["epoch"]) for row in now.rows)]
        best, epoch = max(before[: self.compression.last], key=lambda each: each[0])
        kept = before[now.chosen][0]
        if best - kept > FAR_BELOW:
            self.journal.warn(
                "epoch %d is kept with %.2f %% of the validation data right, epoch %d had %.2f %% "
                "before the last pruning or levels; less sparsity, more levels or more epochs may "
                "lose less",
                *(now.chosen, 100 * kept, epoch, 100 * best),
            )

    def _stop(self) -> None:
        how = "the state is lost; --workdir DIR would save it"
        if self.store is not None:
            how = f"saved in {self.store.folder}; the same command with --resume continues"
        self.journal.info("interrupted in epoch %d: %s", self.now.epoch, how)
        raise KeyboardInterrupt

    def _save(self) -> None:
        self._saved = time.monotonic()
        if self.store is None or self.ctx.ranks.rank:
            return
        tensors = {f"network.{n}": v for n, v in self.network.state_dict().items()}
        if not self.now.finished:
            tensors |= {f"best.{name}": value for name, value in self.best.items()}
            for index, state in self.stepper.optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{index}.{k}": v for k, v in state.items() if v is not None}
        saved = Saved(tensors, {"standing": asdict(self.now)})
        self.store.write(self.stage, self.identity, saved)

    def _restore(self, saved: Saved) -> None:
        numbers = dict(saved.numbers["standing"])
        self.now = Standing(**{**numbers, "score": tuple(numbers["score"])})
        device = self.stepper.objective.device
        groups: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "optimizer": {}}
        for name, value in saved.tensors.items():
            group, _, rest = name.partition(".")
            groups[group][rest] = value
        self.network.load_state_dict(groups["network"])
        self.best = {name: value.to(device) for name, value in groups["best"].items()}
        states: dict[int, dict[str, Tensor]] = {}
        for name, value in groups["optimizer"].items():
            index, _, key = name.partition(".")
            states.setdefault(int(index), {})[key] = value
        optimizer = self.stepper.optimizer
        optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
        if self.now.finished:
            self.journal.info("already finished; not trained again")
        else:
            self.journal.info("resumes in epoch %d, step %d", self.now.epoch, self.now.step)


def _seed_torch(words: list[int], device: torch.device) -> None:
    """Seed torch for one step, so that it does not depend on previous steps."""
    word = int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0])
    torch.default_generator.manual_seed(word)
    if device.type == "cuda":
        torch.cuda.manual_seed(word)
