"""The bundled weights belong to the bundled network and are as good as its README says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from snnc.data import open_data

pytest.importorskip("sklearn", reason="the digits come with scikit-learn: extra [demo]")


def test_the_bundled_network_classifies_the_test_split(repository: Path) -> None:
    folder = repository / "examples" / "digits"
    spec = importlib.util.spec_from_file_location("digits_net", folder / "net.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.build().eval()
    model.load_state_dict(load_file(folder / "weights.safetensors"))
    right = []
    with torch.no_grad():
        for x, y in open_data("digits#test"):
            right += list(model(torch.from_numpy(x)).argmax(1).numpy() == y)
    assert len(right) == 500
    assert np.mean(right) == pytest.approx(0.996, abs=0.002)


def test_the_weights_stay_small(repository: Path) -> None:
    assert (repository / "examples" / "digits" / "weights.safetensors").stat().st_size < 200_000
