"""Hooks of a torch module, which run around its forward and are not compiled."""

from __future__ import annotations

from typing import Any

from torch import nn

from snnc.frontends.tracer import TORCH_DIR, shown_path


def hooks_of(module: nn.Module) -> list[str]:
    """Every forward hook in words, with its module and, if it is not torch's own, its line."""
    found: list[str] = []
    for path, part in module.named_modules():
        kinds = ("forward hook", part._forward_hooks), ("forward pre-hook", part._forward_pre_hooks)
        where = f"{path} ({type(part).__name__})" if path else type(part).__name__
        found += [
            f"the {kind} {_shown(hook)} of {where}"
            for kind, hooks in kinds
            for hook in hooks.values()
        ]
    return found


def _shown(hook: Any) -> str:
    name = getattr(hook, "__name__", type(hook).__name__)
    code = getattr(hook, "__code__", None)
    if code is None or code.co_filename.startswith(TORCH_DIR):
        return name
    return f"{name} at {shown_path(code.co_filename)}:{code.co_firstlineno}"
