"""Reports the progress of training: lines of the log, and TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.errors import PassError
from snnc.training import SpikingNetwork
from snnc.transform import PassContext
from snnc_passes.train._judge import Verdict
from snnc_passes.train._options import TrainingPass

Row = dict[str, Any]


class Journal:
    """Logs the progress of a stage; only on rank 0.

    Args:
        title: of the stage, e.g. "learn T=5".
        stage: its name in files.
        options: options of the pass.
        ctx: context with the log and the working directory.

    Raises:
        PassError: TensorBoard is requested and not installed.
    """

    def __init__(self, title: str, stage: str, options: TrainingPass, ctx: PassContext) -> None:
        self.title, self.epochs, self.log = title, options.epochs, ctx.log
        self.silent = ctx.ranks.rank > 0
        self._board: Any = None
        if options.tensorboard and ctx.workdir is not None and not self.silent:
            self._board = _open_board(ctx.workdir / "tensorboard" / stage)

    def info(self, text: str, *values: object) -> None:
        """Write a line to the log."""
        if not self.silent:
            self.log.info("%s: " + text, self.title, *values)

    def warn(self, text: str, *values: object) -> None:
        """Write a warning to the log."""
        if not self.silent:
            self.log.warning("%s: " + text, self.title, *values)

    def began(self, verdict: Verdict | None) -> None:
        """Log the result of the network before training."""
        if verdict is not None:
            self.info("before: %s", judged(verdict))

    def epoch(self, row: Row, verdict: Verdict | None, network: SpikingNetwork) -> None:
        """Log a finished epoch."""
        left = row["seconds"] * (self.epochs - row["epoch"])
        parts = [
            f"loss {row['loss']:.4g}",
            *([] if verdict is None else [judged(verdict)]),
            f"{row['spikes_per_neuron']:.3g} spikes per neuron",
            f"{row['seconds']:.1f} s, {duration(left)} left",
        ]
        self.info("epoch %d/%d, %s", row["epoch"], self.epochs, ", ".join(parts))
        if self._board is not None:
            self._write(row, network)

    def _write(self, row: Row, network: SpikingNetwork) -> None:
        for name in ("loss", "validation", "spikes_per_neuron", "seconds"):
            if row[name] is not None:
                self._board.add_scalar(name, row[name], row["epoch"])
        for what, parameters in (("threshold", network.thresholds), ("leak", network.leaks)):
            for node, value in parameters.items():
                mean = float(value.detach().mean())
                self._board.add_scalar(f"{what}/{node}", mean, row["epoch"])
        self._board.flush()

    def close(self) -> None:
        """Close the files of TensorBoard."""
        if self._board is not None:
            self._board.close()


def judged(verdict: Verdict) -> str:
    """A verdict as text."""
    if verdict.measure.endswith("loss"):
        return f"validation {verdict.measure} {verdict.value:.4g}"
    return f"validation {verdict.measure} {100 * verdict.value:.2f} %"


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def extent(values: NDArray[Any]) -> dict[str, float]:
    """Minimum, mean and maximum of an array."""
    wide = np.asarray(values, np.float64)
    return {"min": float(wide.min()), "mean": float(wide.mean()), "max": float(wide.max())}


def _open_board(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise PassError(
            "tensorboard=true, but TensorBoard is not installed", hint="pip install 'snnc[train]'"
        ) from None
    return SummaryWriter(str(folder))
