"""Weights as training scripts leave them: found wherever they fit, what is left out is said."""

from __future__ import annotations

import argparse
import datetime as dt
import logging
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_model
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from snnc.errors import ModelError, SnncError
from snnc.frontends import trace
from snnc.frontends.factory import load_graph
from snnc.frontends.weights import load_weights


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def network(seed: int) -> nn.Sequential:
    """A small network with batch norm."""
    torch.manual_seed(seed)
    made = nn.Sequential(
        OrderedDict(
            features=nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()),
            flat=nn.Flatten(),
            head=nn.Linear(72, 3),
        )
    )
    made.features[1].running_mean.uniform_(-1, 1)
    return made


WANTED = network(1).state_dict()
OTHER = network(2).state_dict()
ZERO = torch.zeros(1, dtype=torch.float64)


class AttributeDict(dict[str, Any]):
    """What Lightning keeps hyper-parameters in."""


def loaded(saved: object, choice: str = "") -> nn.Module:
    """A network with other weights, given those in a file."""
    torch.save(saved, "w.pt")
    made = network(3)
    load_weights(made, Path(f"w.pt{choice}"))
    return made


def same(made: nn.Module, wanted: dict[str, Tensor] = WANTED) -> None:
    """`made` has exactly these weights."""
    found = made.state_dict()
    counters = {key for key in wanted if key.endswith("num_batches_tracked")}
    assert all(torch.equal(found[key], wanted[key]) for key in wanted.keys() - counters)


def renamed(old: str, new: str) -> dict[str, Tensor]:
    """`WANTED` with a part of every key replaced."""
    return {key.replace(old, new): value for key, value in WANTED.items()}


BESIDE: dict[str, Any] = {
    "acc": np.float32(0.98),
    "history": np.arange(3.0),
    "args": argparse.Namespace(lr=0.1, out=Path("runs")),
    "when": dt.datetime(2024, 1, 1),
    "metrics": defaultdict(list, {"loss": [0.5]}),
    "hyper_parameters": AttributeDict(width=4),
    "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]},
}


@pytest.mark.parametrize("name", [*BESIDE, "all"])
def test_what_lies_beside_the_weights_is_left_out_and_not_built(name: str) -> None:
    beside = BESIDE if name == "all" else {name: BESIDE[name]}
    same(loaded({"state_dict": WANTED, "epoch": 3, **beside}))
    same(loaded({**WANTED, **beside}))


