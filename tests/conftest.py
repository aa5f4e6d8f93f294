"""Fixtures every test may use: real data, golden files."""

from __future__ import annotations

import fcntl
import gc
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("snnc", deadline=None, derandomize=True)
settings.load_profile("snnc")

pytest.register_assert_rewrite("snnc.testing")
pytest_plugins = ["snnc.testing.golden"]

DATA_VARIABLE = "SNNC_DATA"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays to the end: no collection of garbage looks through it again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses `snnc_data`, directly or not, is marked `data`."""
    for item in items:
        if "snnc_data" in getattr(item, "fixturenames", ()):
            item.add_marker("data")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def snnc_data() -> Path:
    """The folder of real data and trained networks; the test is skipped where there is none."""
    folder = os.environ.get(DATA_VARIABLE)
    if not folder:
        pytest.skip(f"{DATA_VARIABLE} is not set: it names the folder of real data")
    if not Path(folder).is_dir():
        pytest.skip(f"{DATA_VARIABLE}={folder} is not a folder")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def cifar10_dir(snnc_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CIFAR-10 in its official binary layout, unpacked once for all workers of a session."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, done = base / "cifar10", base / "cifar10.done"
    with (base / "cifar10.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            unpack = snnc_data / "cifar10" / "unpack.py"
            command = [sys.executable, str(unpack), str(folder)]
            subprocess.run(command, check=True, capture_output=True)
            done.touch()
    return folder
