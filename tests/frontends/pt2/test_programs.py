"""Programs that torch.export saved: imported as the module is, whatever the batch was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snnc.errors import ModelError, UnsupportedError, UsageError
from snnc.frontends import load, reference, trace
from snnc.interp import run_ann

Save = Callable[..., Path]


@pytest.mark.parametrize("batch", [None, 1, 4])
def test_a_program_is_the_graph_of_its_module(
    net: nn.Module, save: Save, tmp_path: Path, batch: int | None
) -> None:
    path = str(save(net, tmp_path / "net.pt2", batch))
    graph, traced = load(path), trace(net, (2, 6, 6))
    assert [(n.name, n.op, n.loc, n.inputs) for n in graph] == [
        (n.name, n.op, n.loc, n.inputs) for n in traced
    ]
    assert list(graph.params) == list(traced.params)
    x = np.random.default_rng(0).standard_normal((7, 2, 6, 6), dtype=np.float32)
    with torch.no_grad():
        wanted = net(torch.from_numpy(x)).numpy()
    (output,) = reference(path)(x)
    np.testing.assert_allclose(output, wanted, atol=1e-5)
    np.testing.assert_allclose(run_ann(graph, x)[graph.outputs[0]].numpy(), wanted, atol=1e-5)


def test_a_decomposed_program_is_the_same_graph(net: nn.Module, save: Save, tmp_path: Path) -> None:
    path = str(save(net, tmp_path / "net.pt2", decompose=True))
    graph, traced = load(path), trace(net, (2, 6, 6))
    assert [n.op for n in graph] == [n.op for n in traced]
    assert list(graph.params) == list(traced.params)


def test_it_is_known_by_content(net: nn.Module, save: Save, tmp_path: Path) -> None:
    path = save(net, tmp_path / "net.pt2")
    assert load(str(path.rename(tmp_path / "model.pt"))).type_of("input").shape == (2, 6, 6)


def test_half_precision_is_computed_in_float32(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU()).double()
    program = torch.export.export(module.eval(), (torch.zeros(1, 2, 6, 6).double(),))
    torch.export.save(program, tmp_path / "net.pt2")
    assert load(str(tmp_path / "net.pt2")).params["0.weight"].dtype == np.float32


class Unsupported(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = torch.nn.functional.gelu(x)
        return torch.fft.fft(y).real.relu()


def test_all_that_is_unsupported_is_reported_at_the_users_line(save: Save, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        load(str(save(Unsupported(), tmp_path / "net.pt2")))
    head, *problems = caught.value.message.splitlines()
    line = Unsupported.forward.__code__.co_firstlineno
    assert head.endswith(f"{len(problems)} operations cannot be compiled") and len(problems) > 1
    assert f"test_programs.py:{line + 1}: gelu (aten.gelu): a neuron's rate follows" in problems[0]
    assert f"test_programs.py:{line + 2}: " in problems[1] and "fft" in problems[1]


class Fixed(nn.Module):
    """Other code than snnc takes: it adds up the samples."""

    def forward(self, x: Tensor) -> Tensor:
        return x.relu() + x.sum(0, keepdim=True)


@pytest.mark.parametrize("batch", [None, 1, 4])
def test_what_mixes_samples_is_refused_whatever_the_batch(
    save: Save, tmp_path: Path, batch: int | None
) -> None:
    with pytest.raises(UnsupportedError, match="reduces the batch"):
        load(str(save(Fixed(), tmp_path / "net.pt2", batch)))


class Twice(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


def test_inputs_that_no_network_here_has(tmp_path: Path) -> None:
    path, x = tmp_path / "net.pt2", torch.zeros(2, 3)
    torch.export.save(torch.export.export(Twice(), (x, x)), path)
    with pytest.raises(ModelError, match=r"takes 2 inputs \(\w+, \w+\)"):
        load(str(path))
    module = nn.ReLU()
    sides = ({2: torch.export.Dim("side")},)
    square = torch.export.export(module, (torch.zeros(1, 2, 5),), dynamic_shapes=sides)
    torch.export.save(square, path)
    with pytest.raises(ModelError, match="no fixed shape"):
        load(str(path))


def test_flags_that_do_not_fit(net: nn.Module, save: Save, tmp_path: Path) -> None:
    path = str(save(net, tmp_path / "net.pt2"))
    with pytest.raises(UsageError, match="takes samples of shape 2,6,6"):
        load(path, input_shape=(2, 8, 8))
    with pytest.raises(UsageError, match="holds its weights"):
        load(path, weights="w.pt")


def test_another_schema_and_damage(
    net: nn.Module, save: Save, changed: Callable[..., Path], tmp_path: Path
) -> None:
    source = save(net, tmp_path / "net.pt2")

    def schema(document: Any) -> None:
        document["schema_version"]["major"] = 9

    with pytest.raises(ModelError, match="schema 9, snnc reads 8"):
        load(str(changed(source, {"models/model.json": schema})))
    with pytest.raises(ModelError, match="'again' does not fit"):
        load(str(changed(source, members={"data/weights/weight_0": b"1234"})))
    with pytest.raises(ModelError, match="is no JSON"):
        load(str(changed(source, members={"models/model.json": b"{"})))
    with pytest.raises(ModelError, match="its program cannot be read"):
        load(str(changed(source, members={"models/model.json": b"[]"})))
    with pytest.raises(ModelError, match="NaN or infinity in again"):
        nan = np.full(36, np.nan, np.float32).tobytes()
        load(str(changed(source, members={"data/weights/weight_0": nan})))
    damaged = source.read_bytes()
    source.write_bytes(damaged[: len(damaged) // 2])
    with pytest.raises(ModelError):
        load(str(source))
