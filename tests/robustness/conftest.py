"""A trained classifier of digits, as an ANN and as spiking networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import snnc
from snnc.driver import ModelSource, load_model
from snnc.interp import run_ann
from snnc.ir import Graph
from snnc.robustness import Target

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
EPS = 0.15


@dataclass(frozen=True)
class Digits:
    """The network of examples/digits, and 60 images it was not trained on.

    Attributes:
        ann: of stage `ann`.
        compiled: a recipe -> the network with T=8 on the CPU.
        x, y: (60, 1, 8, 8) in [0, 1], and classes.
    """

    ann: Graph
    compiled: Callable[[str], Any]
    x: NDArray[np.float32]
    y: NDArray[np.int64]

    @property
    def data(self) -> list[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        """In two uneven batches."""
        return [(self.x[:40], self.y[:40]), (self.x[40:], self.y[40:])]

    def target_of_ann(self) -> Target:
        """The ANN under attack."""
        (output,) = self.ann.outputs
        return Target(self.ann, 1, lambda x, _, __: run_ann(self.ann, x)[output].numpy().argmax(1))

    def target(self, recipe: str = "convert{bits=8}") -> Target:
        """A spiking network under attack."""
        made = self.compiled(recipe)

        def classify(x: Any, ids: Any, seed: int) -> Any:
            return made.program.run(x, sample_ids=ids, seed=seed).output.argmax(1)

        return Target(made.graph, 8, classify)


@pytest.fixture(scope="session")
def digits() -> Digits:
    from sklearn.datasets import load_digits

    model = f"{DIGITS / 'net.py'}:build"
    ann = load_model(ModelSource(model=model, weights=DIGITS / "weights.safetensors"))
    images, labels = load_digits(return_X_y=True)
    x = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    made: dict[str, Any] = {}

    def compiled(recipe: str) -> Any:
        if recipe not in made:
            made[recipe] = snnc.compile(
                ann, recipe=recipe, timesteps=8, calibration=x[:300], target="cpu"
            )
        return made[recipe]

    return Digits(ann, compiled, x[-60:], labels[-60:].astype(np.int64))
