"""Threads that share one sample: the same bits, no thread that stays, safe in threads and forks."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from snnc.native.cache import ObjectCache, open_cache
from snnc.native.code import Machine
from snnc.native.jit import NEON, host
from snnc.testing import assert_equal_runs, quantized_cases, sample_inputs, snn_cases
from snnc_backends.cpu.lower import lower
from snnc_backends.cpu.module import build
from snnc_backends.cpu.parts import NS_PER_PART, parts
from snnc_backends.cpu.program import CpuProgram, load


@pytest.fixture
def sharing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of any size are shared by all threads."""
    monkeypatch.setattr("snnc_backends.cpu.parts.NS_PER_PART", 1e-3)


def program(
    graph: Any, timesteps: int, threads: int, cache: ObjectCache | None = None
) -> CpuProgram:
    """The CPU program of a graph."""
    plan, weights = lower(graph, timesteps)
    return load(plan.to_json(), weights, threads, cache)


def workers() -> int:
    """Threads of programs that there are."""
    return sum(each.name.startswith("snnc-cpu") for each in threading.enumerate())


@pytest.mark.usefixtures("sharing")
@pytest.mark.parametrize(
    "case", (*quantized_cases()[::5], *snn_cases()[::14]), ids=lambda case: case.name
)
def test_any_number_of_threads_gives_the_same(case: Any, tmp_path: Path) -> None:
    x = np.ascontiguousarray(sample_inputs(case.graph, 2), np.float32)
    cache = open_cache(tmp_path / "objects")
    alone = program(case.graph, 5, 1, cache)
    expected = alone.run(x, record="spikes")
    assert alone.parts(5) == 1
    for threads in (2, 3):
        shared = program(case.graph, 5, threads, cache)
        assert shared.parts(5) == threads
        for row in range(2):
            plain = shared.run(x[row : row + 1])
            np.testing.assert_array_equal(plain.output[0], expected.output[row])
        recorded = [shared.run(x[row : row + 1], record="spikes") for row in range(2)]
        for name, spikes in expected.spikes.items():
            both = np.concatenate([each.spikes[name] for each in recorded], axis=1)
            np.testing.assert_array_equal(both, spikes)
        if threads == 3:  # fewer samples than threads, one after the other
            assert_equal_runs(shared.run(x, record="spikes"), expected, "threads")


def test_small_networks_stay_on_one_thread(small: Any) -> None:
    loaded = program(small(), 4, 8)
    assert loaded.parts(4) == 1 and loaded.parts(1) == 1
    assert (loaded.threads_of(1, 4), loaded.threads_of(4, 4), loaded.threads_of(40, 4)) == (1, 4, 8)
    before = workers()
    loaded.run(np.zeros((1, 2, 5, 5), np.float32))
    assert workers() == before
    plan = loaded.plan
    long = 10**6 * NS_PER_PART
    assert parts(plan, long, 8) == 8, "no more than there are"
    steps = next(t for t in range(1, long) if parts(plan, t, 8) > 1)
    assert parts(plan, steps, 8) == 2 and parts(plan, 2 * steps, 8) in (4, 5)


@pytest.mark.parametrize(
    ("system", "architecture", "shared"),
    [
        ("linux", "x86_64", 2),
        ("linux", "aarch64", 2),
        ("linux", "s390x", 1),
        ("darwin", "x86_64", 1),
    ],
)
def test_a_sample_is_shared_where_the_system_call_by_which_threads_wait_is_known(
    small: Any, monkeypatch: pytest.MonkeyPatch, system: str, architecture: str, shared: int
) -> None:
    plan, _ = lower(small(), 4)
    monkeypatch.setattr("snnc_backends.cpu.parts.NS_PER_PART", 1e-3)
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=architecture))
    assert parts(plan, 4, 2) == shared


@pytest.mark.usefixtures("sharing")
def test_threads_end_with_the_program(small: Any) -> None:
    x, before = np.zeros((1, 2, 5, 5), np.float32), workers()
    loaded = program(small(), 4, 3)
    loaded.run(x)
    assert workers() == before + 2
    for _ in range(3):
        loaded.run(x, timesteps=2)
    assert workers() == before + 2
    loaded.run(np.zeros((8, 2, 5, 5), np.float32))
    del loaded
    gc.collect()
    end = time.monotonic() + 30
    while workers() > before and time.monotonic() < end:  # those of batches end by themselves
        time.sleep(0.01)
    assert workers() == before


@pytest.mark.usefixtures("sharing")
def test_threads_that_wait_take_no_processor_time(small: Any) -> None:
    loaded = program(small(), 4, 3)
    loaded.run(np.zeros((1, 2, 5, 5), np.float32))
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.1


@pytest.mark.usefixtures("sharing")
def test_several_threads_run_one_program(small: Any) -> None:
    loaded, x = program(small(), 4, 3), np.random.default_rng(0).random((40, 2, 5, 5), np.float32)
    expected = program(small(), 4, 1).run(x).output

    def same(row: int) -> bool:
        record = "spikes" if row % 3 == 0 else "none"
        found = loaded.run(x[row : row + 1], record=record)
        return np.array_equal(found.output[0], expected[row])

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(same, 10 * list(range(40))))


@pytest.mark.usefixtures("sharing")
def test_a_system_without_threads(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second thread cannot be started: the first one ends, and the sample is run alone."""
    x, before = np.random.default_rng(0).random((1, 2, 5, 5), np.float32), workers()
    expected = program(small(), 4, 1).run(x).readout
    started, start = list[threading.Thread](), threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if len(started) == 1:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    loaded = program(small(), 4, 3)
    np.testing.assert_array_equal(loaded.run(x).readout, expected)
    assert len(started) == 1 and workers() == before


def test_other_processors_wait_by_their_own_system_call(small: Any) -> None:
    plan, _ = lower(small(), 4)
    x86, arm = (build(plan, Machine(architecture=each), True) for each in ("x86_64", "aarch64"))
    assert "llvm.x86.sse2.pause" in x86 and "(i64 202, " in x86
    assert "llvm.x86" not in arm and "(i64 98, " in arm
    assert "syscall" not in build(plan, Machine(architecture="x86_64"))
    assert (host().machine.architecture, NEON.machine.architecture) == (
        os.uname().machine,
        "aarch64",
    )


FORKED = """
import os, sys, threading
import numpy as np
from pathlib import Path
import snnc_backends.cpu.parts as parts
from snnc_backends.cpu.program import load
parts.NS_PER_PART = 1e-3
folder = Path(sys.argv[1])
x = np.random.default_rng(0).random((1, 2, 5, 5), dtype=np.float32)
program = load((folder / "plan").read_bytes(), (folder / "weights").read_bytes(), 3, None)
before = program.run(x).readout
busy = threading.Event()

def others():
    while not busy.is_set():
        program.run(x)

other = threading.Thread(target=others)
other.start()
children = []
for _ in range(20):
    child = os.fork()
    if child == 0:
        for _ in range(3):
            same = np.array_equal(before, program.run(x).readout)
        own = threading.active_count()
        del program
        os._exit(0 if same and own == 3 else 1)
    children.append(child)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
busy.set()
other.join()
assert codes == 20 * [0], codes
assert np.array_equal(before, program.run(x).readout)
kept = program  # until the interpreter ends
"""


def test_a_process_that_forks_while_a_thread_runs(small: Any, tmp_path: Path) -> None:
    plan, weights = lower(small(), 4)
    (tmp_path / "plan").write_bytes(plan.to_json())
    (tmp_path / "weights").write_bytes(weights)
    command = [sys.executable, "-c", FORKED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
