"""Weights as safetensors files, given to a module."""

from __future__ import annotations

import copy
from pathlib import Path
from random import Random

import safetensors.torch
from torch import Tensor, nn

from fuzz import safetensors_edits
from fuzz.edits import cut, flipped
from snnc.frontends.weights import load_weights


def network() -> nn.Sequential:
    """(N, 1, 4, 4) -> (N, 3)"""
    conv = nn.Conv2d(1, 4, 3)
    return nn.Sequential(conv, nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


class StateDicts:
    """State dicts of a small network, with and without prefixes and wrapping."""

    name = "safetensors"

    def __init__(self) -> None:
        self._network = network()
        state = self._network.state_dict()
        prefixed = {f"model.{key}": value for key, value in state.items()}
        twice = {**state, **{f"ema.{key}": value * 2 for key, value in state.items()}}
        self._bases = [_saved(each) for each in (state, prefixed, twice)]

    def write(self, rng: Random, place: Path) -> Path:
        data = safetensors_edits.edited(rng, rng.choice(self._bases))
        match rng.randrange(20):
            case 0:
                data = flipped(rng, data)
            case 1:
                data = cut(rng, data)
            case _:
                pass
        path = place / "w.safetensors"
        path.write_bytes(data)
        return path

    def is_whole(self, path: Path) -> bool:
        return safetensors_edits.is_whole(path.read_bytes())

    def use(self, path: Path, rng: Random) -> None:
        load_weights(copy.deepcopy(self._network), path)


def _saved(state: dict[str, Tensor]) -> bytes:
    return safetensors.torch.save({key: value.clone() for key, value in state.items()})
