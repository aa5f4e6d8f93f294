"""Modules saved whole: listed classes load, nothing else in the file is imported or run."""

from __future__ import annotations

import builtins
import os
import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from snnc.errors import ModelError, SnncError, UsageError
from snnc.frontends import load, reference
from snnc.frontends.allowed import torch_layers
from snnc.frontends.loading import find_frontend
from snnc.frontends.pickled import PickledFrontend
from snnc.interp import run_ann

CODE = """
import pathlib
from torch import nn

pathlib.Path(__file__).with_name("imported").touch()


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        return self.fc(x).relu()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Block()
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.block(x))


def swish(x): return x
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder; modules imported from it are forgotten."""
    monkeypatch.chdir(tmp_path)
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def layers() -> nn.Sequential:
    """A network of torch's own layers, with statistics of its own. (N,1,8,8) -> (N,5)."""
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Dropout(), nn.Flatten(), nn.Linear(64, 5)),
    )
    model[1].running_mean.uniform_(-1, 1)
    return model.eval()


def saved_by_the_user(place: Path, name: str = "model_code") -> torch.Tensor:
    """`model.pt` of `Net` in `{name}.py`, whose classes are then forgotten; its result on ones."""
    (place / f"{name}.py").write_text(CODE)
    sys.path.insert(0, str(place))
    try:
        torch.manual_seed(0)
        net = __import__(name).Net().eval()
        torch.save(net, place / "model.pt")
        return net(torch.ones(2, 4))
    finally:
        sys.path.remove(str(place))
        del sys.modules[name]
        (place / "imported").unlink()


class Runs:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


# -- what loads ----------------------------------------------------------------------------------


