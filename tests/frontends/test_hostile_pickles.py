"""Hostile files: refused in one line with exit code 2, and nothing of them runs."""

from __future__ import annotations

import builtins
import inspect
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

from snnc.errors import ModelError, SnncError
from snnc.frontends import load, reference
from snnc.frontends.unpickling import load_module
from snnc.frontends.weights import load_weights


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, in which a file that runs leaves `marker`."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def layers() -> nn.Sequential:
    """A network of torch's own layers. (N,1,8,8) -> (N,5)."""
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 5))


class Runs:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


class Shadowed:
    """An OrderedDict with attributes of its own, which stand in for its methods."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    def __reduce__(self) -> tuple[Any, ...]:
        names = ("items", "keys", "values", "get", "copy", "update")
        hiding = dict.fromkeys(names, OrderedDict)
        return OrderedDict, (), hiding, None, iter(self.content.items())


def refused(file: str, words: str, allow: tuple[str, ...] = ()) -> None:
    """Neither the graph nor the reference loads, with one line, and no marker file appears."""
    for attempt in (load, reference):
        with pytest.raises(SnncError) as error:
            attempt(file, allow=allow)
        assert words in error.value.message, error.value.message
        assert "\n" not in error.value.message and error.value.exit_code == 2
    assert not Path("marker").exists(), "code of the file ran"


# -- calls ---------------------------------------------------------------------------------------


CALLS: dict[str, Runs] = {
    "posix.system": Runs(os.system, "touch marker"),
    "builtins.eval": Runs(builtins.eval, "open('marker', 'w')"),
    "builtins.getattr": Runs(builtins.getattr, Path, "touch"),
    "torch.serialization.load": Runs(torch.load, "other.pt"),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("where", ["alone", "state", "module"])
def test_a_pickle_that_calls_is_refused(name: str, where: str) -> None:
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


def leaves_marker() -> None:
    """What a function of the user's might do; only the name of it is in the file."""
    Path("marker").touch()


def test_calls_of_what_the_user_allows_are_not_made() -> None:
    name = f"{__name__}.leaves_marker"
    model = layers()
    model[0].extra = Runs(leaves_marker)
    torch.save(model, "model.pt")
    load_module("model.pt", None, (name,))
    torch.save(Runs(leaves_marker), "alone.pt")
    refused("alone.pt", "not a torch module", allow=(name,))
    assert not Path("marker").exists()


def test_what_the_process_allowed_torch_is_not_built_either() -> None:
    with torch.serialization.safe_globals([leaves_marker, nn.Linear]):
        torch.save(Runs(leaves_marker), "alone.pt")
        refused("alone.pt", "not a torch module")
        assert leaves_marker in torch.serialization.get_safe_globals()


def test_an_old_pickle_is_refused() -> None:
    torch.save(CALLS["posix.system"], "evil.pt", _use_new_zipfile_serialization=False)
    Path("plain.pt").write_bytes(pickle.dumps(CALLS["posix.system"]))
    torch.save(layers(), "old.pt", _use_new_zipfile_serialization=False)
    for file in ("evil.pt", "plain.pt", "old.pt"):
        refused(file, "may run code")


# -- names that would become source --------------------------------------------------------------

RUN = 'getattr(__import__("os"), "system")("touch marker")'
INJECTED = f'x")\r{RUN}\rdef forward(self, input):\r    pass  # '
"""Ends the string that torch.fx writes it into, and its line: runs when a graph is made of it."""


def injected() -> nn.Sequential:
    """A network with a layer of that name."""
    model = layers()
    model._modules[INJECTED] = nn.ReLU()
    return model


def empty_wrapper() -> Any:
    """A DataParallel that holds nothing yet."""
    wrapper = nn.DataParallel.__new__(nn.DataParallel)
    nn.Module.__init__(wrapper)
    return wrapper


def hides_a_method() -> nn.Module:
    wrapper = empty_wrapper()
    wrapper._modules["module"] = injected()
    wrapper.__dict__["named_modules"] = OrderedDict
    return wrapper


def hides_items() -> nn.Module:
    wrapper = empty_wrapper()
    wrapper.__dict__["_modules"] = Shadowed({"module": injected()})
    return wrapper


def attribute_of_the_wrapper() -> nn.Module:
    wrapper = empty_wrapper()
    wrapper.__dict__["module"] = injected()
    return wrapper


def attribute_beside_the_child() -> nn.Module:
    wrapper = attribute_of_the_wrapper()
    wrapper._modules["module"] = layers()
    return wrapper


