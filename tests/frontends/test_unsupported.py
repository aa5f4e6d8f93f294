"""What is not supported is reported together, each with the user's line, reason and remedy."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path
from types import ModuleType

import pytest
from torch import Tensor, nn

from snnc.errors import UnsupportedError
from snnc.frontends import trace

FILE = "tests/models/unsupported.py"


def _load() -> ModuleType:
    path = Path(__file__).parent.parent / "models" / "unsupported.py"
    spec = importlib.util.spec_from_file_location("models_unsupported", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


models = _load()


def marked_lines(cls: type[nn.Module]) -> list[int]:
    """Line numbers of the class that the comment `here` marks, as often as it says it."""
    lines = Path(models.__file__).read_text().splitlines()
    start = lines.index(f"class {cls.__name__}(nn.Module):")
    length = next(
        (i for i, line in enumerate(lines[start + 1 :], 1) if line and line[0] not in " #"), 99
    )
    found = []
    for number, line in enumerate(lines[start : start + length], start + 1):
        found += [number] * line.partition("#")[2].split().count("here")
    return found


def refusal(cls: type[nn.Module]) -> UnsupportedError:
    with pytest.raises(UnsupportedError) as error:
        trace(cls(), (2, 6, 6))
    assert error.value.exit_code == 3
    return error.value


@pytest.mark.parametrize("cls", models.REFUSED, ids=lambda cls: cls.__name__)
def test_refused_at_the_users_line(cls: type[nn.Module]) -> None:
    error = refusal(cls)
    places = list(dict.fromkeys((p.loc, p.op, p.reason) for p in error.problems))
    lines = marked_lines(cls)
    assert lines and [loc.line for loc, _, _ in places] == lines
    assert all(loc.file == FILE and f"{FILE}:{loc.line}" in error.message for loc, _, _ in places)
    count = len(error.problems)
    operations = f"{count} operation{'s' if count > 1 else ''}"
    assert error.message.startswith(f"{cls.__name__}: {operations} cannot be compiled\n")
    assert models.REFUSED[cls] in error.message


@pytest.mark.parametrize("cls", models.NOT_TRACEABLE, ids=lambda cls: cls.__name__)
def test_not_traceable_at_the_users_line(cls: type[nn.Module]) -> None:
    error = refusal(cls)
    (line,) = marked_lines(cls)
    assert f"{cls.__name__} cannot be traced" in error.message
    assert f"{FILE}:{line}: " in error.message
    assert models.NOT_TRACEABLE[cls] in error.message
    assert error.hint


def test_all_problems_of_a_model_are_listed_in_order() -> None:
    class All(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.Sequential(models.HardSwish(), models.Norm(), models.Gelu())

        def forward(self, x: Tensor) -> Tensor:
            return self.parts(x)

    message = refusal(All).message
    assert message.startswith("All: 3 operations cannot be compiled\n")
    names = [line.split(": ")[1] for line in message.splitlines()[1:]]
    assert names == [
        "parts.0.hardswish (F.hardswish)",
        "parts.1.norm (LayerNorm)",
        "parts.2.act (GELU)",
    ]


class Heads(nn.Module):
    """Attention as it is written by hand: heads first, then the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.act = nn.Linear(6, 18), nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, 2, 3).permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1)).softmax(-1)
        return self.act((weights @ v).transpose(1, 2).reshape(n, tokens, 6))


def test_what_follows_a_value_that_no_sample_has_is_listed_too() -> None:
    with pytest.raises(UnsupportedError) as error:
        trace(Heads(), (4, 6))
    found = [p.op for p in error.value.problems]
    product = "operator.matmul"
    assert found == ["Tensor.permute", product, "Tensor.softmax", product, "GELU"]


def test_one_problem_reads_well() -> None:
    line = marked_lines(models.Gelu)[0]
    _, problem = refusal(models.Gelu).message.splitlines()
    assert problem.strip().endswith(
        f"{FILE}:{line} (act): act (GELU): a neuron's rate follows max(x, 0) up to a bound, not "
        "this curve; put ReLU or ReLU6 in its place and fine-tune: the model, or the spiking "
        "network by the pass learn, as in snnc compile ... --recipe diet --train DATA"
    )


def test_outputs_must_be_tensors() -> None:
    message = refusal(models.Dictionary).message
    (line,) = marked_lines(models.Dictionary)
    assert f"{FILE}:{line}: output (return): returns a dict that is no tensor" in message
    assert "return one tensor, or a tuple" in message


def test_a_subclass_is_named_as_its_base() -> None:
    class Reader(nn.LSTM):
        pass

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.fc = Reader(36, 4, batch_first=True), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            out, (_hidden, _cell) = self.rnn(x.flatten(2))
            return self.fc(out[:, -1])

    message = refusal(Net).message
    assert message.startswith("Net: 1 operation") and "rnn (Reader): recurrent layers" in message


def test_two_inputs_are_refused() -> None:
    error = refusal(models.TwoInputs)
    assert "forward takes 2 inputs (x, y)" in error.message
    assert "torch.cat" in str(error.hint)


def test_every_model_here_is_tested() -> None:
    classes = {
        c for _, c in inspect.getmembers(models, inspect.isclass) if c.__module__ == models.__name__
    }
    tested = {*models.REFUSED, *models.NOT_TRACEABLE, models.Dictionary, models.TwoInputs}
    assert classes == tested