def test_layers_of_torch_need_no_flag(place: Path) -> None:
    model = layers()
    torch.save(model, "model.pt")
    assert isinstance(find_frontend("model.pt"), PickledFrontend)
    graph = load("model.pt")
    x = torch.randn(3, 1, 8, 8)
    (found,) = run_ann(graph, x).values()
    np.testing.assert_allclose(found.numpy(), model(x).detach().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(reference("model.pt")(x.numpy())[0], model(x).detach())


@pytest.mark.parametrize("key", ["model", "net"])
def test_a_module_among_what_a_training_script_keeps(place: Path, key: str) -> None:
    torch.save({key: layers(), "epoch": 3, "loss": 0.5}, "model.pt")
    assert load("model.pt").type_of("input").shape == (1, 8, 8)


def test_data_parallel_half_and_given_weights(place: Path) -> None:
    other = layers()
    with torch.no_grad():
        other[6].bias += 1
    torch.save(other.state_dict(), "w.pt")
    torch.save(nn.DataParallel(layers().half()), "model.pt")
    x = torch.randn(2, 1, 8, 8)
    (output,) = reference("model.pt", weights="w.pt")(x.numpy())
    np.testing.assert_allclose(output, other(x).detach(), atol=1e-2)
    assert load("model.pt", weights="w.pt").type_of("input").shape == (1, 8, 8)


def test_members_are_called_what_people_call_them(place: Path) -> None:
    branches = nn.ModuleDict({"conv-3/3": nn.Linear(4, 3), "in -> out": nn.ReLU()})
    torch.save(nn.Sequential(*branches.values()), "model.pt")
    torch.save(nn.Sequential(OrderedDict(branches)), "named.pt")
    assert [node.name for node in load("named.pt")][1:] == ["conv-3/3", "in -> out"]


def test_listed_classes_are_layers_and_nothing_else() -> None:
    for each, name in torch_layers():
        assert isinstance(each, type) and issubclass(each, nn.Module)
        assert name.startswith("torch.nn.")


# -- classes of the user's -----------------------------------------------------------------------


def test_classes_of_the_users_have_to_be_named(place: Path) -> None:
    saved_by_the_user(place)
    with pytest.raises(ModelError) as error:
        load("model.pt", input_shape=(4,))
    assert error.value.message == (
        "model.pt contains classes snnc does not know: model_code.Block, model_code.Net"
    )
    assert error.value.hint == (
        "if you trust them: snnc compile model.pt --allow model_code.Block --allow model_code.Net"
    )
    with pytest.raises(ModelError) as error:
        load("model.pt", input_shape=(4,), allow=["model_code.Net"])
    assert error.value.message.endswith("does not know: model_code.Block")
    assert "--allow model_code.Net --allow model_code.Block" in (error.value.hint or "")
    assert not (place / "imported").exists(), "imported without being allowed"


def test_classes_that_are_named_load(place: Path) -> None:
    expected = saved_by_the_user(place)
    allow = ["model_code.Net", "model_code.Block", "not_there.Unused"]
    graph = load("model.pt", allow=allow)
    (found,) = run_ann(graph, torch.ones(2, 4)).values()
    np.testing.assert_allclose(found.numpy(), expected.detach().numpy(), rtol=1e-5)
    assert (place / "imported").exists()
    assert str(place) not in sys.path and graph.node("block.relu").loc.line == 14
    (output,) = reference("model.pt", allow=allow)(np.ones((2, 4), np.float32))
    np.testing.assert_array_equal(output, expected.detach())


def test_the_class_of_a_script_is_named_with_its_place(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = saved_by_the_user(place, "__main__x")
    with zipfile.ZipFile("model.pt") as old, zipfile.ZipFile("script.pt", "w") as new:
        for member in old.namelist():
            new.writestr(member, old.read(member).replace(b"c__main__x\n", b"c__main__\n"))
    with pytest.raises(ModelError) as error:
        load("script.pt")
    assert "--allow __main__.Net=SCRIPT.Net" in (error.value.hint or "")
    with pytest.raises(UsageError, match="class of a script") as wrong:
        load("script.pt", allow=["__main__.Net", "__main__.Block"])
    assert "--allow __main__.Net=train.Net" in (wrong.value.hint or "")
    (place / "train.py").write_text(CODE)
    graph = load("script.pt", allow=["__main__.Net=train.Net", "__main__.Block=train.Block"])
    (found,) = run_ann(graph, torch.ones(2, 4)).values()
    np.testing.assert_allclose(found.numpy(), expected.detach().numpy(), rtol=1e-5)


@pytest.mark.parametrize(
    ("allowed", "words"),
    [
        ("nowhere.Net", "--allow nowhere.Net: no module called 'nowhere'"),
        ("model_code.Nett", "model_code has no 'Nett'"),
        ("model_code.swish", "is not a class"),
        ("posix.system", "can run any code"),
        ("builtins.eval", "can run any code"),
        ("subprocess.Popen", "can run any code"),
        ("torch.hub.load", "can run any code"),
        ("torch.nn.functional.no_such_thing", "has no"),
        ("Net", "names no class"),
        ("a b.c", "names no class"),
    ],
)
def test_wrong_allowances(place: Path, allowed: str, words: str) -> None:
    saved_by_the_user(place)
    allow = [f"model_code.{name}={allowed}" for name in ("Net", "Block")]
    with pytest.raises(UsageError) as error:
        load("model.pt", allow=allow)
    assert words in error.value.message and "\n" not in error.value.message


def test_code_of_the_users_that_fails_is_one_line(place: Path) -> None:
    saved_by_the_user(place)
    (place / "model_code.py").write_text("import json\n1 / 0\n")
    with pytest.raises(ModelError, match=r"model_code\.py:2: ZeroDivisionError"):
        load("model.pt", allow=["model_code.Net", "model_code.Block"])


# -- hostile files -------------------------------------------------------------------------------


def refused(file: str, words: str, allow: tuple[str, ...] = ()) -> None:
    """Neither the graph nor the reference loads, with one line, and no marker file appears."""
    for attempt in (load, reference):
        with pytest.raises(SnncError) as error:
            attempt(file, allow=allow)
        assert words in error.value.message, error.value.message
        assert "\n" not in error.value.message and error.value.exit_code == 2
    assert not Path("marker").exists(), "code of the file ran"


CALLS: dict[str, Runs] = {
    "posix.system": Runs(os.system, "touch marker"),
    "builtins.eval": Runs(builtins.eval, "open('marker', 'w')"),
    "builtins.getattr": Runs(builtins.getattr, os, "system"),
    "torch.serialization.load": Runs(torch.load, "other.pt"),
    "pathlib.Path": Runs(Path, "marker"),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("where", ["alone", "state", "module"])
def test_a_pickle_that_calls_is_refused(place: Path, name: str, where: str) -> None:
    if name == "builtins.getattr":
        CALLS[name].call = (builtins.getattr, (Path, "touch"))
    model = layers()
    if where == "state":
        torch.save({"state_dict": {**model.state_dict(), "0.x": CALLS[name]}}, "evil.pt")
    elif where == "module":
        model[0].extra = CALLS[name]
        torch.save(model, "evil.pt")
    else:
        torch.save(CALLS[name], "evil.pt")
    refused("evil.pt", name)
    refused("evil.pt", "can run any code", allow=(name,))


def test_an_old_pickle_is_refused(place: Path) -> None:
    torch.save(CALLS["posix.system"], "evil.pt", _use_new_zipfile_serialization=False)
    Path("plain.pt").write_bytes(pickle.dumps(CALLS["posix.system"]))
    torch.save(layers(), "old.pt", _use_new_zipfile_serialization=False)
    for file in ("evil.pt", "plain.pt", "old.pt"):
        with pytest.raises(ModelError, match="may run code") as error:
            load(file)
        assert "torch.save" in (error.value.hint or "")
        with pytest.raises(ModelError, match="may run code"):
            reference(file)
    assert not Path("marker").exists()


RUN = 'getattr(__import__("os"), "system")("touch marker")'
INJECTED = f'x")\r{RUN}\rdef forward(self, input):\r    pass  # '
"""Ends the string that torch.fx writes it into, and its line: runs when a graph is made of it."""


@pytest.mark.parametrize("kind", ["_modules", "_parameters", "_buffers"])
def test_names_that_would_become_source_are_refused(place: Path, kind: str) -> None:
    model = layers()
    getattr(model, kind)[INJECTED] = (
        nn.ReLU() if kind == "_modules" else nn.Parameter(torch.ones(1))
    )
    torch.save(model, "evil.pt")
    refused("evil.pt", "has a member called")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("forward", nn.ReLU(), "carries its own forward"),
        ("__module__", "user", "carries its own __module__"),
        ("_forward_hooks", OrderedDict({0: nn.Linear}), "carries its own _forward_hooks"),
        ("_modules", None, "has no _modules"),
        ("_modules", {"a": nn.Linear}, "a is a type"),
        ("stride", "large", "is damaged, or of another torch"),
    ],
)
def test_layers_that_are_not_what_they_seem(place: Path, name: str, value: Any, words: str) -> None:
    model = layers()
    vars(model[0])[name] = value
    torch.save(model, "evil.pt")
    if name == "stride":
        with pytest.raises(SnncError):
            load("evil.pt", input_shape=(1, 8, 8))
        return
    refused("evil.pt", words)


# -- files that hold something else --------------------------------------------------------------


def test_other_files_say_the_way_out(place: Path) -> None:
    torch.save(layers().state_dict(), "state.pt")
    with zipfile.ZipFile("script.pt", "w") as archive:
        for member in ("net/data.pkl", "net/constants.pkl", "net/code/__torch__.py"):
            archive.writestr(member, b"")
    torch.save([layers()], "list.pt")
    for file, message, hint in (
        ("state.pt", "a state dict, which holds weights only", "net.py:factory --weights state.pt"),
        ("script.pt", "a TorchScript archive", "net.py:factory --weights"),
        ("list.pt", "holds a list, not a torch module", "net.py:factory --weights"),
    ):
        with pytest.raises(ModelError) as error:
            load(file)
        assert message in error.value.message and hint in (error.value.hint or "")


def test_a_damaged_file(place: Path) -> None:
    torch.save(layers(), "model.pt")
    with zipfile.ZipFile("model.pt") as old, zipfile.ZipFile("short.pt", "w") as new:
        for member in old.namelist():
            if "/data/" not in member:
                new.writestr(member, old.read(member))
    with pytest.raises(ModelError, match="cannot be loaded"):
        load("short.pt")