def hidden_in_a_list() -> nn.Module:
    model = layers()
    model[0].extra = [{"a": (injected(),)}]
    return model


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (injected, "has a member called"),
        (hides_a_method, "has a member called"),
        (hides_items, "has a member called"),
        (attribute_of_the_wrapper, "holds no module"),
        (attribute_beside_the_child, "evil.pt"),
        (hidden_in_a_list, "has a member called"),
    ],
)
def test_hidden_children_are_refused(make: Callable[[], nn.Module], words: str) -> None:
    torch.save(make(), "evil.pt")
    refused("evil.pt", words)


@pytest.mark.parametrize("kind", ["_modules", "_parameters", "_buffers"])
def test_names_of_members(kind: str) -> None:
    model = layers()
    getattr(model, kind)[INJECTED] = (
        nn.ReLU() if kind == "_modules" else nn.Parameter(torch.ones(1))
    )
    torch.save(model, "evil.pt")
    refused("evil.pt", "has a member called")


def test_no_source_is_written_from_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(nn.Sequential(OrderedDict({"in -> out": nn.Linear(4, 3)})), "model.pt")

    def forbidden(*args: object, **kwargs: object) -> None:
        raise AssertionError("torch.fx wrote source")

    monkeypatch.setattr(fx.Graph, "python_code", forbidden)
    monkeypatch.setattr(fx.GraphModule, "__init__", forbidden)
    assert [node.name for node in load("model.pt")] == ["input", "in -> out"]


# -- attributes that hide ------------------------------------------------------------------------


class Net(nn.Module):
    """A class of the user's, with attributes of its own class."""

    width, head = 4, None

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) * self.width


ALLOW = (f"{__name__}.Net",)
BOOKKEEPING = frozenset(vars(nn.Module()))
HIDDEN = sorted({*dir(nn.Module), "__class__", "__dict__"})
VALUES: dict[str, Any] = {"class": OrderedDict, "number": 1, "module": nn.ReLU()}


def saved_with(model: nn.Module, part: nn.Module, name: str, value: Any) -> None:
    """The file of `model` whose `part` has an attribute that Python itself might not let it."""
    state = {**vars(part), name: value}
    kind = type(part)

    def reduced(self: nn.Module, protocol: int) -> tuple[Any, ...]:
        inner = state if self is part else vars(self)
        return object.__reduce_ex__(self, 2)[0], (kind,), inner

    kind.__reduce_ex__ = reduced  # type: ignore[method-assign]
    try:
        torch.save(model, "evil.pt")
    finally:
        del kind.__reduce_ex__


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", HIDDEN)
def test_nothing_hides_what_a_module_has(name: str, value: str) -> None:
    model = layers()
    saved_with(model, model[0], name, VALUES[value])
    with pytest.raises(SnncError) as error:
        load_module("evil.pt", None, ())
    assert "carries its own" in error.value.message and "\n" not in error.value.message
    net = Net()
    saved_with(net, net, name, VALUES[value])
    with pytest.raises(SnncError) as error:
        load_module("evil.pt", None, ALLOW)
    assert "carries its own" in error.value.message and "\n" not in error.value.message


@pytest.mark.parametrize("name", sorted(BOOKKEEPING - {"training", "_is_full_backward_hook"}))
def test_what_torch_keeps_of_a_module_is_made_afresh(name: str) -> None:
    for model, allow in ((layers(), ()), (Net(), ALLOW)):
        part = model[0] if isinstance(model, nn.Sequential) else model
        saved_with(model, part, name, Shadowed({"forward": nn.ReLU()}))
        if name == "_non_persistent_buffers_set":
            made = load_module("evil.pt", None, allow)
            assert all(type(vars(m)[name]) is set for m in made.modules())
            continue
        with pytest.raises(SnncError) as error:
            load_module("evil.pt", None, allow)
        assert "\n" not in error.value.message and error.value.exit_code == 2


def test_every_method_of_every_listed_layer_is_found_by_the_check() -> None:
    model = layers()
    for name in ("_conv_forward", "extra_repr", "reset_parameters", "__constants__"):
        assert inspect.getattr_static(nn.Conv2d, name)
        saved_with(model, model[0], name, OrderedDict)
        refused("evil.pt", f"carries its own {name}")


def test_attributes_of_the_users_class() -> None:
    net = Net()
    net.width = 7
    torch.save(net, "model.pt")
    made = load_module("model.pt", None, ALLOW)
    assert vars(made)["width"] == 7
    for name, value in (("head", OrderedDict), ("width", nn.ReLU()), ("forward", 3)):
        saved_with(net, net, name, value)
        refused("evil.pt", f"carries its own {name}", allow=ALLOW)
    saved_with(net, net, "fc", 3)
    refused("evil.pt", "has two things called fc", allow=ALLOW)
    saved_with(net, net, "not a name", 3)
    refused("evil.pt", "has an attribute called 'not a name'", allow=ALLOW)


