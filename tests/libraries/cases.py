"""The list of checkpoints that the libraries save: how each was made, and what it has to give."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from net import Net
from safetensors.torch import save_file
from torch import Tensor

Saver = Callable[[Path], tuple[Path, "dict[str, Tensor]"]]
"""Saves in a folder; gives the file to read, and the weights that are wanted from it."""

SAVERS: list[tuple[str, str, str, Saver]] = []


@dataclass(frozen=True, slots=True)
class Case:
    """One checkpoint.

    Attributes:
        library: its name and version.
        saved: the calls that saved it.
        weights: the file or folder, below the folder of all cases.
        wanted: the safetensors file of the weights that have to come in.
        refused: words that the refusal has to hold; empty if it has to be taken.
    """

    library: str
    saved: str
    weights: str
    wanted: str
    refused: str


def case(library: str, saved: str, *, refused: str = "") -> Callable[[Saver], Saver]:
    """Adds a saver to the list."""

    def add(saver: Saver) -> Saver:
        SAVERS.append((library, saved, refused, saver))
        return saver

    return add


def trained() -> Net:
    """A network after a few steps, so that the batch norm has statistics."""
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    for _ in range(3):
        net(torch.randn(8, 1, 8, 8)).square().mean().backward()
        optimizer.step()
    return net.eval()


def copied(module: torch.nn.Module) -> dict[str, Tensor]:
    """The weights of a module, as they are now."""
    return {key: value.detach().clone().contiguous() for key, value in module.state_dict().items()}


def save_all(folder: Path) -> int:
    """Run every saver, and write the list of cases to `cases.json`; how many savers failed."""
    failed = 0
    made: list[Case] = []
    for number, (library, saved, refused, saver) in enumerate(SAVERS):
        torch.manual_seed(number)
        name = f"{number:02d}-{saver.__name__.replace('_', '-')}"
        (folder / name).mkdir(parents=True)
        try:
            weights, wanted = saver(folder / name)
        except Exception as error:  # whatever a library raises: the others are still wanted
            print(f"{library}: {saved} failed: {error!r}")
            failed += 1
            continue
        save_file(wanted, folder / name / "wanted.weights")
        there = str(weights.relative_to(folder))
        distribution = f"{library} {version(library).partition('+')[0]}"
        made.append(Case(distribution, saved, there, f"{name}/wanted.weights", refused))
    (folder / "cases.json").write_text(json.dumps([asdict(each) for each in made], indent=1))
    return failed
