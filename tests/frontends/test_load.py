"""Models by reference: code, weights, and files that are something else."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from snnc.errors import ModelError, SnncError, UnsupportedError, UsageError
from snnc.frontends import load, reference
from snnc.frontends.factory import load_module
from snnc.interp import run_ann


def state(net: Path) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    module = load_module(f"{net}:build", None)
    return {k: torch.rand_like(v) if v.is_floating_point() else v
            for k, v in module.state_dict().items()}  # fmt: skip


# -- code ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["build", "Net", "ready", "Family.small"])
def test_a_factory_a_class_or_a_module(net: Path, name: str) -> None:
    graph = load(f"{net}:{name}", input_shape=(4,))
    assert [n.name for n in graph] == ["input", "a", "bn", "relu"]


def test_lines_are_those_of_the_file(net: Path) -> None:
    graph = load(f"{net}:build", input_shape=(4,))
    loc = graph.node("relu").loc
    assert (loc.file, loc.line) == (str(net), 11)


def test_paths_below_here_are_relative(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(net.parent)
    assert load("net.py:build", input_shape=(4,)).node("relu").loc.file == "net.py"


def test_a_module_of_the_current_folder(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = net.parent / "frontend_test_package"
    package.mkdir()
    (package / "__init__.py").touch()
    net.rename(package / "net.py")
    monkeypatch.chdir(net.parent)
    graph = load("frontend_test_package.net:build", input_shape=(4,))
    assert "bn" in graph


def test_neighbours_are_importable_and_nothing_stays(tmp_path: Path) -> None:
    for name, width in (("one", 5), ("two", 6)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "frontend_neighbour.py").write_text(f"WIDTH = {width}\n")
        (folder / "net.py").write_text(
            "from torch import nn\nimport frontend_neighbour\n"
            "print('hello')\n"
            "def build(): return nn.Sequential(nn.Linear(2, frontend_neighbour.WIDTH))\n"
        )
    path, modules = list(sys.path), set(sys.modules)
    widths = [
        load(f"{tmp_path / name}/net.py:build", input_shape=(2,)).type_of("0").shape
        for name in ("one", "two")
    ]
    assert widths == [(5,), (6,)]
    assert sys.path == path
    assert not {"net", "frontend_neighbour"} & (set(sys.modules) - modules)


def test_what_the_code_prints_does_not_reach_stdout(
    net: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net.write_text(net.read_text() + "\nprint('hello')\n")
    load(f"{net}:build", input_shape=(4,))
    captured = capsys.readouterr()
    assert captured.out == "" and "hello" in captured.err


@pytest.mark.parametrize(
    ("name", "kind", "message", "hint"),
    [
        ("biuld", UsageError, "has no 'biuld'", "did you mean 'build'? it has: Net, build"),
        ("__init__", UsageError, "has no '__init__'", "it has: Net, build"),
        ("Family.large", UsageError, "has no 'large'", "it has: Net"),
        ("number", UsageError, "of type int, not a factory", None),
        ("options", UsageError, "missing a required argument: 'width'", "write a function"),
        ("wrong", ModelError, "gave a int, not a torch module", "returns an nn.Module"),
        ("fails", ModelError, "net.py:24: RuntimeError: no such layer", None),
        ("leaves", ModelError, "net.py:25: SystemExit: 3", None),
    ],
)
def test_wrong_factories(
    net: Path, name: str, kind: type[SnncError], message: str, hint: str | None
) -> None:
    with pytest.raises(kind) as error:
        load(f"{net}:{name}", input_shape=(4,))
    assert message in error.value.message
    assert "\n" not in error.value.message
    assert (hint or "") in (error.value.hint or "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import does_not_exist_anywhere", "net.py:1: ModuleNotFoundError"),
        ("x = 1\nx = 1/0", "net.py:2: ZeroDivisionError"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_code_that_cannot_be_imported(net: Path, text: str, message: str) -> None:
    net.write_text(text)
    with pytest.raises(ModelError) as error:
        load(f"{net}:build", input_shape=(4,))
    assert "cannot be imported" in error.value.message and message in error.value.message


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nowhere/net.py:build", "nowhere/net.py: no such file"),
        ("no_such_package.net:build", "no module called 'no_such_package'"),
        ("json.no_such_part:build", "no module called 'json.no_such_part'"),
        ("nowhere.pt", "nowhere.pt: no such file"),
    ],
)
def test_nothing_there(reference: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        load(reference, input_shape=(4,))
    assert message in error.value.message
    assert "net.py:factory" in (error.value.hint or "")


def test_the_input_shape_is_inferred_and_has_to_be_one(net: Path) -> None:
    assert load(f"{net}:build").type_of("input").shape == (4,)
    with pytest.raises(UsageError, match="--input-shape 3,0 is not a shape"):
        load(f"{net}:build", input_shape=(3, 0))


def test_a_wrong_input_shape_is_one_line(net: Path) -> None:
    with pytest.raises(ModelError) as error:
        load(f"{net}:build", input_shape=(5,))
    assert "net.py:build does not take an input of shape 5: " in error.value.message
    assert "net.py:11 (a): " in error.value.message
    assert "\n" not in error.value.message


def test_unsupported_models_are_named_as_the_user_did(net: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"net\.py:gelu: 1 operation cannot be compiled"):
        load(f"{net}:gelu", input_shape=(4,))


# -- weights -------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module.", "model."])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model_state_dict", "model", "net"])
@pytest.mark.parametrize("kind", ["pt", "legacy"])
def test_weights_as_training_scripts_save_them(
    net: Path, prefix: str, wrapper: str | None, kind: str
) -> None:
    wanted = state(net)
    saved: dict[str, object] = {prefix + k: v for k, v in wanted.items()}
    if wrapper:
        saved = {wrapper: saved, "epoch": 3, "best": 0.5}
    path = net.parent / "weights.bin"
    torch.save(saved, path, _use_new_zipfile_serialization=kind == "pt")
    graph = load(f"{net}:build", weights=path, input_shape=(4,))
    for key in graph.params:
        assert np.array_equal(graph.params[key], wanted[key].numpy())


def test_safetensors_without_counters(net: Path) -> None:
    wanted = {k: v for k, v in state(net).items() if "num_batches" not in k}
    path = net.parent / "weights.dat"
    save_file(wanted, path)
    graph = load(f"{net}:build", weights=str(path), input_shape=(4,))
    assert np.array_equal(graph.params["a.weight"], wanted["a.weight"].numpy())


def test_half_weights_are_cast_and_said(net: Path, caplog: pytest.LogCaptureFixture) -> None:
    wanted = {k: v.half() if v.is_floating_point() else v for k, v in state(net).items()}
    path = net.parent / "w.pt"
    torch.save(wanted, path)
    with caplog.at_level(logging.WARNING):
        graph = load(f"{net}:build", weights=path, input_shape=(4,))
    assert "cast from float16 to float32" in caplog.text
    assert np.array_equal(graph.params["a.weight"], wanted["a.weight"].float().numpy())


def test_all_differences_at_once(net: Path) -> None:
    wrong = state(net)
    wrong["a.weight"] = torch.zeros(3, 5)
    wrong["a.bias"] = torch.zeros(3, dtype=torch.int64)
    wrong["head.bias"] = wrong.pop("bn.bias")
    path = net.parent / "w.pt"
    torch.save(wrong, path)
    with pytest.raises(ModelError) as error:
        load(f"{net}:build", weights=path, input_shape=(4,))
    message = error.value.message
    assert "do not fit Net: missing bn.bias; unexpected head.bias; " in message
    assert "a.weight has shape (3, 5), the module has (3, 4); " in message
    assert "a.bias holds int64, the module float32" in message


def test_many_differences_are_cut(net: Path) -> None:
    path = net.parent / "w.pt"
    torch.save({f"x{i}": torch.zeros(1) for i in range(9)}, path)
    with pytest.raises(ModelError, match=r"missing a\.weight, .* and 1 more; unexpected .* and 4"):
        load(f"{net}:build", weights=path, input_shape=(4,))


def test_nan_in_a_file_of_weights(net: Path) -> None:
    wrong = state(net)
    wrong["bn.bias"][1] = float("nan")
    path = net.parent / "w.pt"
    torch.save(wrong, path)
    with pytest.raises(ModelError, match=r"net\.py:build: NaN or infinity in bn\.bias"):
        load(f"{net}:build", weights=path, input_shape=(4,))


class Evil:
    """Runs code when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.marker}",)


