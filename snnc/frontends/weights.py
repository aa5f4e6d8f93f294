"""Gives a module the weights in a file, wherever in the file they are."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from snnc.errors import ModelError
from snnc.frontends.checkpoints import no_state_dict, read_weights, state_dicts
from snnc.frontends.weight_files import index_of

LOG = logging.getLogger("snnc.frontends")

COUNTER = "num_batches_tracked"
"""A buffer of batch norm that counts; it is no part of what a network computes in eval mode."""

COUNTED = ("total_ops", "total_params", "n_averaged")
"""Buffers that profilers and averages of weights leave behind; no network computes with them."""

_WRAPPING = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_CHANGED = {
    ".parametrizations.": "torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight')",
    "weight_mask": "torch.nn.utils.prune.remove(layer, 'weight')",
    ".weight_g": "torch.nn.utils.remove_weight_norm(layer)",
}
"""Parts of keys that mark layers whose weights are computed, and how to make them permanent."""

_SHOWN = 5
_Tensors = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class _Fit:
    """Tensors of a file under the names of the module.

    Attributes:
        where: the keys that lead to them, `state_dict.model`, prefix included.
        tensors: by the keys of the module's state dict; without counters.
        left_out: keys beside them that hold no weight of the module.
    """

    where: str
    tensors: dict[str, Tensor]
    left_out: tuple[str, ...]


def load_weights(module: nn.Module, path: Path) -> None:
    """Give `module` the weights in `path`: a file, or `FILE#KEY` for those under a key.

    Wrappers of training scripts (`state_dict`, `ema`), prefixes, and the names that DataParallel
    and torch.compile put in are found by what fits. Keys outside the prefix are left out, and said.

    Raises:
        ModelError: nothing in the file fits exactly, or two different things do.
    """
    file, key = _split(path)
    found = read_weights(file)
    candidates = state_dicts(found)
    if not candidates:
        raise no_state_dict(found, file)
    expected = _Expected(module)
    fits = [fit for where, state in candidates.items() for fit in expected.fits(state, where)]
    if key is not None:
        fits = [fit for fit in fits if fit.where == key]
    fit = _only(fits, file)
    if fit is None:
        raise _no_fit(candidates, expected, file, key)
    _say(fit, expected, file)
    module.load_state_dict(expected.state | fit.tensors)


def _split(path: Path) -> tuple[Path, str | None]:
    if path.exists() or "#" not in path.name:
        return path, None
    name, _, key = path.name.rpartition("#")
    return path.with_name(name), key


def _only(fits: list[_Fit], file: Path) -> _Fit | None:
    """The fit, or the first of equal ones. Raises `ModelError` for different ones."""
    different = [fit for fit in fits[1:] if not _equal(fit.tensors, fits[0].tensors)]
    if different:
        names = [fit.where for fit in (fits[0], *different)]
        shown = ", ".join(name or "the file itself" for name in names[:_SHOWN])
        example = next(name for name in reversed(names) if name)
        raise ModelError(
            f"weights {file} holds several networks that fit: {shown}",
            hint=f"choose one: --weights '{file}#{example}'",
        )
    return fits[0] if fits else None


def _equal(a: _Tensors, b: _Tensors) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def _no_fit(
    candidates: Mapping[str, _Tensors], expected: _Expected, file: Path, key: str | None
) -> ModelError:
    """What is wrong with the state dict that comes nearest."""
    chosen = {k: v for k, v in candidates.items() if key is None or k == key}
    if not chosen:
        return ModelError(
            f"weights {file} holds no state dict under {key!r}",
            hint="it has: " + ", ".join(name for name in candidates if name),
        )
    where, state = max(chosen.items(), key=lambda each: expected.likeness(each[1]))
    nearest = expected.nearest(state)
    unexpected = [key for key in nearest if key not in expected.state]
    problems = expected.problems(nearest)
    under = f" under {where!r}" if where else ""
    return ModelError(
        f"weights {file}{under} do not fit {expected.name}: {'; '.join(problems)}",
        hint=_way_out(unexpected, file),
    )


def _way_out(unexpected: list[str], file: Path) -> str:
    """What makes weights that do not fit a module fit it."""
    index = index_of(file)
    if index is not None:
        return f"{file.name} is one of several files; give their index: --weights '{index}'"
    for mark, remedy in _CHANGED.items():
        if any(mark in f".{key}" for key in unexpected):
            return (
                f"load it into the module it was saved from, {remedy} of every such layer, "
                "and save the state dict again"
            )
    return (
        "build the module as it was when the weights were saved, with every member that has "
        "weights, whether forward uses it or not"
    )


def _say(fit: _Fit, expected: _Expected, file: Path) -> None:
    if fit.where:
        LOG.info("weights %s: taken from %s", file, fit.where)
    if fit.left_out:
        LOG.warning("weights %s: left out %s", file, _names(list(fit.left_out)))
    cast = {_kind(v) for k, v in fit.tensors.items() if v.dtype != expected.state[k].dtype}
    if cast:
        LOG.warning("weights %s: cast from %s to float32", file, ", ".join(sorted(cast)))


class _Expected:
    """The state dict that a module has."""

    def __init__(self, module: nn.Module) -> None:
        self.name = type(module).__name__
        self.state: dict[str, Tensor] = module.state_dict()
        self._keys = [key for key in self.state if not _is_counter(key)]
        self._by_plain = _by_plain_name(self._keys)
        self._tied = _tied(module.state_dict(keep_vars=True))

    def fits(self, state: _Tensors, where: str) -> Iterator[_Fit]:
        """Every way in which a part of `state` is the whole of the module."""
        plain = self._named(state)
        for prefix in self._prefixes(plain):
            inside = {k.removeprefix(prefix): v for k, v in plain.items() if k.startswith(prefix)}
            named = self._restored(inside)
            if self.problems(named):
                continue
            tensors = {key: self._given(key, named) for key in self._keys}
            outside = [key for key in plain if not key.startswith(prefix)]
            counted = [key for key in state if key.rpartition(".")[2] in COUNTED]
            kept = [key for key in counted if key not in self.state]
            path = ".".join(part for part in (where, prefix.rstrip(".")) if part)
            left_out = [*(key for key in outside if not _is_counter(key)), *kept]
            yield _Fit(path, tensors, tuple(left_out))

    def nearest(self, state: _Tensors) -> dict[str, Tensor]:
        """`state` under the prefix that matches most, for messages."""
        plain = self._named(state)
        prefixes = ["", *self._prefixes(plain)]
        known = set(self._by_plain)
        best = max(prefixes, key=lambda p: sum(k.removeprefix(p) in known for k in plain))
        return self._restored({k.removeprefix(best): v for k, v in plain.items()})

    def likeness(self, state: _Tensors) -> int:
        """How many keys of the module `state` has, under whatever prefix."""
        return len(self.nearest(state).keys() & set(self._keys))

    def problems(self, state: _Tensors) -> list[str]:
        """All differences; none if the module can be loaded from `state`."""
        missing = [key for key in self._keys if self._source(key, state) is None]
        unexpected = [key for key in state if key not in self.state]
        both = [(key, state[key], self.state[key]) for key in self._keys if key in state]
        other = [
            f"{key} has shape {tuple(a.shape)}, the module has {tuple(b.shape)}"
            for key, a, b in both
            if a.shape != b.shape
        ]
        other += [
            f"{key} holds {_kind(a)}, the module {_kind(b)}"
            for key, a, b in both
            if a.is_floating_point() != b.is_floating_point()
        ]
        other += list(self._torn(state))
        found = [f"missing {_names(missing)}"] if missing else []
        found += [f"unexpected {_names(unexpected)}"] if unexpected else []
        more = [f"and {len(other) - _SHOWN} more"] if other[_SHOWN:] else []
        return found + other[:_SHOWN] + more

    def _torn(self, state: _Tensors) -> Iterator[str]:
        for key, names in self._tied.items():
            first = self._source(key, state)
            torn = first not in (None, key) and key in state
            if torn and not torch.equal(state[key], state[str(first)]):
                yield f"{names[0]} and {key} are one tensor in the module, two in the file"

    def _source(self, key: str, state: _Tensors) -> str | None:
        """The key in the file that gives `key`: a tensor with several names needs one."""
        return next((name for name in self._tied.get(key, (key,)) if name in state), None)

    def _given(self, key: str, state: _Tensors) -> Tensor:
        source = self._source(key, state)
        assert source is not None
        return state[source]

    def _named(self, state: _Tensors) -> dict[str, Tensor]:
        """Without what wrappers put into names, and without counters."""
        kept = [
            key
            for key in state
            if not _is_counter(key) and (key in self.state or key.rpartition(".")[2] not in COUNTED)
        ]
        return {plain: state[key] for plain, key in _by_plain_name(kept).items()}

    def _restored(self, plain: _Tensors) -> dict[str, Tensor]:
        return {self._by_plain.get(key, key): value for key, value in plain.items()}

    def _prefixes(self, plain: _Tensors) -> list[str]:
        """What stands before the first key of the module, or before another name of it."""
        if not self._keys:
            return [""]
        first = self._keys[0]
        restored = {key: name for name, key in self._by_plain.items()}
        ends = [restored[name] for name in self._tied.get(first, (first,))]
        found: dict[str, None] = {}
        for key in plain:
            for end in ends:
                if key == end or key.endswith(f".{end}"):
                    found[key.removesuffix(end)] = None
        return list(found)


def _tied(state: Mapping[str, Tensor]) -> dict[str, tuple[str, ...]]:
    """All names of each tensor that has several."""
    names: dict[int, list[str]] = {}
    for key, tensor in state.items():
        names.setdefault(id(tensor), []).append(key)
    return {key: tuple(found) for found in names.values() if len(found) > 1 for key in found}


def _by_plain_name(keys: list[str]) -> dict[str, str]:
    """Keys by their names without the parts of wrappers; as they are, where those would clash."""
    plain = {
        ".".join(part for part in key.split(".") if part not in _WRAPPING): key for key in keys
    }
    return plain if len(plain) == len(keys) else {key: key for key in keys}


def _is_counter(key: str) -> bool:
    return key.rpartition(".")[2] == COUNTER


def _names(keys: list[str]) -> str:
    more = f" and {len(keys) - _SHOWN} more" if keys[_SHOWN:] else ""
    shown = (key if key.isprintable() else ascii(key) for key in keys[:_SHOWN])
    return ", ".join(shown) + more


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
