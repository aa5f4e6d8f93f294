"""Files that run code when torch loads them: refused in one line, and nothing of them runs."""

from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from snnc.cli.main import run
from snnc.errors import ModelError
from snnc.frontends import load, reference

MODEL, CONFIG = "models/model.json", "data/weights/model_weights_config.json"
SAMPLE = "data/sample_inputs/model.pt"
Change = Callable[..., Path]
CODE = "__import__('pathlib').Path('marker').touch()"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, in which a file that runs leaves `marker`."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Runs:
    """Runs `CODE` when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (CODE,)


def sample_inputs(document: dict[str, Any]) -> dict[str, bytes]:
    content = io.BytesIO()
    torch.save(((Runs(),), {}), content)
    return {SAMPLE: content.getvalue()}


def pickled_weight(document: dict[str, Any]) -> dict[str, bytes]:
    content = io.BytesIO()
    torch.save(Runs(), content)
    entry = document[CONFIG]["config"]["conv.bias"]
    entry["use_pickle"] = True
    return {f"data/weights/{entry['path_name']}": content.getvalue()}


def size_expression(document: dict[str, Any]) -> dict[str, bytes]:
    values = document[MODEL]["graph_module"]["graph"]["tensor_values"]
    values["x"]["sizes"][0]["as_expr"]["expr_str"] = CODE
    return {}


def guard(document: dict[str, Any]) -> dict[str, bytes]:
    document[MODEL]["guards_code"] = [f"{CODE} is None"]
    return {}


WAYS = {
    "sample-inputs": (sample_inputs, "has sample inputs that name"),
    "pickled-weight": (pickled_weight, "as a pickle"),
    "size-expression": (size_expression, "in place of a size, which is code"),
    "guard": (guard, "in place of a size, which is code"),
}


@pytest.fixture
def tampered(net: nn.Module, save: Callable[..., Path], changed: Change, tmp_path: Path) -> Any:
    """`tampered(way)`: a program for any batch, changed by one of the functions above."""
    source = save(net, tmp_path / "net.pt2")

    def tamper(way: Callable[[dict[str, Any]], dict[str, bytes]]) -> Path:
        with zipfile.ZipFile(source) as archive:
            documents = {name: json.loads(archive.read(f"net/{name}")) for name in (MODEL, CONFIG)}
        members = way(documents)
        texts = {name: json.dumps(each).encode() for name, each in documents.items()}
        return changed(source, members=texts | members)

    return tamper


@pytest.mark.parametrize("way", WAYS)
def test_torch_itself_runs_it(tampered: Any, way: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program = torch.export.load(str(tampered(WAYS[way][0])))
            program.module()(torch.zeros(3, 2, 6, 6))
        except Exception:  # after its code has run
            assert Path("marker").exists()
    assert Path("marker").exists()


@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_it_is_run(tampered: Any, way: str) -> None:
    tamper, words = WAYS[way]
    path = str(tampered(tamper))
    for read in (load, reference):
        with pytest.raises(ModelError, match=words) as caught:
            read(path)
        assert caught.value.exit_code == 2
        assert "\n" not in caught.value.message
        assert "distrust it" in (caught.value.hint or "")
    assert not Path("marker").exists()


def test_the_command_refuses_it_and_writes_nothing(
    tampered: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tampered(sample_inputs)
    before = set(Path.cwd().iterdir())
    assert run(["compile", str(path), "--target", "reference", "-o", "out.snnc"]) == 2
    assert "has sample inputs that name" in capsys.readouterr().err
    assert set(Path.cwd().iterdir()) == before


def other_operator(document: dict[str, Any]) -> dict[str, bytes]:
    document[MODEL]["graph_module"]["graph"]["nodes"][0]["target"] = "torch.os.system"
    return {}


def unused_expression(document: dict[str, Any]) -> dict[str, bytes]:
    graph = document[MODEL]["graph_module"]["graph"]
    graph["sym_int_values"]["unused"] = {"as_expr": {"expr_str": f"Mul({CODE})", "hint": None}}
    return {}


def bomb_of_nesting(document: dict[str, Any]) -> dict[str, bytes]:
    document[MODEL]["guards_code"] = ["(" * 100_000]
    return {}


def deep_document(document: dict[str, Any]) -> dict[str, bytes]:
    return {MODEL: b"[" * 100_000}


def outside_of_its_bytes(document: dict[str, Any]) -> dict[str, bytes]:
    (entry, *_) = document[CONFIG]["config"].values()
    entry["tensor_meta"]["storage_offset"]["as_int"] = -4
    return {}


def bad_name(document: dict[str, Any]) -> dict[str, bytes]:
    for spec in document[MODEL]["graph_module"]["signature"]["input_specs"]:
        if "parameter" in spec:
            spec["parameter"]["parameter_name"] = "a\x1b[31m"
    return {}


def object_of_torchbind(document: dict[str, Any]) -> dict[str, bytes]:
    values = document[MODEL]["graph_module"]["graph"]["custom_obj_values"]
    values["c"] = {"name": "c", "class_fqn": "torch.classes.a.B"}
    return {}


OTHERS = {
    "operator": (other_operator, "which is no operator"),
    "unused-expression": (unused_expression, "which is code"),
    "nesting": (bomb_of_nesting, "which is code"),
    "deep-document": (deep_document, "is no JSON"),
    "offset": (outside_of_its_bytes, "does not fit"),
    "name": (bad_name, r"a tensor called 'a\\x1b"),
    "object": (object_of_torchbind, "holds objects beside tensors"),
}


@pytest.mark.parametrize("way", OTHERS)
def test_what_no_network_needs_is_refused(tampered: Any, way: str) -> None:
    tamper, words = OTHERS[way]
    with pytest.raises(ModelError, match=words) as caught:
        load(str(tampered(tamper)))
    assert caught.value.message.isprintable()
    assert not Path("marker").exists()


@pytest.mark.parametrize(
    "name", ["data/aotinductor/model/a.so", "data/constants/custom_obj_0", "../escape"]
)
def test_other_members_are_refused(tampered: Any, changed: Change, name: str) -> None:
    source = tampered(lambda document: {})
    content = pickle.dumps(Runs())
    with pytest.raises(ModelError, match="which no exported network needs"):
        load(str(changed(source.rename("other.pt2"), members={name: content})))
    assert not Path("marker").exists()


def test_compressed_files_are_refused(tampered: Any, changed: Change) -> None:
    source = tampered(lambda document: {}).rename("other.pt2")
    with pytest.raises(ModelError, match="is compressed"):
        load(str(changed(source, compression=zipfile.ZIP_DEFLATED)))