def test_weights_never_run_code(net: Path) -> None:
    path, marker = net.parent / "w.pt", net.parent / "marker"
    torch.save({"state_dict": state(net), "x": Evil(marker)}, path)
    with pytest.raises(ModelError, match=r"holds more than tensors: posix\.system"):
        load(f"{net}:build", weights=path, input_shape=(4,))
    with pytest.raises(ModelError, match=r"contains posix\.system.*can run any code"):
        load(str(path), input_shape=(4,))
    assert not marker.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no whole safetensors file"),
        (b"hello there, this is text", "no whole safetensors file"),
        (b"PK\x03\x04 and no more", "cannot be read"),
        (b"\x80\x02 no pickle", "w.pt "),
    ],
)
def test_damaged_weights(net: Path, content: bytes, message: str) -> None:
    path = net.parent / "w.pt"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message) as error:
        load(f"{net}:build", weights=path, input_shape=(4,))
    assert "state_dict()" in (error.value.hint or "")


@pytest.mark.parametrize(
    ("saved", "message"),
    [([1, 2], "holds a list"), ({}, "it is empty"), ({"lr": 0.1}, "its key 'lr' holds no tensor")],
)
def test_files_without_a_state_dict(net: Path, saved: object, message: str) -> None:
    path = net.parent / "w.pt"
    torch.save(saved, path)
    with pytest.raises(ModelError, match=message):
        load(f"{net}:build", weights=path, input_shape=(4,))


