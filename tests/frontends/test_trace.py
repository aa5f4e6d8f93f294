"""Traced graphs compute what torch computes, under the names of the model."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snnc.errors import ModelError, UnsupportedError, UsageError
from snnc.frontends import trace
from snnc.interp import run_ann
from snnc.ir import Add, Conv, MaxPool, Relu, Scale, verify


def _module(name: str) -> ModuleType:
    path = Path(__file__).parent.parent / "models" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"models_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


supported = _module("supported")


def build(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """A case with random parameters and statistics, in eval mode."""
    torch.manual_seed(7)
    make, shape = supported.CASES[name]
    module = make().eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            assert part.running_mean is not None and part.running_var is not None
            part.running_mean.normal_()
            part.running_var.uniform_(0.3, 2)
            if part.affine:
                nn.init.normal_(part.weight)
                nn.init.normal_(part.bias)
    return module, shape


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("name", supported.CASES)
def test_equals_torch(name: str) -> None:
    module, shape = build(name)
    graph = trace(module, shape)
    verify(graph)
    x = torch.randn(5, *shape, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        result = module(x.clone())
    wanted = [result] if isinstance(result, Tensor) else list(result)
    got = run_ann(graph, x)
    assert len(wanted) == len(graph.outputs)
    for output, expected in zip(graph.outputs, wanted, strict=True):
        value = got[output]
        if name == "pytorch-mnist":
            value = torch.log_softmax(value, 1)
        if name == "two-heads" and expected.shape[1] == 2:
            value = torch.softmax(value, 1)
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-5)


def test_one_module_used_twice_is_two_nodes_and_one_array() -> None:
    graph = trace(supported.SharedRelu(), (2, 6, 6))
    assert [n.name for n in graph] == ["input", "conv", "relu", "conv_1", "relu_1"]
    ops = [n.op for n in graph if isinstance(n.op, Conv)]
    assert ops[0] == ops[1]
    assert list(graph.params) == ["conv.weight", "conv.bias"]


def test_tied_parameters_are_one_array() -> None:
    graph = trace(supported.Tied(), (5,))
    assert set(graph.params) == {"first.weight", "first.bias", "second.bias"}


def test_arrays_are_read_only_copies() -> None:
    module = nn.Linear(3, 2)
    graph = trace(module, (3,))
    before = graph.params["weight"].copy()
    with torch.no_grad():
        module.weight.zero_()
    assert np.array_equal(graph.params["weight"], before)
    assert not graph.params["weight"].flags.writeable


def test_relu_moves_ahead_of_max_pools() -> None:
    module, shape = build("pool-relu")
    graph = trace(module, shape)
    assert [type(n.op) for n in graph][2:5] == [Relu, MaxPool, MaxPool]
    assert [n.name for n in graph][1:5] == ["0", "3", "1", "2"]


def test_relu_stays_when_the_pool_has_other_users() -> None:
    class Both(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = torch.max_pool2d(x, 2)
            return y.relu() + y

    graph = trace(Both(), (1, 4, 4))
    assert [type(n.op) for n in graph][1:] == [MaxPool, Relu, Add]


def test_constants_that_do_nothing_leave_no_node() -> None:
    graph = trace(supported.Function(lambda x: (x + 0) * 1), (2, 6, 6))
    assert not any(isinstance(n.op, Scale) for n in graph)


def test_constants_keep_their_key_and_smallest_shape() -> None:
    module, shape = build("affine")
    graph = trace(module, shape)
    shapes = {name: array.shape for name, array in graph.params.items()}
    assert shapes == {
        "sub.bias": (2,),
        "div.factor": (2,),
        "mul.factor": (2,),
        "add.bias": (2, 6, 6),
        "sub_1.bias": (2, 6, 6),
        "sub_2.bias": (),
    }


def test_names_and_lines_come_from_the_model() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stage = nn.Sequential(supported.Block(), supported.Block())

        def forward(self, x: Tensor) -> Tensor:
            return self.stage(x)

    graph = trace(Net(), (2, 6, 6))
    assert [n.name for n in graph][1:5] == [
        "stage.0.conv", "stage.0.bn", "stage.0.add", "stage.0.relu",
    ]  # fmt: skip
    lines = Path(supported.__file__).read_text().splitlines()
    add = graph.node("stage.1.add").loc
    assert add.module == "stage.1"
    assert add.file is not None and add.file.endswith("tests/models/supported.py")
    assert add.line is not None and lines[add.line - 1].strip() == "out += x"
    assert graph.node("stage.1.conv").loc.module == "stage.1.conv"


def test_layers_of_a_sequential_have_a_module_but_no_line() -> None:
    graph = trace(nn.Sequential(nn.Linear(3, 2)), (3,))
    assert str(graph.node("0").loc) == "(0)"


def test_twice_the_same_graph() -> None:
    module, shape = build("shuffle")
    assert trace(module, shape).fingerprint() == trace(module, shape).fingerprint()


def test_the_module_is_left_as_it_was() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.Dropout(), nn.BatchNorm1d(3)).train()
    module[2].eval()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    trace(module, (4,))
    assert [part.training for part in module.modules()] == [True, True, True, False]
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
    assert isinstance(module[0].weight, nn.Parameter)


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
def test_other_floats_are_cast_and_said(
    kind: torch.dtype, caplog: pytest.LogCaptureFixture
) -> None:
    module = nn.Linear(4, 3).to(kind)
    with caplog.at_level(logging.WARNING):
        graph = trace(module, (4,))
    assert graph.params["weight"].dtype == np.float32
    assert "cast to float32" in caplog.text
    assert module.weight.dtype == kind


def test_a_parametrized_layer_is_its_layer() -> None:
    layer = torch.nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    graph = trace(nn.Sequential(layer), (4,))
    np.testing.assert_allclose(graph.params["0.weight"], layer.weight.detach().numpy())


def test_the_users_own_subclass_of_a_layer_is_looked_into() -> None:
    class Doubled(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return 2 * super().forward(input)

    graph = trace(nn.Sequential(Doubled(4, 3)), (4,))
    assert [n.name for n in graph] == ["input", "0.linear", "0.mul"]
    assert "0.weight" in graph.params


def test_final_softmax_is_dropped_and_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        graph = trace(nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=-1)), (4,))
    assert graph.outputs == ("0",)
    assert "dropped the final Softmax" in caplog.text


@pytest.mark.filterwarnings("ignore:Implicit dimension choice for .*softmax")
@pytest.mark.parametrize(
    "last",
    [
        lambda x: nn.Softmax()(x),
        lambda x: nn.LogSoftmax()(x),
        lambda x: F.softmax(x, dim=1).squeeze(),
        lambda x: F.softmax(x, -1).contiguous().float(),
        lambda x: torch.softmax(x, axis=1),
        lambda x: x.log_softmax(-1).exp(),
        lambda x: torch.log(x.softmax(1)),
        lambda x: nn.Identity()(x.softmax(1)),
        lambda x: nn.Softmax2d()(x[:, :, None, None]).flatten(1),
        lambda x: torch.special.log_softmax(x[:, :, None], 1).squeeze(-1),
    ],
)
def test_spellings_of_a_final_softmax(
    last: Callable[[Tensor], Tensor], caplog: pytest.LogCaptureFixture
) -> None:
    module = supported.Function(lambda x: last(x.mean((2, 3)))).eval()
    x = torch.randn(5, 2, 6, 6)
    with caplog.at_level(logging.WARNING):
        graph = trace(module, (2, 6, 6))
    assert "dropped the final" in caplog.text
    logits = run_ann(graph, x)[graph.outputs[0]].flatten(1)
    with torch.no_grad():
        wanted = module(x)
    probabilities = wanted.exp() if (wanted < 0).all() else wanted
    torch.testing.assert_close(logits.softmax(1), probabilities, rtol=1e-5, atol=1e-5)


def test_softmax_over_something_else_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="over the classes"):
        trace(nn.Sequential(nn.Conv2d(1, 2, 1), nn.Softmax(dim=3)), (1, 4, 4))


def test_data_parallel_is_unwrapped() -> None:
    class Wrapper(nn.DataParallel):
        pass

    graph = trace(Wrapper(nn.Sequential(nn.Linear(4, 3))), (4,))
    assert "0.weight" in graph.params


@pytest.mark.parametrize("example", [torch.zeros(7, 4), np.zeros((7, 4)), [4], (4,)])
def test_an_example_is_a_shape_or_a_batch(example: object) -> None:
    graph = trace(nn.Linear(4, 3), example)
    assert graph.type_of("input").shape == (4,)


@pytest.mark.parametrize("example", ["4", 4, (), (4.0,)])
def test_other_examples_are_refused(example: object) -> None:
    with pytest.raises(UsageError, match="neither the shape"):
        trace(nn.Linear(4, 3), example)


def test_only_modules_are_traced() -> None:
    with pytest.raises(UsageError, match="function is no torch module"):
        trace(build, (4,))  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is:DeprecationWarning")
def test_torchscript_is_refused() -> None:
    with pytest.raises(ModelError, match="TorchScript"):
        trace(torch.jit.script(nn.Linear(2, 2)), (2,))


def test_one_tensor_returned_twice() -> None:
    class Twice(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y = x.relu()
            return y, y

    assert trace(Twice(), (2,)).outputs == ("relu", "relu")


def test_random_constants_are_found() -> None:
    class Noise(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.randn(2)

    with pytest.raises(UnsupportedError, match="differ by .* at add"):
        trace(Noise(), (2,))


def test_nan_in_the_weights_is_refused_by_name() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with torch.no_grad():
        module[1].bias[0] = float("nan")
        module[0].weight[0, 0] = float("inf")
    with pytest.raises(ModelError, match=r"NaN or infinity in 0\.weight, 1\.bias$"):
        trace(module, (2,))


def test_an_input_that_does_not_fit_names_the_line() -> None:
    with pytest.raises(ModelError, match=r"input of shape 1,9,9: .*supported\.py:\d+ \(fc1\)") as e:
        trace(supported.PyTorchMnist(), (1, 9, 9))
    assert "--input-shape" in str(e.value.hint)


def test_variance_that_is_not_positive_is_an_error_of_the_model() -> None:
    module = nn.BatchNorm1d(2).eval()
    assert module.running_var is not None
    module.running_var.fill_(-1)
    with pytest.raises(ModelError, match="variance"):
        trace(nn.Sequential(module), (2,))


def test_a_module_that_ignores_its_input_is_refused() -> None:
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.ones(1, 2)

    with pytest.raises(UnsupportedError, match="no tensor computed from the input"):
        trace(Constant(), (2,))


def test_hidden_overwriting_is_found_by_running_the_graph() -> None:
    class Alias(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x * 1
            z = y.view(-1, 4)
            z += 1  # traced as `z + 1`, yet it changes y too
            return y + z

    with pytest.raises(UnsupportedError, match="differ by"):
        trace(Alias(), (4,))
