"""Allow list of the classes that a pickled module may contain."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from snnc.errors import ModelError, UsageError
from snnc.frontends.usercode import import_code

Allowed = tuple[Callable[..., Any], str]
"""A class or a function, and its name in the file."""

_FUNCTIONAL = "torch.nn.functional."
_SCRIPT = "__main__"

_LAYERS = """
    Sequential ModuleList ModuleDict Identity DataParallel
    Linear Bilinear Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d
    BatchNorm1d BatchNorm2d BatchNorm3d InstanceNorm1d InstanceNorm2d GroupNorm LayerNorm RMSNorm
    LocalResponseNorm
    ReLU ReLU6 LeakyReLU PReLU ELU SELU CELU GELU SiLU Mish Hardtanh Hardswish Hardsigmoid Sigmoid
    LogSigmoid Tanh Softplus Softsign Softmax Softmax2d LogSoftmax Threshold GLU
    MaxPool1d MaxPool2d MaxPool3d AvgPool1d AvgPool2d AvgPool3d LPPool2d
    AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveMaxPool1d AdaptiveMaxPool2d
    Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout
    Flatten Unflatten ZeroPad1d ZeroPad2d ConstantPad1d ConstantPad2d ReflectionPad1d
    ReflectionPad2d ReplicationPad1d ReplicationPad2d
    Upsample UpsamplingNearest2d UpsamplingBilinear2d PixelShuffle PixelUnshuffle ChannelShuffle
"""


def torch_layers() -> list[Allowed]:
    """torch's layers whose constructors and forwards have no side effects."""
    classes = [getattr(nn, name) for name in _LAYERS.split()]
    return [(layer, f"{layer.__module__}.{layer.__qualname__}") for layer in classes]


@dataclass(frozen=True, slots=True)
class Allowance:
    """`--allow m.Net`, or `--allow __main__.Net=m.Net` for a class a script defined.

    Attributes:
        pickled: the name in the file.
        source: the name to import; by default the same.
    """

    pickled: str
    source: str

    @classmethod
    def parse(cls, text: str) -> Allowance:
        """Parse the value of `--allow`. Raises `UsageError` if it names no class."""
        pickled, equals, source = text.partition("=")
        names = (pickled, source) if equals else (pickled,)
        if not all(_dotted(name) for name in names):
            raise UsageError(
                f"--allow {_shown(text)} names no class", hint="for example --allow m.Net"
            )
        return cls(pickled, source or pickled)

    def load(self) -> Allowed:
        """Import it. Raises `UsageError` if there is none, `ModelError` if that fails."""
        if not may_be_allowed(self.source):
            raise UsageError(f"--allow {self.source}: {_NEVER}", hint="leave it out")
        if self.source.startswith(f"{_SCRIPT}."):
            raise UsageError(
                f"--allow {self.source}: the class of a script cannot be found", hint=_where(self)
            )
        found = _import(self.source)
        if not callable(found):
            raise UsageError(
                f"--allow {self.source}: it is a {type(found).__name__}",
                hint="name classes, and functions that modules hold",
            )
        return found, self.pickled


_NEVER = "no network needs it, and it can run any code"

_DATA = """
    numpy. argparse.Namespace pathlib. datetime. collections.defaultdict collections.deque decimal.
    fractions. uuid. enum. functools.partial types.SimpleNamespace builtins.slice builtins.range
    builtins.frozenset builtins.list builtins.dict builtins.tuple builtins.int builtins.float
    builtins.str builtins.bool torch.optim. torch.torch_version.
"""

_METHOD = "builtins.getattr"  # how hooks that are methods are saved
_BEFORE_SAVING = "before you save it again"

_CHANGED: tuple[tuple[str, str, str], ...] = (
    (
        "torch.nn.utils.prune.",
        "was saved while pruned, with hooks that are not run from a file",
        f"torch.nn.utils.prune.remove(layer, 'weight') of every pruned layer {_BEFORE_SAVING}",
    ),
    (
        "torch.nn.utils.weight_norm.",
        "was saved with weight norm, a hook that is not run from a file",
        f"torch.nn.utils.remove_weight_norm(layer) of every such layer {_BEFORE_SAVING}",
    ),
    (
        "torch.nn.utils.spectral_norm.",
        "was saved with spectral norm, a hook that is not run from a file",
        f"torch.nn.utils.remove_spectral_norm(layer) of every such layer {_BEFORE_SAVING}",
    ),
    (
        "torch.nn.utils.parametriz",
        "was saved with parametrizations, which are not run from a file",
        "torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight') of every such layer "
        + _BEFORE_SAVING,
    ),
    (
        "torch.nn.parameter.Uninitialized",
        "holds lazy layers, whose shapes are not known before they have run",
        f"run the module on one batch {_BEFORE_SAVING}",
    ),
    ("torch.ao.", "was quantized by torch", "save the network in float32"),
    ("torch.fx.", "holds source that torch.fx wrote", "save the module it was traced from"),
    ("torch.jit.", "was scripted", "save the module it was scripted from"),
    ("torch._dynamo.", "was compiled by torch", "save the module it was compiled from: _orig_mod"),
)


