"""A program of torch.export as a function of a batch: its operators, one after another."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from snnc.errors import ModelError
from snnc.frontends.base import Reference
from snnc.frontends.calling import as_reference
from snnc.frontends.canonicalize import needed
from snnc.frontends.exported_graph import apply
from snnc.frontends.pt2.program import Program
from snnc.frontends.tracer import VALUE


def as_function(program: Program) -> Reference:
    """The program as a function of a batch (N, *shape), one array (N, …) per output.

    A program for one size of batch runs parts of that size, the last one filled up. The function
    raises `ModelError` for operators that snnc does not know.
    """

    def call(batch: NDArray[np.float32]) -> object:
        x = torch.from_numpy(batch)
        size = program.batch or len(x)
        parts = [_filled(part, size) for part in x.split(size)]
        results = [_run(program, part) for part in parts]
        return [torch.cat(list(each))[: len(x)].numpy() for each in zip(*results, strict=True)]

    return as_reference(call, program.file)


def _filled(part: Tensor, size: int) -> Tensor:
    """`part` with its last sample repeated up to `size` samples."""
    more = size - len(part)
    return torch.cat([part, part[-1:].expand(more, *part.shape[1:])]) if more else part


def _run(program: Program, x: Tensor) -> list[Tensor]:
    values: dict[fx.Node, Any] = {}
    live = needed(program.operations.graph)
    try:
        with torch.no_grad():
            for node in program.operations.graph.nodes:
                if node.op == "placeholder":
                    values[node] = x.clone()
                elif node.op == "get_attr":
                    values[node] = node.meta[VALUE]
                elif node.op == "output":
                    return [values[output].float() for output in node.args[0]]
                elif node in live:
                    depends = program.operations.seen[node].depends
                    values[node] = apply(node, values.__getitem__, overwrites=depends)
    except (RuntimeError, TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{program.file} cannot be run: {reason}") from error
    raise ModelError(f"{program.file} gives no output")
