"""No option of any command writes over what the command reads."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image
from typer.models import OptionInfo

from snnc.artifact import write
from snnc.cli.main import application
from snnc.testing import Style, build
from snnc.writes import Writes

INPUTS = {"--weights"}
"""Options of type Path that are read."""
MADE_ANEW = {("export", "-o"), ("new", "-o")}
"""Folders that must not be there yet, or be empty."""


@pytest.fixture
def place(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder `cli`, and next to it images in `photos`, graphs in `ir`, other files."""
    monkeypatch.chdir(tmp_path)
    for name in ("q.snnc", "ann.snnc", "cal.npz", "x.npy"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    for name in ("ir", "work/00-learn", "rep"):
        (tmp_path / name).mkdir(parents=True)
    write(Path("ir/02-lower.snnc"), build("plain", Style.SNN))
    (tmp_path / "work" / "00-learn" / "w.npz").write_bytes((folder / "cal.npz").read_bytes())
    (tmp_path / "made-000000.npz").write_bytes((folder / "cal.npz").read_bytes())
    (tmp_path / "rep" / "report.json").write_text("{}")
    for name in ("cats", "dogs"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.fromarray(np.zeros((6, 6, 3), np.uint8)).save(tmp_path / "photos" / name / "0.png")
    return tmp_path


def contents(place: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in place.rglob("*") if path.is_file()}


COMPILE = "compile ann.snnc --target reference -T 2"
TO_IMAGES = f"{COMPILE} --calibration images:photos"
OPT = "opt ir/02-lower.snnc --passes fold-scale"
BESIDE = "diagnose ir/02-lower.snnc --compare ann.snnc --calibration cal.npz"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (f"{COMPILE} -o ann.snnc", "-o ann.snnc: MODEL ann.snnc names the same file"),
        (f"{TO_IMAGES} -o photos/net.snnc", "-o photos/net.snnc lies in the folder of --cal"),
        (f"{TO_IMAGES} --report photos", "--report photos lies in the folder of --calibration"),
        (f"{TO_IMAGES} --dump-ir photos/cats", "--dump-ir photos/cats lies in the folder of"),
        (f"{COMPILE} --train images:photos --workdir photos/w", "--workdir photos/w lies in the"),
        (f"{COMPILE} --sample images:photos[:1] -o photos/a", "in the folder of --sample images:"),
        (f"{COMPILE} --calibration work/00-learn/w.npz --workdir work", "--workdir work: --calib"),
        (f"{COMPILE} -o ir/00-new.snnc --dump-ir ir", "--dump-ir ir: -o ir/00-new.snnc may be"),
        (f"{OPT} --dump-ir ir", "--dump-ir ir: NET.snnc ir/02-lower.snnc may be overwritten there"),
        (f"{OPT} -o ir/02-lower.snnc", "-o ir/02-lower.snnc: NET.snnc ir/02-lower.snnc names the"),
        (f"{BESIDE} --dump-ir ir", "--dump-ir ir: MODEL ir/02-lower.snnc may be overwritten there"),
        (
            "diagnose ann.snnc --calibration images:photos --report photos/r",
            "--report photos/r lie",
        ),
        ("eval q.snnc --data images:photos[:1] --report photos", "in the folder of --data images:"),
        ("eval rep/report.json --data cal.npz --report rep", "--report rep: ART rep/report.json"),
        ("verify q.snnc --data images:photos --report photos", "--report photos lies in the fold"),
        ("run q.snnc --input images:photos -o photos/cats/y.npy", "-o photos/cats/y.npy lies in "),
        ("run q.snnc --input x.npy --spikes x.npy", "--spikes x.npy: --input x.npy names the same"),
        ("bench q.snnc --trace q.snnc", "--trace q.snnc: ART q.snnc names the same file"),
        ("attack q.snnc --data made-000000.npz --workdir .", "--workdir .: --data made-000000.npz"),
        (
            "attack q.snnc --data images:photos --workdir photos",
            "--workdir photos lies in the fold",
        ),
    ],
)
def test_an_output_that_is_read_is_refused(snnc: Any, place: Path, command: str, said: str) -> None:
    before = contents(place)
    done = snnc(*command.split())
    assert done.code == 2 and said in done.err and "hint: " in done.err, done.err
    assert contents(place) == before


def test_outputs_beside_the_inputs_are_written(
    snnc: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the current folder is one of data, and where an option has the name of a file."""
    done = snnc(*f"{COMPILE} -o reference --report . --dump-ir . --workdir .".split())
    assert done.code == 0, done.err
    assert {"report.json", "reference"} < {path.name for path in place.iterdir()}
    again = snnc(*f"{COMPILE} -o reference --report . --dump-ir .".split())
    assert again.code == 0, again.err
    monkeypatch.chdir(place / "photos")
    done = snnc("eval", "../q.snnc", "--data", "images:.", "--report", "r")
    assert "lies in the folder" not in done.err and "shape (3, 6, 6)" in done.err


def test_every_option_that_takes_a_path_is_read_or_said_to_be_written() -> None:
    """A new option that writes is found by this test; `Writes` marks it."""
    marked, unmarked = set[tuple[str, str]](), set[tuple[str, str]]()
    for command in application().registered_commands:
        assert command.callback is not None and command.name is not None
        for parameter in inspect.signature(command.callback).parameters.values():
            kind, *said = get_args(parameter.annotation)
            for option in said:
                if isinstance(option, OptionInfo) and Path in (kind, *get_args(kind)):
                    writes = any(isinstance(each, Writes) for each in said)
                    found = (command.name, str(option.default))
                    (marked if writes else unmarked).add(found)
    assert unmarked == {*MADE_ANEW, *(each for each in unmarked if each[1] in INPUTS)}
    assert {("compile", flag) for flag in ("-o", "--report", "--workdir", "--dump-ir")} < marked
