"""The arrays and numbers of a graph as parameters of a torch module, and back."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import fields, replace

import numpy as np
import torch
from torch import Tensor, nn

from snnc.errors import ModelError, UsageError
from snnc.interp import for_sample
from snnc.ir import AnyNeuron, Array, Graph, Node, Readout, Ref, Scale

LEARNED = ("weight", "bias", "threshold", "leak")
"""Fields of ops that are trained by default."""
LEARNABLE = (*LEARNED, "v_init", "factor", "scale")
"""Fields of ops that can be trained."""
_ALWAYS = frozenset({"threshold", "leak"})


def with_arrays(graph: Graph, learn: Collection[str]) -> Graph:
    """A copy in which numbers that become parameters are 0-d arrays named `NODE.FIELD`.

    These are the threshold and leak of every population and the fields in `learn`.

    Raises:
        UsageError: `learn` names a field that cannot learn, or the graph holds integers.
    """
    unknown = sorted(set(learn) - set(LEARNABLE))
    if unknown:
        raise UsageError(f"{unknown[0]!r} cannot learn", hint=f"of {', '.join(LEARNABLE)}")
    copy = graph.clone()
    for node in graph.nodes:
        for ref in node.op.refs().values():
            if np.issubdtype(graph.params[ref.name].dtype, np.integer):
                raise UsageError(
                    f"{node.name} ({node.op.mnemonic}) at {node.loc} holds integers, which do not "
                    "learn",
                    hint="train the graph before quantize",
                )
        for field in numbers(node, _ALWAYS | set(learn)):
            value = np.float64(getattr(node.op, field))
            ref = copy.own_param(node.name, field, np.asarray(value))
            copy.replace_op(node.name, replace(copy.node(node.name).op, **{field: ref}))
    return copy


def numbers(node: Node, wanted: Collection[str]) -> Iterator[str]:
    """Those of the `wanted` fields of a node that hold a number and could hold an array."""
    if isinstance(node.op, AnyNeuron | Scale | Readout):
        for name in (field.name for field in fields(node.op) if field.name in LEARNABLE):
            if name in wanted and isinstance(getattr(node.op, name), float | int):
                yield name


def roles(graph: Graph) -> dict[str, set[str]]:
    """Per array, the fields that refer to it: an array may have several users."""
    fields_of: dict[str, set[str]] = {}
    for node in graph.nodes:
        for field, ref in node.op.refs().items():
            fields_of.setdefault(ref.name, set()).add(field)
    return fields_of


def register(module: nn.Module, name: str, parameter: nn.Parameter) -> str:
    """Register `parameter` in nested modules according to its dotted name; returns its path.

    `_` is appended to a part of the name that is taken, for example by an attribute of `nn.Module`.
    """
    *scopes, leaf = name.split(".")
    path: list[str] = []
    for part in scopes:
        while part not in module._modules and (not part or hasattr(module, part)):
            part += "_"
        if part not in module._modules:
            module.add_module(part, nn.Module())
        module = module.get_submodule(part)
        path.append(part)
    while not leaf or hasattr(module, leaf):
        leaf += "_"
    module.register_parameter(leaf, parameter)
    return ".".join((*path, leaf))


def updated(original: Array, parameter: Tensor) -> Array | None:
    """The values of a parameter in the dtype of the array it was made from; None if unchanged.

    A difference that is only the rounding to the parameter's dtype is no change.
    """
    value = parameter.detach().cpu()
    if torch.equal(value, torch.from_numpy(np.array(original)).to(value.dtype)):
        return None
    return value.to(torch.float64).numpy().astype(original.dtype)


def check(name: str, value: Array, fields: Collection[str]) -> None:
    """Raise `ModelError` if the new values of a parameter are invalid for one of its fields."""
    real = np.asarray(value, np.float64)
    for bad, why in (
        (~np.isfinite(real), "it is not finite"),
        ((real <= 0) & ("threshold" in fields), "a threshold must be above 0"),
        (((real < 0) | (real > 1)) & ("leak" in fields), "a leak must lie in 0..1"),
    ):
        if np.any(bad):
            raise ModelError(
                f"{name} became {real[bad][0]:g}: {why}",
                hint="optimizer.register_step_post_hook(network.constrain) keeps them in range",
            )


def at_most(values: Tensor, bound: Array) -> Tensor:
    """Values of a population, (), (C,) or of the sample's shape, cut off at a bound, () or (C,).

    The bound is rounded down to the type of the values, so that none exceeds it.
    """
    wide = torch.from_numpy(np.array(bound, np.float64)).to(values.device)
    limit = for_sample(wide, values.shape) if values.ndim else wide.min()
    rounded = limit.to(values.dtype)
    lower = torch.nextafter(rounded, torch.zeros_like(rounded))
    return torch.minimum(values, torch.where(rounded.double() > limit, lower, rounded))


def reference(value: Ref | float | None) -> str:
    """The name of the array that a field refers to, after `with_arrays`."""
    assert isinstance(value, Ref)
    return value.name
