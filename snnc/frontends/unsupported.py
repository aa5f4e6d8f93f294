"""Reasons and remedies for operations that cannot be compiled."""

from __future__ import annotations

from typing import Any

from torch import fx, nn

from snnc.frontends.importing import FINE_TUNE

_CURVED = (
    "gelu silu swish hardswish mish elu selu celu softplus softsign tanhshrink softshrink "
    "hardshrink logsigmoid rrelu"
)
_GATE = "glu"
_SQUASHING = "sigmoid tanh"
_HARD_SIGMOID = "hardsigmoid"
_NORM = (
    "layer_norm layernorm group_norm groupnorm instance_norm instancenorm1d instancenorm2d "
    "rms_norm rmsnorm local_response_norm localresponsenorm normalize"
)
_UPSAMPLE = "upsample upsample_nearest upsample_bilinear"
_ATTENTION = (
    "multiheadattention scaled_dot_product_attention transformer transformerencoder "
    "transformerencoderlayer transformerdecoderlayer"
)
_RECURRENT = "lstm gru rnn lstmcell grucell rnncell"
_LOOKUP = "embedding embeddingbag"
_PRODUCT = "matmul bmm mm einsum baddbmm"
_MAXIMUM = "max min amin maximum minimum topk sort argmax argmin where"
_RANDOM = "rand rand_like randn_like bernoulli dropout feature_dropout"

REPLACE = f"put ReLU or ReLU6 in its place and {FINE_TUNE}"

_TABLE: tuple[tuple[str, str, str], ...] = (
    (_CURVED, "a neuron's rate follows max(x, 0) up to a bound, not this curve", REPLACE),
    (_GATE, "it multiplies activations with each other", REPLACE),
    (_SQUASHING, "a neuron's rate follows max(x, 0) up to a bound; only on an output is this kept, "
     "as the function of the output", REPLACE),
    (_HARD_SIGMOID, "a neuron's rate follows max(x, 0) up to a bound, without the shift", REPLACE),
    (_NORM, "it divides by statistics of each sample, which spikes do not have",
     "put BatchNorm in its place, and train the network again"),
    ("softmax log_softmax logsoftmax softmin softmax2d", "in the middle of a network it divides "
     "by a sum of exponentials", "keep softmax for the very end, over the classes"),
    (_UPSAMPLE, "torch has replaced it", "use F.interpolate(mode='nearest')"),
    (_ATTENTION, "attention multiplies activations with each other, and a neuron only sums them",
     "use convolutions"),
    (_RECURRENT, "recurrent layers need a sequence as input", "use a feed-forward network"),
    (_LOOKUP, "it looks numbers up instead of weighting its input", "use a Linear layer"),
    (_PRODUCT, "it multiplies activations with each other, or has no layer of its own",
     "use nn.Linear"),
    (_MAXIMUM, "it compares activations", "use nn.MaxPool2d, or ReLU"),
    (_RANDOM, "it is random when the network is used", "pass training=self.training"),
    ("item tolist numpy", "a number depends on the values of the input",
     "keep it a tensor"),
)  # fmt: skip

_REASONS = {name: (reason, remedy) for names, reason, remedy in _TABLE for name in names.split()}
_STEMS = {"getitem": "slice", "iadd": "add", "isub": "sub", "imul": "mul", "itruediv": "div",
          "truediv": "div", "split_with_sizes": "split", "upsample_nearest1d": "interpolate",
          "upsample_nearest2d": "interpolate"}  # fmt: skip


def op_name(node: fx.Node, module: nn.Module) -> str:
    """The common name of the operation: `GELU`, `F.gelu`, `Tensor.view`."""
    if node.op == "call_module":
        return type(module.get_submodule(str(node.target))).__name__
    if node.op == "call_method":
        return f"Tensor.{node.target}"
    if node.op == "output":
        return "return"
    if is_aten(node.target):
        return node.meta.get("layer") or f"aten.{function_name(node.target)}"
    name = function_name(node.target)
    home = getattr(node.target, "__module__", "") or ""
    if home in ("_operator", "operator"):
        return f"operator.{name}"
    return f"F.{name}" if home == "torch.nn.functional" else f"torch.{name}"


def stem(node: fx.Node) -> str:
    """The name of the operation as used in node names: `relu`, `add`, `slice`."""
    name = node.target if node.op == "call_method" else function_name(node.target)
    name = str(name).rstrip("_")
    return _STEMS.get(name, name)


def explain(node: fx.Node, module: nn.Module) -> tuple[str, str]:
    """(reason, remedy) for an operation without a converter."""
    names = [stem(node), op_name(node, module).rpartition(".")[2]]
    if node.op == "call_module":  # a subclass is what its base is
        names = [cls.__name__ for cls in type(module.get_submodule(str(node.target))).__mro__]
    for name in (name.rstrip("_").lower() for name in names):
        if name in _REASONS:
            return _REASONS[name]
    return "snnc does not know this operation", "build it of the operations snnc knows"


def is_aten(target: Any) -> bool:
    """Whether it is an operator of torch.export, or stands for one."""
    return hasattr(target, "overloadpacket")


def function_name(target: Any) -> str:
    """The name of a function, or of the operator of torch.export: `relu`, `add_`."""
    if is_aten(target):
        return target.overloadpacket.__name__
    name = getattr(target, "__name__", str(target))
    if name == "fn":  # a function made by torch's boolean_dispatch has no name of its own
        return _dispatched(target)
    return name


def _dispatched(target: Any) -> str:
    import torch.nn.functional as F

    names = [name for name, value in vars(F).items() if value is target]
    return next((name for name in names if not name.startswith("_")), "pool")
