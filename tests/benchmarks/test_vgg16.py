"""The script that trains VGG16 on a GPU, at a tiny size on the CPU, from source."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch

from snnc.artifact import open_artifact

pytest.importorskip("PIL", reason="the pack holds JPEG: extra [images]")
SIZES = {"train": 60, "test": 20}
STAGES = ["ann", "converted", "T5", "T4", "T3", "T2", "T1"]
TINY = ("--dry-run", "--width", "1", "--batch", "20")


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with few random images in one file: every third is kept as it is."""
    from PIL import Image

    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    for split, count in SIZES.items():
        exact = np.arange(count) % 3 == 0
        images = rng.integers(0, 256, (count, 3, 32, 32), np.uint8)
        coded: list[bytes] = []
        for image in images[~exact]:
            file = BytesIO()
            Image.fromarray(image.transpose(1, 2, 0)).save(file, "JPEG")
            coded.append(file.getvalue())
        arrays[f"{split}_labels"] = rng.integers(0, 10, count)
        arrays[f"{split}_exact"], arrays[f"{split}_exact_images"] = exact, images[exact]
        arrays[f"{split}_jpeg"] = np.frombuffer(b"".join(coded), np.uint8)
        arrays[f"{split}_jpeg_offsets"] = np.cumsum([0, *map(len, coded)])
    folder = tmp_path_factory.mktemp("pack")
    np.savez(folder / "cifar10.npz", **arrays)  # type: ignore[arg-type]
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installed packages, but for snnc: that comes from its source."""
    folder = tmp_path_factory.mktemp("site")
    for package in Path(torch.__file__).parents[1].iterdir():
        if not package.name.startswith(("snnc", "_snnc")) and package.suffix != ".pth":
            (folder / package.name).symlink_to(package)
    return folder


def ran(repository: Path, site: Path, *options: str) -> subprocess.CompletedProcess[str]:
    paths = [repository, repository / "passes", repository / "backends", site]
    command = [sys.executable, "-S", "-m", "benchmarks.learning.vgg16", *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    return subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.long
def test_every_stage_from_source_and_on_again(
    repository: Path, site: Path, pack: Path, tmp_path: Path
) -> None:
    options = ("--data", str(pack), "--work", str(tmp_path), *TINY)
    first = ran(repository, site, *options, "--seconds", "1")
    assert first.returncode == 0, first.stderr
    lines = first.stdout.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == STAGES
    assert re.search(r"^T1 .*exact .*published 93\.05 %.* 1 epochs", first.stdout, re.MULTILINE)
    networks = [open_artifact(tmp_path / f"{name}.snnc").graph() for name in STAGES[2:]]
    assert [graph.meta["timesteps"] for graph in networks] == [5, 4, 3, 2, 1]

    figures = json.loads((tmp_path / "figures.json").read_text())
    del figures["stages"]["T1"]
    (tmp_path / "figures.json").write_text(json.dumps(figures))
    untouched = (tmp_path / "T2.snnc").stat().st_mtime_ns
    again = ran(repository, site, *options, "--epochs", "2")
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[:6] == lines[:6]
    assert re.search(r"^T1 .* 2 epochs", again.stdout, re.MULTILINE)
    assert (tmp_path / "T2.snnc").stat().st_mtime_ns == untouched

    other = ran(repository, site, *options, "--images", "40")
    assert other.returncode == 1 and "holds a run of other settings" in other.stderr


def test_a_folder_without_images_is_named(repository: Path, site: Path, tmp_path: Path) -> None:
    result = ran(repository, site, "--data", str(tmp_path), "--work", str(tmp_path / "w"), *TINY)
    assert result.returncode == 1
    assert result.stderr == f"{tmp_path} holds neither test_batch.bin nor cifar10.npz\n"
