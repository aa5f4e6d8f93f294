"""Modules and checkpoints as torch saves them: zip archives around a pickle that is changed."""

from __future__ import annotations

import copy
import io
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import nn

from fuzz import pickle_edits
from fuzz.edits import NUMBERS, TEXTS, flipped, some
from fuzz.payload import Leaves, Net, leaves_marker
from fuzz.state_dicts import network
from snnc.errors import SnncError
from snnc.frontends import load
from snnc.frontends.weights import load_weights

SHAPE = (1, 4, 4)
ALLOWED = ("fuzz.payload.Net", "fuzz.payload.leaves_marker")
SOURCE = 'x")\r__import__("os").system("touch marker")\rdef forward(self, input):\r    pass  # '
"""As the name of a member: ends the string that a source would have it in."""

NAMES = (
    *sorted({*dir(nn.Module), *vars(nn.Conv2d(1, 1, 1)), *dir(OrderedDict), *TEXTS, SOURCE}),
    *("module", "0", "weight", "bias", "running_mean", "weight_orig", "head", "act", "scale"),
)
MEMBERS = ("_modules", "_parameters", "_buffers", "__dict__")


class Pickles:
    """Sequentials, a class of the user's, a DataParallel, checkpoints and state dicts."""

    name = "pickle"

    def __init__(self) -> None:
        found = (network(), Net(), nn.DataParallel(network()))
        state = network().state_dict()
        held = {"state_dict": state, "epoch": 3, "optimizer": {"lr": 0.1, "steps": [1, 2]}}
        self._network = network()
        self._modules = [module.eval() for module in found]
        saved = [*found, {"model": network(), "epoch": 1}, state, held]
        self._archives = [_members(_saved(each)) for each in saved]
        self._ops = [pickle_edits.parsed(_pickle(each)) for each in self._archives]

    def write(self, rng: Random, place: Path) -> Path:
        path = place / "model.pt"
        if rng.randrange(200) == 0:
            path.write_bytes(_archive(self._archives[0], _nested(rng)))
            return path
        match rng.randrange(20):
            case 0 | 1:
                path.write_bytes(flipped(rng, _saved(rng.choice(self._modules))))
            case 2:
                ops = rng.choice(self._ops)
                path.write_bytes(pickle_edits.edited(rng, ops, NAMES))
            case 3 | 4 | 5 | 6 | 7 | 8:
                path.write_bytes(self._poked(rng))
            case _:
                which = rng.randrange(len(self._ops))
                data = pickle_edits.edited(rng, self._ops[which], NAMES)
                path.write_bytes(_archive(self._archives[which], data))
        return path

    def _poked(self, rng: Random) -> bytes:
        """A module with other members and attributes than a module has, as torch saves it."""
        model: Any = copy.deepcopy(rng.choice(self._modules))
        for _ in range(some(rng, 3)):
            part = rng.choice(list(model.modules()))
            kind = rng.choice(MEMBERS)
            members = vars(part) if kind == "__dict__" else vars(part)[kind]
            if isinstance(members, dict):
                members[rng.choice((*NAMES, *map(str, members)))] = _object(rng, model)
            try:
                list(model.modules())
            except (AttributeError, TypeError, RecursionError):
                break
        try:
            return _saved(rng.choice((model, {"model": model}, {"ema": {"module": model}})))
        except Exception:  # torch does not save every module
            return _saved(model.__dict__.get("_parameters", 1))

    def is_whole(self, path: Path) -> bool:
        try:
            reader = torch._C.PyTorchFileReader(str(path))
            return bool(reader.get_record("data.pkl"))
        except RuntimeError:
            return False

    def use(self, path: Path, rng: Random) -> None:
        shape = rng.choice((SHAPE, SHAPE, None))
        refusals = [
            _refusal(lambda: load(str(path), input_shape=shape, allow=ALLOWED)),
            _refusal(lambda: load_weights(copy.deepcopy(self._network), path)),
        ]
        if None not in refusals:
            raise refusals[0]  # type: ignore[misc]


def _refusal(action: Callable[[], Any]) -> SnncError | None:
    try:
        action()
    except SnncError as error:
        return error
    return None


def _saved(value: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def _members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _pickle(members: dict[str, bytes]) -> bytes:
    return next(data for name, data in members.items() if name.endswith("data.pkl"))


def _archive(members: dict[str, bytes], pickled: bytes) -> bytes:
    """The archive with another pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, pickled if name.endswith("data.pkl") else data)
    return file.getvalue()


def _nested(rng: Random) -> bytes:
    """Many containers within each other, made without recursion."""
    levels = rng.choice((20, 60, 1000, 3000, 20_000))
    match rng.randrange(4):
        case 0:
            return b"\x80\x02" + b"]" * levels + b"a" * (levels - 1) + b"."
        case 1:
            return b"\x80\x02N" + b"\x85" * levels + b"."
        case 2:
            return b"\x80\x02" + b"}X\x01\x00\x00\x00m" * levels + b"N" + b"s" * levels + b"."
        case _:
            pass
    empty = nn.Sequential()
    state = {key: value for key, value in vars(empty).items() if key != "_modules"}
    start = b"ctorch.nn.modules.container\nSequential\n)\x81" + pickle_edits.plain(state)
    modules = pickle_edits.text("_modules")
    first = (start + modules + b"}" + pickle_edits.text("0")) * levels
    return b"\x80\x02" + first + start + modules + b"}sb" + b"ssb" * levels + b"."


def _object(rng: Random, model: nn.Module) -> Any:
    """What nobody puts into a module."""
    number = rng.choice(NUMBERS)
    tensors = (
        torch.zeros(3),
        torch.zeros(4, 1, 3, 3),
        torch.zeros(2, 2).to_sparse(),
        torch.zeros(2, device="meta"),
        torch.zeros(0, 5),
        torch.zeros(1).expand(1 << 20, 1 << 20),
        torch.zeros(2, dtype=torch.complex64),
        torch.tensor(float("nan")),
        torch.ones(3, dtype=torch.int64),
        torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        nn.Parameter(torch.ones(4)),
    )
    others = (
        *(model, nn.ReLU(), nn.Linear, Leaves, leaves_marker, torch.relu, nn.Linear(3, 3)),
        *([number], (number, [number]), {"a": number}, {3}, OrderedDict(x=number), None, True),
        *(nn.Conv2d(1, 4, 3, padding="same"), nn.Flatten(3, 9), nn.MaxPool2d(9), nn.Sequential()),
        *(torch.float16, torch.Size((3,)), slice(2), range(9), 1j, b"x", float("inf")),
    )
    return rng.choice((number, rng.choice(TEXTS), rng.choice(tensors), rng.choice(others)))
