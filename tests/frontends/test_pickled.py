"""Modules saved whole: listed classes load, nothing else in the file is imported or run."""

from __future__ import annotations

import argparse
import importlib
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from snnc.errors import ModelError, UsageError
from snnc.frontends import load, reference
from snnc.frontends.allowed import torch_layers
from snnc.frontends.loading import find_frontend
from snnc.frontends.pickled import PickledFrontend
from snnc.frontends.unpickling import load_module
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


@pytest.mark.parametrize("key", ["model", "net", "ema", "anything"])
def test_a_module_among_what_a_training_script_keeps(place: Path, key: str) -> None:
    beside = {"epoch": 3, "best": np.float32(0.5), "args": argparse.Namespace(lr=0.1)}
    torch.save({key: layers(), "optimizer": None, **beside}, "model.pt")
    assert load("model.pt").type_of("input").shape == (1, 8, 8)


def test_one_of_several_modules_is_not_chosen_in_silence(place: Path) -> None:
    torch.save({"model": layers(), "ema": layers(), "loss": nn.Identity()}, "model.pt")
    with pytest.raises(ModelError, match="several modules: model, ema") as error:
        load("model.pt")
    assert "['model'], 'model.pt')" in (error.value.hint or "")


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


def test_what_users_add_to_layers_of_torch(place: Path) -> None:
    model = layers()
    model[0].index, model[0].note, model[6].where = 3, {"from": [-1]}, Path("x")
    model.register_buffer("total_ops", torch.zeros(1, dtype=torch.float64))
    model[0].register_buffer("total_params", torch.zeros(1, dtype=torch.float64))
    for part in model.modules():
        vars(part)["__overloads__"] = {}  # torch.jit.script leaves it behind
    torch.save(model, "model.pt")
    (output,) = reference("model.pt")(np.ones((2, 1, 8, 8), np.float32))
    np.testing.assert_array_equal(output, model(torch.ones(2, 1, 8, 8)).detach())


def test_every_listed_layer_is_built_as_it_was(place: Path) -> None:
    made = [
        nn.Conv2d(2, 4, (3, 1), stride=2, padding="valid", dilation=2, groups=2, bias=False),
        nn.Conv1d(2, 4, 3, padding=1, padding_mode="reflect"),
        *(nn.ConvTranspose2d(2, 4, 3, output_padding=1, stride=2), nn.Bilinear(2, 3, 4)),
        *(nn.BatchNorm1d(3, affine=False), nn.BatchNorm2d(3, track_running_stats=False)),
        *(nn.LayerNorm((2, 3), bias=False), nn.GroupNorm(2, 4, eps=1e-3), nn.RMSNorm(4)),
        *(nn.PReLU(3), nn.ReLU6(inplace=True), nn.Hardtanh(-2, 3), nn.ELU(0.5), nn.Softmax(1)),
        *(nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.AvgPool2d(2, divisor_override=3)),
        *(nn.AdaptiveAvgPool2d((None, 2)), nn.LPPool2d(2, 3), nn.Dropout(0.3), nn.Flatten(0, 1)),
        *(nn.Unflatten(1, (2, 2)), nn.ConstantPad2d(2, 1.5), nn.Upsample(scale_factor=2)),
        *(nn.PixelShuffle(2), nn.LocalResponseNorm(2), nn.Threshold(0.1, 2), nn.Softplus(2)),
    ]
    whole = nn.ModuleList(made)
    torch.save(whole, "model.pt")
    found = load_module("model.pt", None, ())
    for old, new in zip(made, found, strict=True):
        assert type(old) is type(new) and repr(old) == repr(new)
        a, b = ({k: v for k, v in vars(m).items() if k[0] != "_"} for m in (old.eval(), new))
        assert a == b
        assert old.state_dict().keys() == new.state_dict().keys()
        assert all(torch.equal(v, new.state_dict()[k]) for k, v in old.state_dict().items())


def test_tied_layers_stay_one(place: Path) -> None:
    shared = nn.Linear(4, 4)
    model = nn.Sequential(shared, nn.ReLU(), shared, nn.Linear(4, 4))
    model[3].weight = shared.weight
    torch.save(model, "model.pt")
    found = load_module("model.pt", None, ())
    assert found[0] is found[2] and found[3].weight is found[0].weight


def test_data_parallel_inside(place: Path) -> None:
    model = nn.Sequential(nn.Flatten(), nn.DataParallel(nn.Linear(4, 3)))
    torch.save(model, "model.pt")
    assert sorted(load("model.pt").params) == ["1.module.bias", "1.module.weight"]


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
        "if you trust them, add --allow model_code.Block --allow model_code.Net"
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
        ("model_code.nn", "is a module"),
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


# -- what is told to people --------------------------------------------------------------------


def test_changed_modules_are_told_the_way_out(place: Path) -> None:
    def saved(change: Callable[[nn.Module], object]) -> str:
        model = layers()
        change(model[6])
        torch.save(model, "changed.pt")
        with pytest.raises(ModelError) as error:
            load("changed.pt")
        assert "net.py:factory --weights" in (error.value.hint or "")
        assert "distrust" not in (error.value.hint or "")
        return f"{error.value.message} {error.value.hint}"

    pruned = saved(lambda layer: prune.l1_unstructured(layer, "weight", 0.5))
    assert "saved while pruned" in pruned and "prune.remove(layer, 'weight')" in pruned
    with pytest.warns(FutureWarning):
        assert "remove_weight_norm(layer)" in saved(nn.utils.weight_norm)
    assert "remove_spectral_norm(layer)" in saved(nn.utils.spectral_norm)
    assert "carries its own _forward_hooks" in saved(
        lambda layer: layer.register_forward_hook(nn.functional.relu)
    )


def test_a_checkpoint_is_no_model(place: Path) -> None:
    torch.save({"state_dict": layers().state_dict(), "acc": np.float32(0.98)}, "np.pt")
    with pytest.raises(ModelError, match=r"np\.pt is a checkpoint, which holds weights") as error:
        load("np.pt")
    assert "net.py:factory --weights np.pt" in (error.value.hint or "")


def test_what_is_left_out_is_named_when_forward_needs_it(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (place / "net_code.py").write_text(
        "import argparse\nfrom torch import nn\n\n\nclass Net(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.fc, self.cfg = nn.Linear(4, 3), argparse.Namespace(scale=2.0)\n"
        "        self.act, self.kind, self.sizes = nn.functional.relu, nn.ReLU, {'a': [1, (2,)]}\n"
        "    def forward(self, x):\n"
        "        return self.act(self.fc(x)) * self.cfg.scale * self.sizes['a'][0]\n"
    )
    sys.path.insert(0, str(place))
    try:
        torch.save(importlib.import_module("net_code").Net(), "model.pt")
    finally:
        sys.path.remove(str(place))
    with pytest.raises(ModelError, match=r"know: net_code\.Net, torch\.nn\.functional\.relu"):
        load("model.pt")
    with pytest.raises(ModelError, match=r"forward needs cfg, a argparse\.Namespace"):
        load("model.pt", allow=["net_code.Net", "torch.nn.functional.relu"])
    assert "left out, as they are not plain values: cfg" in caplog.text
