"""Ctrl-C: exit code 130, one line, nothing half written; progress on a terminal."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

DATA = """
import time
import numpy as np

def batches():
    for i in range(100):
        if i == 3:
            open("reached", "w").close()
            time.sleep(60)
        yield np.zeros((100, 2, 6, 6), np.float32), np.arange(100) % 5
"""


def start(place: Path, *arguments: object) -> subprocess.Popen[str]:
    """`snnc …` in a folder."""
    (place / "slow.py").write_text(DATA)
    return subprocess.Popen(
        [sys.executable, "-m", "snnc", *map(str, arguments)],
        cwd=place,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )


def heed_interrupts() -> None:
    """Undo what a shell does for jobs in the background, whose children ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupt(child: subprocess.Popen[str], reached: Path) -> tuple[int, str, str]:
    """SIGINT as soon as a file of that name or pattern is there: exit code, stdout, stderr."""
    with child:
        try:
            while not any(reached.parent.glob(reached.name)) and child.poll() is None:
                time.sleep(0.05)
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=50)
        finally:
            child.kill()
    return child.returncode, out, err


def files(place: Path) -> set[str]:
    """Everything written, but what the test itself put there."""
    found = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith("__pycache__")} - {"slow.py", "reached"}


def test_compile_while_data_is_read(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "net.snnc").write_bytes(b"the old one")
    child = start(
        *(tmp_path, "compile", folder / "ann.snnc", "-o", "net.snnc", "--report", "rep"),
        *("--calibration", "slow.py:batches"),
    )
    assert interrupt(child, tmp_path / "reached") == (130, "", "interrupted\n")
    assert files(tmp_path) == {"net.snnc"}
    assert (tmp_path / "net.snnc").read_bytes() == b"the old one"


def test_compile_while_a_pass_runs(folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((20_000, 2, 6, 6), np.float32))
    child = start(
        *(tmp_path, "compile", folder / "ann.snnc", "-o", "net.snnc", "--report", "rep"),
        *("--calibration", "x.npy", "--dump-ir", "ir"),
    )
    code, out, err = interrupt(child, tmp_path / "ir" / "*-activations-to-neurons.snnc")
    assert (code, out) == (130, "")
    assert err.splitlines()[-1] == "interrupted" and "Traceback" not in err
    assert {name for name in files(tmp_path) if not name.startswith("ir")} == {"x.npy"}
    assert not [name for name in files(tmp_path) if "tmp" in name]


def test_eval(folder: Path, tmp_path: Path) -> None:
    command = ("eval", folder / "q.snnc", "--data", "slow.py:batches", "--report", "rep")
    child = start(tmp_path, *command, "--json")
    assert interrupt(child, tmp_path / "reached") == (130, "", "interrupted\n")
    assert files(tmp_path) == set()


def test_ten_thousand_images_show_progress_on_a_terminal(folder: Path, tmp_path: Path) -> None:
    pty: Any = pytest.importorskip("pty")
    x = np.random.default_rng(0).random((10_000, 2, 6, 6), dtype=np.float32)
    np.save(tmp_path / "x.npy", x)
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "snnc", "eval", folder / "q.snnc", "--data", tmp_path / "x.npy"],
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux ends a closed terminal so
            break
        if not part:
            break
        shown += part
    out, _ = child.communicate()
    assert child.returncode == 0 and b"samples            10000" in out
    assert b"evaluate" in shown
    counted = [int(n) for n in _counts(shown.decode(errors="replace"))]
    assert len(set(counted)) > 2 and counted == sorted(counted)


def _counts(shown: str) -> list[str]:
    return re.findall(r"(\d+)/10000", shown)
