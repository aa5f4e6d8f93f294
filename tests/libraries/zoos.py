"""The architectures of torchvision and timm: their names, families and graphs.

All networks have random weights. Images are of 96x96 where the network takes such ones, as that is
faster, and else of the size that it was made for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from timm_architectures import FAMILIES
from torch import Tensor, nn
from without_kernels import import_torchvision

from snnc.frontends import trace
from snnc.ir import Graph

SMALL = 96
"""Height and width of an image, where the architecture takes it."""


OWN = {"inception_v3": 299}
"""Sizes of images of torchvision other than 224, where the module does not tell it."""
SLOW_TO_INITIALIZE = ("googlenet", "inception_v3")


@dataclass(frozen=True, slots=True)
class Zoo:
    """The architectures of one library.

    Attributes:
        library: its name.
        families: per name of an architecture the module of the library that defines it.
        load: the graph of an architecture. Raises what snnc raises, and what the library does.
    """

    library: str
    families: Mapping[str, str]
    load: Callable[[str], Graph]


def torchvision_zoo() -> Zoo:
    """Every network that torchvision classifies images with."""
    import_torchvision()
    from torchvision import models

    def load(name: str) -> Graph:
        options = {"init_weights": False} if name in SLOW_TO_INITIALIZE else {}
        module = models.get_model(name, weights=None, **options)
        size = getattr(module, "image_size", OWN.get(name, 224))
        return trace(module, _shape(randomized(module), (3, size, size)))

    names = models.list_models(module=models)
    builders = {name: models.get_model_builder(name) for name in names}
    return Zoo("torchvision", {name: _module(each) for name, each in builders.items()}, load)


def timm_zoo() -> Zoo:
    """Small networks of every module of timm."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import_torchvision()
    import timm

    def load(name: str) -> Graph:
        module = timm.create_model(name)
        own = tuple(module.default_cfg["input_size"])
        return trace(module, _shape(randomized(module), own))

    return Zoo("timm", FAMILIES, load)


ZOOS = {"torchvision": torchvision_zoo, "timm": timm_zoo}


def randomized(module: nn.Module) -> nn.Module:
    """The module with statistics of batch norms that no network has by default."""
    for part in module.modules():
        mean, variance = (getattr(part, f"running_{each}", None) for each in ("mean", "var"))
        if isinstance(mean, Tensor) and isinstance(variance, Tensor):
            torch.nn.init.normal_(mean, std=0.1)
            torch.nn.init.uniform_(variance, 0.5, 2)
    return module.eval()


def _module(builder: Any) -> str:
    return builder.__module__.rpartition(".")[2]


def _shape(module: nn.Module, own: tuple[int, ...]) -> tuple[int, ...]:
    """The small size if `module` takes it, else `own`."""
    small = (own[0], SMALL, SMALL)
    if own[-1] > SMALL:
        try:
            with torch.no_grad():
                module(torch.zeros(2, *small))
        except Exception:  # torch, or the library, may raise anything
            return own
        return small
    return own
