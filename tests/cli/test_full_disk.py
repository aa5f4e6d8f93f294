"""A disk that is full: one line, and what was there before stays as it was."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

LIMITED = """
import contextlib, io, resource, sys
from snnc.cli.main import run
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
for command in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()):
        code = run(command.split(" "))
    print(code)
"""


def test_nothing_broken_is_left(folder: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk."""
    old = {name: name.encode() for name in ("y.npy", "s.npz", "n.snnc")}
    for name, content in old.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "rep").mkdir()
    commands = [
        f"run {folder}/q.snnc --input {folder}/x.npy -q -o y.npy",
        f"run {folder}/q.snnc --input {folder}/x.npy -q --spikes s.npz",
        f"compile {folder}/ann.snnc --calibration {folder}/cal.npz --target reference -q -o n.snnc",
        f"eval {folder}/q.snnc --data {folder}/cal.npz -q --report rep",
        f"export {folder}/q.snnc --format text -q -o out",
    ]
    done = subprocess.run(
        [sys.executable, "-B", "-c", LIMITED, *commands],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["2"] * len(commands), done.stderr
    shown = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(shown) == len(commands) and "Traceback" not in done.stderr
    for line, what in zip(shown, (*old, "rep", "out"), strict=True):
        assert line.startswith("error: cannot ") and what in line
    assert {name: (tmp_path / name).read_bytes() for name in old} == old
    assert sorted(os.listdir(tmp_path)) == sorted([*old, "rep"])
    assert os.listdir(tmp_path / "rep") == []


@pytest.mark.parametrize("flag", ["-o", "--spikes"])
def test_a_device_is_written_not_replaced(flag: str, snnc: Any, folder: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full")
    done = snnc("run", folder / "q.snnc", "--input", folder / "x.npy", flag, full)
    assert done.code == 2 and "error: cannot write /dev/full" in done.err
    assert "Traceback" not in done.err and stat.S_ISCHR(full.stat().st_mode)


def test_a_fifo_gets_the_output(snnc: Any, folder: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE)
    done = snnc(
        "run", folder / "q.snnc", "--input", folder / "x.npy", "--spikes", tmp_path / "pipe"
    )
    out, _ = reader.communicate(timeout=60)
    assert (done.code, out[:2]) == (0, b"PK"), done.err
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
