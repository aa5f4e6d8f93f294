"""What attacks made, in files from which a run goes on."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snnc.errors import UsageError
from snnc.new_file import new_file
from snnc.robustness import Made, RobustnessReport


@dataclass(frozen=True)
class AttackFiles:
    """What attacks made, one file for every batch, and the answers; a `snnc.robustness.Store`.

    Attributes:
        identity: of the run; files of another one are not used.
        resume: whether files are read.
    """

    folder: Path
    identity: bytes
    resume: bool

    def _path(self, name: str, first: int) -> Path:
        return self.folder / f"{name}-{first:06}.npz"

    def get(self, name: str, first: int) -> Made | None:
        """See `Store.get`. Raises `UsageError` for a file of another run, or a broken one."""
        path = self._path(name, first)
        if not self.resume or not path.exists():
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
                identity, x, silent = held["identity"].tobytes(), held["x"], held["silent"]
                queries = int(held["queries"])
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise UsageError(f"--resume: {path} cannot be read: {error}") from None
        if identity != self.identity:
            raise UsageError(
                f"--resume: {path} is of another attack",
                hint="leave out --resume, or give another --workdir",
            )
        return Made(np.asarray(x, np.float32), silent if silent.size else None, queries)

    def put(self, name: str, first: int, made: Made) -> None:
        """See `Store.put`. Raises `UsageError` if the file cannot be written."""
        self._write(
            self._path(name, first),
            identity=np.frombuffer(self.identity, np.uint8),
            x=made.x,
            silent=np.zeros(0, bool) if made.silent is None else made.silent,
            queries=np.array(made.queries),
        )

    def put_answers(self, report: RobustnessReport) -> None:
        """Write `right.npz`: (seeds, N) whether answers were right, by attack, and `clean`.

        Raises `UsageError` if the file cannot be written.
        """
        by_attack = {name: result.correct for name, result in report.attacks.items()}
        self._write(self.folder / "right.npz", clean=report.clean, **by_attack)

    def _write(self, path: Path, **arrays: Any) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with new_file(path) as new, new.open("wb") as file:
                np.savez(file, **arrays)
        except OSError as error:
            raise UsageError(f"--workdir: cannot write {path}: {error.strerror or error}") from None
