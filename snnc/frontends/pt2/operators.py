"""The operators that a program may call. A name is looked up here, never in torch."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch

from snnc.errors import ModelError
from snnc.frontends.pt2.archive import DISTRUST
from snnc.frontends.torch_operations import ATEN

_ATEN = torch.ops.aten
_OTHERS = (
    _ATEN.sigmoid.default, _ATEN.sigmoid_.default, _ATEN.tanh.default, _ATEN.tanh_.default,
    _ATEN.softmax.int, _ATEN.log_softmax.int, _ATEN.sym_size.int, _ATEN.detach_.default,
    _ATEN.zeros.default, _ATEN.ones.default, _ATEN.full.default, _ATEN.zeros_like.default,
    _ATEN.ones_like.default, _ATEN.full_like.default, _ATEN.new_zeros.default,
    _ATEN.new_ones.default, _ATEN.new_full.default, _ATEN.arange.default, _ATEN.arange.start_step,
    _ATEN.sqrt.default, _ATEN.rsqrt.default, _ATEN.reciprocal.default, _ATEN.t.default,
)  # fmt: skip
"""Operators of constants, and what needs no converter."""

OPERATORS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        **{f"torch.ops.{each}": each for each in (*ATEN, *_OTHERS)},
        "_operator.add": operator.add,
        "_operator.sub": operator.sub,
        "_operator.mul": operator.mul,
        "_operator.floordiv": operator.floordiv,
    }
)
"""By name in a program; those of `_operator` are applied to sizes."""

_KNOWN_KIND = re.compile(r"torch\.ops\.(\w+)\.(\w+)\.\w+|_operator\.(\w+)|math\.(\w+)")


class UnknownOperator:
    """Stands for an operator that snnc does not know, so that it can be reported.

    It is its own `overloadpacket`, which for an operator of torch is the one with the name.
    """

    def __init__(self, name: str) -> None:
        self.__name__ = name
        self.overloadpacket = self

    def __repr__(self) -> str:
        return self.__name__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Raises `ModelError`: it is not run."""
        raise ModelError(f"snnc does not run the operator {self.__name__}")


def operator_of(name: object, file: str) -> Callable[..., Any]:
    """The operator that a program calls `name`. Raises `ModelError` for what is no operator."""
    text = str(name)
    if text in OPERATORS:
        return OPERATORS[text]
    kind = _KNOWN_KIND.fullmatch(text)
    if kind is None:
        raise ModelError(f"{file} calls {text!a}, which is no operator", hint=DISTRUST)
    namespace, called, *others = kind.groups()
    shown = called if namespace in (None, "aten") else f"{namespace}.{called}"
    return UnknownOperator(shown or next(filter(None, others)))