def may_be_allowed(name: str) -> bool:
    """False for names that can never be allowed: standard library, torch outside its layers."""
    top = name.partition(".")[0]
    if top == "torch":
        return name.startswith((_FUNCTIONAL, "torch.nn.modules."))
    return top not in sys.stdlib_module_names and top not in ("__builtin__", "snnc")


def is_data(name: str) -> bool:
    """Whether a checkpoint may hold it beside the network; it is left out, never built."""
    known = _DATA.split()
    return any(name == data or (data[-1] == "." and name.startswith(data)) for data in known)


def refused_names(names: Sequence[str]) -> list[str]:
    """Those that are neither torch's layers, nor data to leave out, nor what a user can allow."""
    layers = {name for _, name in torch_layers()}
    return sorted(
        name
        for name in names
        if name not in layers and not is_data(name) and not may_be_allowed(name)
    )


def require_harmless(file: str, names: Sequence[str]) -> None:
    """Raise `ModelError` if a file names what no network and no checkpoint needs."""
    refused = refused_names(names)
    for prefix, reason, remedy in _CHANGED:
        found = [name for name in refused if name.startswith(prefix)]
        if found and all(name.startswith("torch.") or name == _METHOD for name in refused):
            raise ModelError(
                f"{file} {reason} ({', '.join(found)})",
                hint=f"{remedy}, or name its code and a state dict: "
                "net.py:factory --weights weights.pt",
            )
    if refused:
        raise ModelError(
            f"{file} contains {', '.join(map(_shown, refused))}: {_NEVER}",
            hint="nothing of it was run; distrust it",
        )


def require_allowed(file: str, names: Sequence[str], allow: Sequence[Allowance]) -> None:
    """Raise `ModelError` for names in a network that are neither known nor allowed.

    Args:
        file: the model, as the user named it.
        names: every name the network uses that is neither a tensor nor a layer of torch.
        allow: what the user allows.
    """
    known = {allowance.pickled for allowance in allow}
    unknown = sorted(set(names) - known)
    if not unknown:
        return
    scripts = [_OF_SCRIPT] if any(name.startswith("__main__.") for name in unknown) else []
    flags = [_flag(allowance) for allowance in (*allow, *map(Allowance.parse, unknown))]
    raise ModelError(
        f"{file} contains classes snnc does not know: {', '.join(unknown)}",
        hint="\n".join((f"if you trust them, add {' '.join(flags)}", *scripts)),
    )


_OF_SCRIPT = (
    "SCRIPT is the Python file of the class, without .py; it is imported, so its training belongs "
    'under if __name__ == "__main__", or the class into a file of its own'
)


def _shown(name: str) -> str:
    return name if name.isprintable() else ascii(name)


def _flag(allowance: Allowance) -> str:
    pickled, source = allowance.pickled, allowance.source
    if pickled.startswith(f"{_SCRIPT}.") and source == pickled:
        return f"--allow {pickled}=SCRIPT.{pickled.removeprefix(f'{_SCRIPT}.')}"
    return f"--allow {pickled}" + ("" if pickled == source else f"={source}")


def _where(allowance: Allowance) -> str:
    name = allowance.source.removeprefix(f"{_SCRIPT}.")
    return f"say which module it is in: --allow {allowance.pickled}=train.{name}"


def _dotted(name: str) -> bool:
    parts = name.split(".")
    return len(parts) > 1 and all(part.isidentifier() for part in parts)


def _import(name: str) -> Any:
    """The object `name`: the longest importable module prefix, then attributes."""
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        source = ".".join(parts[:cut])
        try:
            value: Any = import_code(source, is_file=False)
        except UsageError as error:
            missing = error
            continue
        for part in parts[cut:]:
            if not hasattr(value, part):
                raise UsageError(f"--allow {name}: {source} has no {'.'.join(parts[cut:])!r}")
            value = getattr(value, part)
        return value
    raise UsageError(
        f"--allow {name}: {missing.message}", hint="install it, or run snnc where its code lies"
    )
