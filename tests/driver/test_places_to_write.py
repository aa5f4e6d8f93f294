"""Places to write: checked before the work without a trace, and written whole."""

from __future__ import annotations

from pathlib import Path

import pytest

import snnc
from snnc.artifact import open_artifact, write
from snnc.cli.main import run
from snnc.errors import UsageError
from snnc.new_file import new_file
from snnc.output_place import require_folder, require_new_file, require_own_file
from snnc.testing import Style, build


def test_a_place_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    require_new_file("-o", tmp_path / "net.snnc", "net.snnc")
    require_folder("--report", tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_which_nothing_can_be_made() -> None:
    with pytest.raises(UsageError, match="cannot write in /proc"):
        require_folder("--report", "/proc/report")
    with pytest.raises(UsageError, match="cannot write in /proc"):
        require_new_file("-o", "/proc/net.snnc", "net.snnc")


@pytest.mark.parametrize("kind", ["symbolic", "hard"])
def test_a_link_to_an_input_is_that_input(tmp_path: Path, kind: str) -> None:
    target, link = tmp_path / "net.pt", tmp_path / "link"
    target.write_bytes(b"")
    link.symlink_to(target) if kind == "symbolic" else link.hardlink_to(target)
    for path, other in ((link, target), (target, link), (target, f"{tmp_path}/./net.pt")):
        with pytest.raises(UsageError, match="names the same file"):
            require_own_file("-o", path, {"MODEL": other})


def test_an_output_beside_the_inputs_is_its_own_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "build").write_bytes(b"")
    others = {"MODEL": "net.py:build", "--calibration": f"images:{tmp_path}", "--train": [3]}
    require_own_file("-o", "build", others)
    require_own_file("-o", "new.snnc", {"MODEL": "old.snnc", "--weights": None})
    require_own_file("-o", "/dev/null", {"--input": "/dev/null"})


def test_folders_of_python_calls_hold_no_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ir").mkdir()
    write(tmp_path / "ir" / "00-net.snnc", build("plain", Style.ANN))
    with pytest.raises(UsageError, match="--dump-ir ir: MODEL ir/00-net.snnc may be overwritten"):
        snnc.compile("ir/00-net.snnc", target="reference", dump_ir="ir")
    with pytest.raises(UsageError, match="--workdir x/w lies in the folder of --train mnist:x#"):
        snnc.compile("ir/00-net.snnc", train="mnist:x#train", workdir="x/w")
    with pytest.raises(UsageError, match="--workdir x lies in the folder of --data cifar10:x#"):
        snnc.attack("ir/00-net.snnc", "cifar10:x#test", workdir="x")
    assert [path.name for path in tmp_path.rglob("*")] == ["ir", "00-net.snnc"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    with new_file(link) as place:
        place.write_bytes(b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "y.npy"
    path.write_bytes(b"old")
    with pytest.raises(KeyError), new_file(path) as place:
        place.write_bytes(b"half")
        raise KeyError
    assert {each: each.read_bytes() for each in tmp_path.iterdir()} == {path: b"old"}


def test_passes_on_a_saved_graph_keep_its_normalisation(tmp_path: Path) -> None:
    source, result = tmp_path / "net.snnc", tmp_path / "out.snnc"
    info = {"mean": [0.5], "std": [0.25], "calibrated": True, "calibration": {"samples": 3}}
    write(source, build("plain", Style.SNN), info=info)
    assert run(["opt", str(source), "--passes", "fold-scale", "-o", str(result), "-q"]) == 0
    assert {key: open_artifact(result).manifest["info"][key] for key in info} == info
