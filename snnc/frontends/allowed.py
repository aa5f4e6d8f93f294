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
"""A class and its name in the pickle."""

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
            raise UsageError(f"--allow {text} names no class", hint="for example --allow m.Net")
        return cls(pickled, source or pickled)

    def load(self) -> Allowed:
        """Import the class. Raises `UsageError` if there is none, `ModelError` if that fails."""
        if not may_be_allowed(self.source):
            raise UsageError(f"--allow {self.source}: {_NEVER}", hint="leave it out")
        if self.source.startswith(f"{_SCRIPT}."):
            raise UsageError(
                f"--allow {self.source}: the class of a script cannot be found", hint=_where(self)
            )
        cls = _import(self.source)
        if not isinstance(cls, type) and not self.source.startswith(_FUNCTIONAL):
            raise UsageError(f"--allow {self.source}: it is not a class", hint="name classes only")
        return cls, self.pickled


_NEVER = "no network needs it, and it can run any code"


def may_be_allowed(name: str) -> bool:
    """False for names that can never be allowed: standard library, torch outside its layers."""
    top = name.partition(".")[0]
    if top == "torch":
        return name.startswith((_FUNCTIONAL, "torch.nn.modules."))
    return top not in sys.stdlib_module_names and top not in ("__builtin__", "snnc")


def require_allowed(file: str, names: Sequence[str], allow: Sequence[Allowance]) -> None:
    """Raise `ModelError` for names in a file that are neither known nor allowed.

    Args:
        file: the model, as the user named it.
        names: every name in the file that is neither a tensor nor a layer of torch.
        allow: what the user allows.
    """
    never = sorted(name for name in names if not may_be_allowed(name))
    if never:
        raise ModelError(
            f"{file} contains {', '.join(never)}: {_NEVER}",
            hint="nothing of it was run; distrust it",
        )
    known = {allowance.pickled for allowance in allow}
    unknown = sorted(set(names) - known)
    if not unknown:
        return
    flags = [_flag(allowance) for allowance in (*allow, *map(Allowance.parse, unknown))]
    raise ModelError(
        f"{file} contains classes snnc does not know: {', '.join(unknown)}",
        hint=f"if you trust them: snnc compile {file} {' '.join(flags)}",
    )


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
