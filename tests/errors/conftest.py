"""The folder in which the cases run: good and bad models, artifacts and data under plain names."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import safetensors.numpy
import torch
from PIL import Image
from torch import nn

from snnc.artifact import write
from snnc.cli.main import run
from snnc.testing import Style, build

NETWORKS = Path(__file__).with_name("networks.py")
SHAPE = (2, 6, 6)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every file that a case names. Models take (2, 6, 6) and give 5 classes."""
    place = tmp_path_factory.mktemp("errors")
    _data(place)
    _broken_data(place)
    _images(place)
    _models(place)
    _artifacts(place)
    _broken_artifacts(place)
    _technologies(place)
    _machines(place)
    return place


def _data(place: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.random((24, *SHAPE), dtype=np.float32)
    y = np.arange(24) % 5
    np.savez(place / "data.npz", x=x, y=y)
    np.save(place / "unlabelled.npy", x[:3])
    np.savez(place / "wide.npz", x=np.zeros((4, 1, 8, 8), np.float32))
    np.savez(place / "last.npz", x=np.zeros((4, 6, 6, 2), np.float32))
    np.savez(place / "ten-classes.npz", x=x, y=np.arange(24) % 10)
    np.savez(place / "targets.npz", x=x, y=rng.random((24, 3), dtype=np.float32))
    np.savez(place / "float-y.npz", x=x, y=y.astype(np.float32))
    np.savez(place / "boxes.npz", x=x, y=np.zeros((24, 4), np.int64))
    np.save(place / "mask.npy", np.ones(23, bool))


def _broken_data(place: Path) -> None:
    x = np.zeros((4, *SHAPE), np.float32)
    np.savez(place / "nan.npz", x=np.full_like(x, np.nan))
    np.savez(place / "short-y.npz", x=x, y=np.zeros(3, np.int64))
    np.savez(place / "names.npz", x=x, y=np.array(["cat", "dog", "cat", "dog"]))
    np.savez(place / "int16.npz", x=x.astype(np.int16))
    np.savez(place / "images-labels.npz", images=x, labels=np.zeros(4))
    np.savez(place / "empty.npz", x=x[:0])
    np.save(place / "objects.npy", np.array([{"x": 1}], object), allow_pickle=True)
    (place / "cut.npz").write_bytes((place / "data.npz").read_bytes()[:900])
    (place / "notes.txt").write_text("not a model, not data\n")
    (place / "mnist").mkdir()
    (place / "cifar").mkdir()
    shutil.copy(NETWORKS, place / "net.py")


def _images(place: Path) -> None:
    for name in ("cats", "dogs"):
        (place / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (6, 6)).save(place / "photos" / name / "1.png")
    Image.new("RGB", (8, 8)).save(place / "photos" / "dogs" / "2.png")
    (place / "deep" / "cats").mkdir(parents=True)
    Image.fromarray(np.zeros((6, 6), np.uint16)).save(place / "deep" / "cats" / "1.png")
    (place / "flat").mkdir()
    Image.new("L", (6, 6)).save(place / "flat" / "1.png")


def _models(place: Path) -> None:
    torch.manual_seed(0)
    good = nn.Sequential(nn.Flatten(), nn.Linear(72, 8), nn.ReLU(), nn.Linear(8, 5))
    torch.save(good, place / "model.pt")
    torch.save(good.state_dict(), place / "weights.pt")
    other = nn.Sequential(nn.Flatten(), nn.Linear(72, 9), nn.ReLU(), nn.Linear(9, 5))
    torch.save(other.state_dict(), place / "other.pt")
    ema = {name: value / 2 for name, value in good.state_dict().items()}
    nets = {"model": good.state_dict(), "ema": ema}
    torch.save(nets, place / "last.pt")
    torch.save({"epoch": 3, "loss": 0.1}, place / "log.pt")
    (place / "old.pkl").write_bytes(pickle.dumps(Loss))
    state = {name: value.numpy() for name, value in good.state_dict().items()}
    safetensors.numpy.save_file(state, place / "weights.safetensors")
    nan = {name: value + np.float32("nan") for name, value in state.items()}
    safetensors.numpy.save_file(nan, place / "nan.safetensors")
    (place / "model.onnx").write_bytes(b"\x08\x08\x12\x07pytorch")
    with h5py.File(place / "model.h5", "w") as file:
        file["model_weights"] = np.zeros(3)
    (place / "model.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(64))
    torch.save(Loss(), place / "custom.pt")
    conv = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    torch.save(conv, place / "any-size.pt")


class Loss(nn.Module):
    """A class that snnc does not know."""


def _artifacts(place: Path) -> None:
    write(place / "model.snnc", build("plain", Style.ANN))
    for name, target in (("net", "reference"), ("chip", "crossbar")):
        command = ["compile", place / "model.snnc", "-o", place / f"{name}.snnc", "-q"]
        command += ["--target", target, "--recipe", "convert{bits=8}"]
        command += ["--calibration", place / "data.npz"]
        assert run([str(each) for each in command]) == 0


def _broken_artifacts(place: Path) -> None:
    whole = (place / "net.snnc").read_bytes()
    (place / "cut.snnc").write_bytes(whole[: len(whole) // 2])
    flipped = bytearray(whole)
    flipped[whole.index(b"fc2.weight") + 4] ^= 1
    (place / "flipped.snnc").write_bytes(flipped)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = {**json.loads(members["manifest.json"]), "version": "9.0"}
    members["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(place / "newer.snnc", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def _technologies(place: Path) -> None:
    """Technology tables with one fault each, and files of spike rates."""
    entry = '[energy.row]\nvalue = 1\nunit = "pJ"\nnode_nm = 32\nsource = "a paper"\n'
    tables = {
        "no-toml": "node_nm = = 32",
        "no-node": entry,
        "empty": "node_nm = 32",
        "no-source": entry.replace('source = "a paper"', ""),
        "other-node": entry.replace("node_nm = 32", "node_nm = 14"),
        "negative": entry.replace("value = 1", "value = -1"),
        "text": entry.replace("value = 1", 'value = "1"'),
        "wrong-unit": entry.replace("pJ", "mW"),
        "misspelt": entry.replace("energy.row", "energy.rows"),
        "bits": entry.replace("energy.row", "energy.conversion.99"),
    }
    for name, text in tables.items():
        head = "" if name in ("no-toml", "no-node", "empty") else "node_nm = 32\n"
        (place / f"{name}.toml").write_text(head + text)
    (place / "rates-list.json").write_text("[0.1]")
    (place / "rates-negative.json").write_text('{"relu": -0.1}')
    (place / "rates-unknown.json").write_text('{"relu": 0.1}')
    (place / "rates-cut.json").write_text('{"relu": ')


def _machines(place: Path) -> None:
    """Machine descriptions of a crossbar chip."""
    (place / "chip.toml").write_text("rows = 64\ncols = 64\ncores = 2\ntiles-per-core = 2\n")
    (place / "axons.toml").write_text("tiles-per-core = 4\naxons-per-core = 16\n")
    (place / "key.toml").write_text("rows = 64\ntile-per-core = 2\n")
    (place / "float.toml").write_text("rows = 64.0\n")
    (place / "negative.toml").write_text("cores = -2\ntiles-per-core = 4\n")
