"""Ctrl-C, deferred until the state can be saved."""

from __future__ import annotations

import logging
import signal
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any


@dataclass
class Interrupt:
    """While entered, the first Ctrl-C only sets `asked`; the second interrupts at once.

    It has no effect outside the main thread, where Python delivers no signals, and where Ctrl-C is
    ignored, as in background jobs of a script.
    """

    log: logging.Logger
    asked: bool = False
    _before: Any = field(default=None, init=False)

    def __enter__(self) -> Interrupt:
        before = signal.getsignal(signal.SIGINT) or signal.default_int_handler
        main = threading.current_thread() is threading.main_thread()
        if main and before is not signal.SIG_IGN:
            self._before = before
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._restore()

    def _note(self, *_: object) -> None:
        self.asked = True
        self._restore()
        self.log.warning("stopping after this step; Ctrl-C again stops at once")

    def _restore(self) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None
