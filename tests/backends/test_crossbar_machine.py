"""Machine descriptions: they set options, and what is wrong in them is one line."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from snnc.pipeline import format_spec
from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.crossbar.machine import LARGEST, read_machine

DESCRIPTION = """\
# a chip of 48 cores
rows = 256
cols = 256
cells = "offset"
cell-bits = 8
cores = 48
tiles-per-core = 1
axons-per-core = 256
"""


def described(folder: Path, text: str | bytes) -> str:
    path = folder / "chip.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_a_description_sets_options_and_is_not_needed_again(tmp_path: Path) -> None:
    backend = CrossbarBackend(machine=described(tmp_path, DESCRIPTION), chip_seed=3)
    expected = CrossbarBackend(
        rows=256, cols=256, cells="offset", cell_bits=8, cores=48, tiles_per_core=1,
        axons_per_core=256, chip_seed=3,
    )  # fmt: skip
    assert backend == expected and "chip.toml" not in format_spec(backend)
    assert backend.chip().most_tiles == 48
    (tmp_path / "chip.toml").unlink()
    assert replace(backend, chip_seed=4).rows == 256


def test_an_option_that_says_the_same_is_no_contradiction(tmp_path: Path) -> None:
    machine = described(tmp_path, DESCRIPTION)
    assert CrossbarBackend(machine=machine, rows=256).rows == 256
    with pytest.raises(ValueError, match="rows is 256, the target's is 64"):
        CrossbarBackend(machine=machine, rows=64)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("row = 3", "unknown key 'row'; did you mean rows?"),
        ("voltage_mv = 3", "unknown key 'voltage_mv'; keys are rows, cols"),
        ("[rows]", "rows must be a whole number, not {}"),
        ("rows = true", "rows must be a whole number, not True"),
        ("rows = 'many'", "rows must be a whole number, not 'many'"),
        ("cells = 3", "cells must be text, not 3"),
        ("cells = 'single'", "cells must be one of differential, two-sided, offset, unit-column"),
        ("packing = 'all'", "packing must be one of none, groups"),
        ("rows = -1", "rows must be 1 to 32768, not -1"),
        ("rows = 1\nrows = 2", "is not TOML"),
        (b"\xff\xfe", "is not TOML"),
        ("rows = " + "9" * 5000, "is not TOML"),
        ("rows = " + "[" * 20_000, "is not TOML"),
        ("#" * (LARGEST + 1), f"more than {LARGEST} bytes"),
    ],
)
def test_a_wrong_description_is_one_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        CrossbarBackend(machine=described(tmp_path, text))
    said = str(caught.value)
    assert message in said and "machine " in said and "chip.toml" in said and "\n" not in said


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", "."):
        with pytest.raises(ValueError, match="is no file"):
            read_machine(tmp_path / name)
    with pytest.raises(ValueError, match="No such file"):
        read_machine(tmp_path / "missing.toml")
