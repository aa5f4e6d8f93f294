"""The formats, by name."""

from __future__ import annotations

from collections.abc import Sequence

from fuzz.artifacts import Artifacts
from fuzz.cifar import Cifar
from fuzz.idx import Idx
from fuzz.image_folders import ImageFolders
from fuzz.kernels import Kernels
from fuzz.npy import Npy
from fuzz.npz import Npz
from fuzz.outcome import Format
from fuzz.pickles import Pickles
from fuzz.plans import Plans
from fuzz.state_dicts import StateDicts

KINDS = (*(Pickles, StateDicts, Artifacts, Plans, Kernels, Npy, Npz, Idx, ImageFolders, Cifar),)
NAMES = tuple(kind.name for kind in KINDS)


def formats(names: Sequence[str] | None) -> list[Format]:
    """The formats of these names; all for None."""
    return [kind() for kind in KINDS if names is None or kind.name in names]
