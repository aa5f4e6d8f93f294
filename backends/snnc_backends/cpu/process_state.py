"""What a program keeps from run to run in one process: working memory, and threads."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

from snnc.errors import DataError
from snnc.native.jit import Library
from snnc.native.team import Team
from snnc_backends.cpu.plan import Plan
from snnc_backends.cpu.shared_code import JOB_BYTES, SERVE, SERVE_ARGUMENTS, STOP, STOP_ARGUMENTS
from snnc_backends.cpu.workspace import Workspace


class ProcessState:
    """Free working memory, the threads that share a sample, and those that share a batch.

    It belongs to one process: the child of a fork has none of the threads, and locks may be held
    for ever in it, so that it makes a state of its own.

    Args:
        parameters: bytes of the constants of the plan.
        library: the functions of `snnc_backends.cpu.shared_code`.
        threads: of a batch.

    Attributes:
        process: the process it belongs to.
    """

    def __init__(self, plan: Plan, parameters: int, library: Library, threads: int) -> None:
        self.process = os.getpid()
        self._plan, self._parameters = plan, parameters
        self._library, self._threads = library, threads
        self._free: list[Workspace] = []
        self._team: Team | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def take_space(self, steps: int, everything: bool, parts: int) -> Workspace:
        """Working memory of one run, to be given back. Raises `DataError`."""
        with self._lock:
            self._free = [w for w in self._free if w.fits(steps, everything, parts)]
            space = self._free.pop() if self._free else None
        return space or self._new_space(steps, everything, parts)

    def give_space(self, space: Workspace) -> None:
        """Working memory that a next run may take, if it fits that."""
        with self._lock:
            self._free.append(space)

    def take_team(self, parts: int) -> Team | None:
        """Threads that share a sample; None while another run has them, or where none can start.

        Its lock is held, and is to be released.
        """
        with self._lock:
            team = self._team
            if team is None or team.parts != parts:
                if team is not None and team.lock.locked():
                    return None
                self._team = team = None  # ends its threads
                try:
                    self._team = team = self._new_team(parts)
                except RuntimeError:
                    return None
            free = team.works and team.lock.acquire(blocking=False)
            return team if free else None

    def pool(self) -> ThreadPoolExecutor:
        """Threads that share a batch; they end when it is dropped."""
        with self._lock:
            self._pool = self._pool or ThreadPoolExecutor(self._threads, "snnc-cpu")
            return self._pool

    def _new_space(self, steps: int, everything: bool, parts: int) -> Workspace:
        try:
            return Workspace(self._plan, steps, everything, self._parameters, parts)
        except MemoryError:
            raise DataError(
                f"no memory for a window of {steps} steps", hint="use a shorter window"
            ) from None

    def _new_team(self, parts: int) -> Team:
        """Raises `RuntimeError`."""
        serve = self._library.function(SERVE, *SERVE_ARGUMENTS)
        stop = self._library.function(STOP, *STOP_ARGUMENTS)
        return Team(parts, serve, stop, JOB_BYTES, self._library)


class Resources:
    """The working memory of a run, and the address of the threads that share it, or None.

    To be used in a `with`; raises `DataError` there.
    """

    __slots__ = ("_space", "_state", "_team", "_wanted")

    def __init__(self, state: ProcessState, steps: int, everything: bool, parts: int) -> None:
        self._state, self._wanted = state, (steps, everything, parts)

    def __enter__(self) -> tuple[Workspace, int | None]:
        self._space = self._state.take_space(*self._wanted)
        parts = self._wanted[2]
        self._team = self._state.take_team(parts) if parts > 1 else None
        return self._space, None if self._team is None else self._team.memory

    def __exit__(self, *error: object) -> None:
        if self._team is not None:
            self._team.lock.release()
        self._state.give_space(self._space)