@pytest.mark.parametrize(
    "saved",
    [
        {"model": None, "ema": WANTED},
        {"params": WANTED},
        {"model_state": WANTED, "epoch": 3},
        {"checkpoint": {"state": {"model": WANTED}}},
        {"model": WANTED, "ema": dict(WANTED)},
        {"generator": {"a.weight": torch.ones(2)}, "discriminator": WANTED},
        renamed("features.", "features.module."),
        renamed("features.", "_orig_mod.features.module."),
        {f"encoder.backbone.{key}": value for key, value in WANTED.items()},
    ],
)
def test_weights_are_found_where_they_fit(
    saved: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    same(loaded(saved))
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_module_with_data_parallel_inside() -> None:
    made = network(3)
    made.features = nn.DataParallel(made.features)
    torch.save(WANTED, "w.pt")
    load_weights(made, Path("w.pt"))
    assert torch.equal(made.features.module[0].weight, WANTED["features.0.weight"])


@pytest.mark.parametrize("counter", [torch.tensor(0.0), torch.tensor([7, 7]), None])
def test_counters_compute_nothing(counter: Tensor | None) -> None:
    key = "features.1.num_batches_tracked"
    same(loaded({k: v for k, v in {**WANTED, key: counter}.items() if v is not None}))


@pytest.mark.parametrize(
    ("saved", "words"),
    [
        ({**WANTED, "total_ops": ZERO, "features.total_params": ZERO}, "total_ops, features.tot"),
        (AveragedModel(network(1)).state_dict(), "left out n_averaged"),
        (
            {"state_dict": {f"model.{k}": v for k, v in WANTED.items()} | {"loss.weight": ZERO}},
            "left out loss.weight",
        ),
    ],
)
def test_keys_that_are_left_out_are_said(
    saved: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    same(loaded(saved))
    assert words in caplog.text


def test_a_real_choice_is_the_users() -> None:
    both = {"state_dict": WANTED, "extra": {"ema": OTHER}}
    with pytest.raises(ModelError, match=r"several networks that fit: state_dict, extra\.ema") as e:
        loaded(both)
    assert "--weights 'w.pt#extra.ema'" in (e.value.hint or "")
    same(loaded(both, "#extra.ema"), OTHER)
    same(loaded(both, "#state_dict"))
    pair = {f"student.{k}": v for k, v in WANTED.items()}
    pair |= {f"teacher.{k}": v for k, v in OTHER.items()}
    with pytest.raises(ModelError, match="several networks that fit: student, teacher"):
        loaded(pair)
    same(loaded(pair, "#teacher"), OTHER)
    with pytest.raises(ModelError, match="no state dict under 'mean'") as error:
        loaded(both, "#mean")
    assert "state_dict, extra.ema" in (error.value.hint or "")


def test_differences_are_those_of_the_nearest() -> None:
    short = {f"net.{k}": v for k, v in WANTED.items() if k != "head.bias"}
    with pytest.raises(ModelError, match=r"'state_dict' do not fit Sequential: missing head\.bias"):
        loaded({"optimizer": {"0": torch.ones(1)}, "state_dict": short})
    with pytest.raises(ModelError, match=r"unexpected aux\.bias$"):
        loaded({**WANTED, "aux.bias": torch.ones(1)})


def test_a_module_is_no_state_dict() -> None:
    with pytest.raises(ModelError, match="holds a module under 'ema', not its state dict"):
        loaded({"ema": network(1), "epoch": 3})
    with pytest.raises(ModelError, match=r"holds a whole module \(torch.*Sequential\), not a"):
        loaded(network(1))


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.b.weight = self.a.weight


def test_a_tied_weight_needs_one_name() -> None:
    wanted = Tied()
    save_model(wanted, "w.safetensors")
    made = Tied()
    load_weights(made, Path("w.safetensors"))
    assert torch.equal(made.b.weight, wanted.a.weight)
    state = wanted.state_dict()
    for key in ("a.weight", "b.weight"):
        made = Tied()
        torch.save({f"net.{k}": v for k, v in state.items() if k != key}, "w.pt")
        load_weights(made, Path("w.pt"))
        assert torch.equal(made.a.weight, wanted.a.weight) and made.a.weight is made.b.weight
    torch.save({**state, "b.weight": torch.ones(4, 4)}, "w.pt")
    with pytest.raises(ModelError, match="b.weight are one tensor in the module, two in the file"):
        load_weights(Tied(), Path("w.pt"))


# -- factories that are not in float32, or without values ----------------------------------------

CODE = """
import torch
from torch import nn
from torch.nn.utils import prune


def half(): return nn.Sequential(nn.Linear(4, 3)).half()
def double(): return nn.Sequential(nn.Linear(4, 3)).double()
def lazy(): return nn.Sequential(nn.LazyLinear(3))


def meta():
    with torch.device("meta"):
        return nn.Sequential(nn.Linear(4, 3))


def pruned(kind=torch.float64):
    net = nn.Sequential(nn.Linear(4, 3))
    prune.l1_unstructured(net[0], "weight", 0.5)
    return net.to(kind)
"""


@pytest.mark.parametrize("name", ["half", "double"])
def test_float32_weights_stay_what_they_are(place: Path, name: str) -> None:
    (place / "net.py").write_text(CODE)
    weights = nn.Sequential(nn.Linear(4, 3)).state_dict()
    torch.save(weights, "w.pt")
    graph = load_graph(f"net.py:{name}", Path("w.pt"), (4,))
    np.testing.assert_array_equal(graph.params["0.weight"], weights["0.weight"].numpy())


@pytest.mark.parametrize(
    ("name", "words"), [("lazy", "0.weight is lazy"), ("meta", "0.weight is on the meta device")]
)
def test_modules_without_values_are_refused_in_words(place: Path, name: str, words: str) -> None:
    (place / "net.py").write_text(CODE)
    for weights in (None, Path("w.pt")):
        torch.save(nn.Sequential(nn.Linear(4, 3)).state_dict(), "w.pt")
        with pytest.raises(SnncError, match=words) as error:
            load_graph(f"net.py:{name}", weights, None)
        assert "\n" not in error.value.message


def test_pruned_modules_of_any_type_are_traced(place: Path) -> None:
    (place / "net.py").write_text(CODE)
    graph = load_graph("net.py:pruned", None, (4,))
    assert np.count_nonzero(graph.params["0.weight"] == 0) == 6
    with pytest.raises(ModelError, match="weight is on the meta device"):
        trace(nn.Linear(4, 3, device="meta"), (4,))
