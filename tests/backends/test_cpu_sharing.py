"""One program in several threads and processes, one cache for several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.interp.program import ReferenceProgram
from snnc.native.cache import open_cache
from snnc.transform import PassContext
from snnc_backends.cpu import CpuBackend
from snnc_backends.cpu.lower import lower
from snnc_backends.cpu.program import in_memory, load

X = np.random.default_rng(0).random((64, 2, 5, 5), dtype=np.float32)


@pytest.mark.parametrize("threads", [1, 3])
def test_four_threads_run_one_program(small: Any, threads: int) -> None:
    plan, weights = lower(small(), 4)
    program = load(plan.to_json(), weights, threads, None)
    windows = [1 + i % 7 for i in range(40)]
    expected = {t: program.run(X, timesteps=t, record="spikes") for t in set(windows)}

    def run(steps: int) -> bool:
        result = program.run(X, timesteps=steps, record="spikes")
        same = np.array_equal(result.readout, expected[steps].readout)
        return same and np.array_equal(result.spikes["act"], expected[steps].spikes["act"])

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(run, windows))


FORKED = """
import os, sys
import numpy as np
from pathlib import Path
from snnc_backends.cpu.program import load
folder = Path(sys.argv[1])
x = np.random.default_rng(0).random((64, 2, 5, 5), dtype=np.float32)
program = load((folder / "plan").read_bytes(), (folder / "weights").read_bytes(), 3, None)
before = program.run(x).readout
child = os.fork()
after = program.run(x).readout
if child == 0:
    os._exit(0 if np.array_equal(before, after) else 1)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0 and np.array_equal(before, after)
"""


def test_a_process_that_forks_runs_on_both_sides(small: Any, tmp_path: Path) -> None:
    plan, weights = lower(small(), 4)
    (tmp_path / "plan").write_bytes(plan.to_json())
    (tmp_path / "weights").write_bytes(weights)
    command = [sys.executable, "-c", FORKED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_several_processes_fill_one_cache(small: Any, tmp_path: Path) -> None:
    """Each may find an object missing, half of the others' work, or whole."""
    plan, weights = lower(small(), 4)
    (tmp_path / "plan").write_bytes(plan.to_json())
    (tmp_path / "weights").write_bytes(weights)
    place = tmp_path / "objects"
    expected = load(plan.to_json(), weights, 1, None).run(X).readout
    children: list[int] = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for _ in range(6):
                    program = load(plan.to_json(), weights, 1, open_cache(place))
                    code = 0 if np.array_equal(program.run(X).readout, expected) else 1
                    for each in place.glob("*.o"):
                        each.unlink(missing_ok=True)
            finally:
                os._exit(code)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert codes == [0, 0, 0, 0]
    load(plan.to_json(), weights, 1, open_cache(place))
    assert not load(plan.to_json(), weights, 1, open_cache(place)).compiled
    assert [each.suffix for each in place.iterdir()] == [".o"]


def test_a_home_that_cannot_be_written(
    small: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    plan, weights = lower(small(), 4)
    expected = load(plan.to_json(), weights, 1, None).run(X).readout

    class Stored:
        @property
        def manifest(self) -> dict[str, Any]:
            return {}

        def read(self, name: str) -> bytes:
            return plan.to_json() if name.endswith("plan.json") else weights

        def array(self, name: str) -> Any:
            return in_memory(self.read(name))

        def graph(self) -> Any:
            return small()

    monkeypatch.setenv("HOME", "/proc")  # not even root may make a folder there
    program = CpuBackend(threads=1).load(Stored())
    assert program.compiled and np.array_equal(program.run(X).readout, expected)
    (record,) = caplog.records
    assert "no cache of compiled kernels in /proc/.cache" in record.getMessage()


def test_runs_without_torch_and_networkx(small, tmp_path: Path) -> None:
    for name, data in CpuBackend().lower(small(), PassContext(timesteps=4)).items():
        (tmp_path / name.replace("/", "-")).write_bytes(data)
    x = np.random.default_rng(0).random((2, 2, 5, 5), dtype=np.float32)
    code = f"""
import sys
from pathlib import Path
import numpy as np
from snnc_backends.cpu import CpuBackend
assert "llvmlite" not in sys.modules
class Artifact:
    manifest = {{}}
    def read(self, name):
        return (Path({str(tmp_path)!r}) / name.replace("/", "-")).read_bytes()
    def array(self, name):
        return np.frombuffer(self.read(name), np.uint8)
x = np.random.default_rng(0).random((2, 2, 5, 5), dtype=np.float32)
result = CpuBackend(threads=1).load(Artifact()).run(x, record="spikes")
loaded = {{"torch", "networkx", "snnc.ir"}} & set(sys.modules)
assert not loaded, loaded
print(result.readout.ravel().tolist())
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"HOME": str(tmp_path), "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    expected = ReferenceProgram(small(), 4).run(x).readout
    assert expected is not None
    assert done.stdout.strip() == str(expected.ravel().tolist())
    assert (tmp_path / ".cache" / "snnc" / "objects").stat().st_mode & 0o777 == 0o700
