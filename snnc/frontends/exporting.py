"""The operations of a module as torch.export traces them, where torch.fx cannot."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import fx, nn

from snnc.errors import SnncError, UnsupportedError
from snnc.frontends.exported_graph import annotate, unlifted
from snnc.frontends.shapes import BATCHES, Traced, named_tensors, observe
from snnc.frontends.untraceable import UntraceableError, untraceable

_LOGGERS = ("torch.fx.experimental", "torch._dynamo", "torch.export", "torch._export")


def export(
    module: nn.Module, shape: tuple[int, ...], name: str, failure: UntraceableError
) -> Traced:
    """The operators of `module`, in eval mode, for samples of `shape`.

    Args:
        failure: what torch.fx could not trace.

    Raises:
        UnsupportedError: torch.export cannot trace it either; whichever of the two errors says
            more.
    """
    tensors = named_tensors(module)
    try:
        first, second = (_exported(module, torch.zeros(n, *shape)) for n in BATCHES)
    except Exception as error:  # the user's forward, and torch, may raise anything
        better = _better(failure, error, name)
        raise better from better.__cause__
    for graph in (first, second):
        annotate(graph, name)
    try:
        return Traced(first, observe(first, second, name), tensors)
    except UnsupportedError:  # torch.export unrolled a loop over the batch
        raise failure from failure.__cause__


def _exported(module: nn.Module, example: torch.Tensor) -> fx.Graph:
    """The graph of the operators; parameters and buffers are nodes of `get_attr`."""
    with _quiet():
        program = torch.export.export(module, (example,))
    signature = program.graph_signature
    names = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    tensors = {**program.constants, **program.state_dict}
    return unlifted(program.graph, {place: tensors[name] for place, name in names.items()})


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch.export warns and logs; errors are told by us."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _better(failure: UntraceableError, error: Exception, name: str) -> UnsupportedError:
    """The error that says more: that of torch.fx, unless only torch.export's is explained."""
    if isinstance(error, SnncError):
        return failure
    exported = untraceable(error, name)
    exported.__cause__ = error
    explained = isinstance(exported, UntraceableError) and exported.explained
    return exported if explained and not failure.explained else failure
