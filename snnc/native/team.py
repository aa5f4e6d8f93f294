"""Threads that share the work of a function of machine code."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from snnc.native.barrier import LINE, NBYTES, PARTS


class Team:
    """Threads that wait in machine code for a job, beside the thread that gives it.

    A job is given by machine code too: it writes behind the barrier what is to be done, and calls
    the barrier. So a thread is woken without Python, and takes no processor time while it waits.
    The threads end when the team is dropped, at the latest at the end of the interpreter. They
    belong to one process: the child of a fork has to make a team of its own.

    Args:
        parts: threads that share a job, with the one that gives it.
        serve: `void serve(ptr memory, i64 part)`, which the threads run: it waits at the barrier at
            `memory` for jobs, and returns at the last one.
        stop: `void stop(ptr memory)`, which gives the last job.
        nbytes: of what a job says.
        code: what the functions need as long as they run.

    Raises:
        RuntimeError: the system starts no more threads.

    Attributes:
        parts: as given.
        memory: the address of the barrier and, behind it, the job.
        lock: held by the thread that gives a job, so that there is one job at a time.
    """

    def __init__(
        self,
        parts: int,
        serve: Callable[[int, int], None],
        stop: Callable[[int], None],
        nbytes: int,
        code: Any,
    ) -> None:
        self.parts, self.lock = parts, threading.Lock()
        block = ctypes.create_string_buffer(NBYTES + nbytes + LINE)
        address = ctypes.addressof(block)
        self.memory = address + -address % LINE
        count = ctypes.c_int32.from_address(self.memory + PARTS)
        threads = list[threading.Thread]()
        keep = block, code
        self._end = weakref.finalize(self, _LastJob(stop, self.memory, threads, self.lock, keep))
        for part in range(1, parts):
            arguments = (serve, self.memory, part, keep)
            thread = threading.Thread(target=_run, args=arguments, daemon=True, name="snnc-cpu")
            count.value = part + 1
            try:
                thread.start()
            except RuntimeError:
                count.value = part
                self._end()
                raise
            threads.append(thread)

    @property
    def works(self) -> bool:
        """False once its threads have ended, at the end of the interpreter."""
        return self._end.alive


def _run(serve: Callable[[int, int], None], memory: int, part: int, keep: Any) -> None:
    """Run a thread of a team; `keep` lives as long as it does."""
    serve(memory, part)
    del keep


class _LastJob:
    """Ends the threads of a team, in the process that they belong to."""

    def __init__(
        self,
        stop: Callable[[int], None],
        memory: int,
        threads: Sequence[threading.Thread],
        lock: threading.Lock,
        keep: Any,
    ) -> None:
        self._stop, self._memory, self._threads, self._lock = stop, memory, threads, lock
        self._process, self._keep = os.getpid(), keep

    def __call__(self) -> None:
        if os.getpid() != self._process:
            return
        with self._lock:
            self._stop(self._memory)
        for thread in self._threads:
            thread.join()