def test_missing_weights(net: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.pt cannot be read: No such file"):
        load(f"{net}:build", weights="none.pt", input_shape=(4,))


# -- files that are no code ----------------------------------------------------------------------


def test_files_are_known_by_content(net: Path, tmp_path: Path) -> None:
    weights = {k: v for k, v in state(net).items() if v.is_floating_point()}
    save_file(weights, tmp_path / "a")
    torch.save(weights, tmp_path / "b")
    torch.save(weights, tmp_path / "c", _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(tmp_path / "d", "w") as archive:
        archive.writestr("net/data.pkl", b"")
        archive.writestr("net/constants.pkl", b"")
        archive.writestr("net/code/__torch__.py", b"")
    with zipfile.ZipFile(tmp_path / "e", "w") as archive:
        archive.writestr("net/archive_format", b"pt2")
        archive.writestr("net/models/model.json", b"{}")
    (tmp_path / "f").write_bytes(b"\x08\x08\x12\x07pytorch\x1a\x03")
    (tmp_path / "g").write_bytes(b"\x89HDF\r\n\x1a\n")
    (tmp_path / "h").write_bytes(b"hello")
    expected = {
        "a": ("a safetensors file, which holds weights only", "--weights {file}"),
        "b": ("a state dict, which holds weights only", "net.py:factory --weights {file}"),
        "c": ("a state dict, which holds weights only", "net.py:factory --weights {file}"),
        "d": ("a TorchScript archive", "net.py:factory"),
        "e": ("damaged: its program cannot be read", "net.py:factory"),
        "f": ("damaged: it is no complete ONNX file", "export the model again"),
        "g": ("an HDF5 file that is damaged", "write the file again"),
        "h": ("not a model snnc knows", "net.py:factory"),
    }
    for name, (message, hint) in expected.items():
        path = tmp_path / name
        with pytest.raises(ModelError) as error:
            load(str(path), input_shape=(4,))
        assert message in error.value.message, name
        assert hint.format(file=path) in (error.value.hint or ""), name


def test_a_script_without_a_factory_and_a_folder(net: Path) -> None:
    with pytest.raises(UsageError, match="names no factory"):
        load(str(net), input_shape=(4,))
    with pytest.raises(UsageError, match="is a folder"):
        load(str(net.parent), input_shape=(4,))


def test_the_reference_of_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        reference(str(tmp_path / "x.onnx"))


def test_the_reference_is_the_users_own_in_eval_mode(net: Path) -> None:
    x = np.ones((3, 4), np.float32)
    (output,) = reference(f"{net}:build")(x)
    graph = load(f"{net}:build", input_shape=(4,))
    assert output.dtype == np.float32 and output.shape == (3, 3)
    np.testing.assert_allclose(run_ann(graph, x)[graph.outputs[0]].numpy(), output, atol=1e-5)


def test_importing_the_package_imports_no_torch() -> None:
    code = (
        "import sys, snnc.frontends, snnc.frontends.fx; "
        "snnc.frontends.fx.FxFrontend().matches('net.py:a'); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