def test_attributes_of_tensors_are_dropped() -> None:
    model = layers()
    for name in ("detach", "float", "numpy", "shape_", "__deepcopy__"):
        model[0].weight.__dict__[name] = OrderedDict
    torch.save(model, "model.pt")
    made = load_module("model.pt", None, ())
    assert vars(made[0].weight) == {} and torch.equal(made[0].weight, model[0].weight)


# -- damaged files -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("_forward_hooks", OrderedDict({0: nn.Linear}), "carries its own _forward_hooks"),
        ("_modules", None, "has no _modules"),
        ("_modules", {"a": nn.Linear}, "a is a torch.nn.modules.linear.Linear, not a module"),
        ("_modules", {"a": torch.zeros(2)}, "a is a Tensor, not a module"),
        ("_modules", {"a": nn.ReLU()}, "has a child a"),
        ("_parameters", {"weight": "large"}, "weight is a str, not a dense tensor"),
        ("_parameters", {"weight": torch.zeros(2).to_sparse()}, "not a dense tensor"),
        ("_parameters", {"weight": torch.zeros(2, device="meta")}, "not a dense tensor"),
        ("_parameters", {}, "lacks weight"),
        ("_parameters", {"weight_orig": torch.zeros(2)}, "was saved while pruned"),
        ("_parameters", {"scale": torch.zeros(2)}, "has scale, which its class has not"),
        ("stride", "large", "does not take an input"),
        ("stride", nn.ReLU(), "stride is a"),
        ("transposed", True, "has transposed True, not the False of every Conv2d"),
        ("groups", 0, "is damaged, or of another torch"),
    ],
)
def test_layers_that_are_not_what_they_seem(name: str, value: Any, words: str) -> None:
    model = layers()
    vars(model[0])[name] = value
    torch.save(model, "evil.pt")
    with pytest.raises(SnncError) as error:
        load("evil.pt", input_shape=(1, 8, 8))
    assert words in error.value.message and "\n" not in error.value.message


def nested(levels: int) -> bytes:
    """The pickle of so many Sequentials within each other, made without recursion."""
    empty = nn.Sequential()
    state = {key: value for key, value in vars(empty).items() if key != "_modules"}
    inner = pickle.dumps(state, 2)[2:-1]
    start = b"ctorch.nn.modules.container\nSequential\n)\x81" + inner
    return (
        b"\x80\x02"
        + (start + b"X\x08\x00\x00\x00_modules}X\x01\x00\x00\x000") * levels
        + (start + b"X\x08\x00\x00\x00_modules}sb" + b"ssb" * levels + b".")
    )


@pytest.mark.parametrize("levels", [40, 3000])
def test_modules_within_modules(levels: int) -> None:
    torch.save(nn.Sequential(), "empty.pt")
    with zipfile.ZipFile("empty.pt") as old, zipfile.ZipFile("deep.pt", "w") as new:
        for member in old.namelist():
            deep = member.endswith("data.pkl")
            new.writestr(member, nested(levels) if deep else old.read(member))
    if levels == 3000:
        refused("deep.pt", "nested more than 50 deep")
    else:
        assert len(list(load_module("deep.pt", None, ()).modules())) == levels + 1


def test_a_module_within_itself() -> None:
    model = layers()
    model._modules["again"] = model
    torch.save(model, "evil.pt")
    refused("evil.pt", "contains itself")
    endless: list[Any] = []
    endless.append(endless)
    model = layers()
    model[0].extra = endless
    torch.save(model, "evil.pt")
    refused("evil.pt", "nested too deep")


def test_one_value_in_many_places_takes_no_time() -> None:
    value: Any = (1, 1)
    for _ in range(40):
        value = (value, value)
    for name in ("stride", "extra", "transposed"):
        model = layers()
        vars(model[0])[name] = value
        torch.save(model, "evil.pt")
        if name == "extra":
            load_module("evil.pt", None, ())
        else:
            refused("evil.pt", "nested too deep")
    found: dict[str, Any] = {"x": torch.ones(1)}
    for _ in range(5):
        found = dict.fromkeys(map(str, range(100)), found)
    torch.save(found, "w.pt")
    with pytest.raises(ModelError, match="do not fit"):
        load_weights(nn.Linear(2, 2), Path("w.pt"))


def test_lazy_modules_are_refused_in_words() -> None:
    torch.save(nn.Sequential(nn.LazyLinear(3)), "lazy.pt")
    with pytest.raises(ModelError, match="lazy layers, whose shapes are not known"):
        load("lazy.pt")
