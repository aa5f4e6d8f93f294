"""Encoders of quantised inputs, in numpy: the same bits for the interpreter and for every backend.

An encoder turns a batch `(N, *shape)` into events `(T, N, *shape)`, or `(1, N, *shape)` where the
value is the same at every step. Results do not depend on how the samples are batched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnc.memory import RANDOM_COUNTERS, rows_that_fit

_WORD = np.uint64(0xFFFFFFFF)
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)


class Encoded(NamedTuple):
    """Events of a batch.

    Attributes:
        values: (T, N, *shape), or (1, N, *shape) when the same at every step.
        saturated: how many elements of the input lay outside the range and were clipped.
    """

    values: NDArray[np.generic]
    saturated: int


def _rounded(x: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return np.rint(np.asarray(x, np.float32) * np.float32(1 / scale))


def direct(x: NDArray[np.float32], scale: float, lo: int, hi: int) -> NDArray[np.int32]:
    """q = clip(rint(float32(x) * float32(1/scale)), lo, hi): two IEEE float32 operations (S21).

    Args:
        x: any shape, in the units of the model; NaN is not allowed.
        scale: the value of one unit of q, positive.
        lo, hi: the range of q; magnitudes below 2^24, so that float32 holds them.
    """
    return np.clip(_rounded(x, scale), np.float32(lo), np.float32(hi)).astype(np.int32)


def saturated(x: NDArray[np.float32], scale: float, lo: int, hi: int) -> int:
    """Number of elements of `x` that `direct` clips."""
    q = _rounded(x, scale)
    return int(np.count_nonzero((q < lo) | (q > hi)))


def philox4x32(counter: NDArray[np.uint32], key: ArrayLike) -> NDArray[np.uint32]:
    """Philox4x32-10: four random words for each counter.

    Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC 2011).

    Args:
        counter: (…, 4) uint32.
        key: (2,) uint32, one for all counters.

    Returns:
        (…, 4) uint32.
    """
    c0, c1, c2, c3 = (counter[..., i].astype(np.uint64) for i in range(4))
    k0, k1 = (int(word) for word in np.asarray(key, np.uint32))
    for _ in range(10):
        product0, product1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c2 = (
            (product1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0),
            (product0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1),
        )
        c1, c3 = product1 & _WORD, product0 & _WORD
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def _words(sample_id: int, elements: int, timesteps: int, seed: int) -> NDArray[np.uint32]:
    """(timesteps, elements) random words of one sample; step t is word t % 4 of block t // 4."""
    blocks = -(-timesteps // 4)
    counter = np.empty((blocks, elements, 4), np.uint32)
    counter[..., 0] = sample_id & 0xFFFFFFFF
    counter[..., 1] = (sample_id >> 32) & 0xFFFFFFFF
    counter[..., 2] = np.arange(elements, dtype=np.uint32)
    counter[..., 3] = np.arange(blocks, dtype=np.uint32)[:, None]
    key = (seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF)
    rows = rows_that_fit(RANDOM_COUNTERS, elements)
    parts = [philox4x32(counter[i : i + rows], key) for i in range(0, blocks, rows)]
    words = np.concatenate(parts)
    return np.moveaxis(words, -1, 1).reshape(4 * blocks, elements)[:timesteps]


def poisson(
    q: NDArray[np.int32], q_max: int, seed: int, sample_ids: NDArray[np.int64], timesteps: int
) -> NDArray[np.int8]:
    """Fires with probability |q|/q_max at every step, independently (S22); the sign of q is kept.

    fire = philox(seed, sample_id, element, t) < floor(|q| * 2^32 / q_max), where the random word of
    step t is word t % 4 of the block with counter (sample_id low, sample_id high, element, t // 4)
    and key (seed low, seed high). |q| >= q_max fires at every step.

    Args:
        q: (N, *shape) integers.
        sample_ids: (N,) identities of the samples; the same identity gives the same spikes.

    Returns:
        (T, N, *shape) int8 of -1, 0, 1.
    """
    flat = np.asarray(q, np.int64).reshape(len(q), -1)
    limit = (np.abs(flat).astype(np.uint64) << np.uint64(32)) // np.uint64(q_max)
    out = np.empty((timesteps, *flat.shape), np.int8)
    for i, sample_id in enumerate(np.asarray(sample_ids, np.int64)):
        words = _words(int(sample_id), flat.shape[1], timesteps, seed)
        out[:, i] = np.where(words < limit[i], np.sign(flat[i]).astype(np.int8), np.int8(0))
    return out.reshape(timesteps, *np.shape(q))


def latency(q: NDArray[np.int32], q_max: int, timesteps: int) -> NDArray[np.int8]:
    """Fires once, the stronger the earlier: at step floor((1 - |q|/q_max) * (T-1) + 1/2).

    Never when q = 0; |q| > q_max fires at step 0; the sign of q is kept. Computed in integers.

    Returns:
        (T, N, *shape) int8 of -1, 0, 1.
    """
    wide = np.asarray(q, np.int64)
    missing = np.maximum(q_max - np.abs(wide), 0)
    step = (2 * missing * (timesteps - 1) + q_max) // (2 * q_max)
    steps = np.arange(timesteps).reshape(-1, *(1,) * wide.ndim)
    return np.where(step == steps, np.sign(wide), 0).astype(np.int8)


@dataclass(frozen=True, kw_only=True)
class Code:
    """Base class of the codes, which turn a batch into events.

    Attributes:
        scale: the value of one unit of the integer input q, positive.
        lo, hi: the range of q.

    Class attributes: `name` in files; `constant`: the event is the same at every step; `random`: it
    depends on seed and sample; `prefix`: the first t steps of a run equal a run over t steps.
    """

    name: ClassVar[str]
    constant: ClassVar[bool] = False
    random: ClassVar[bool] = False
    prefix: ClassVar[bool] = True
    scale: float
    lo: int = 0
    hi: int = 255

    @property
    def unit(self) -> float:
        """The value of one event where events are counts; 1 where they are spikes."""
        return 1.0

    @property
    def slope(self) -> float:
        """Derivative by the input of |q|/hi, the strength of a spike; of q if events are q."""
        return 1 / (self.scale * self.hi)

    def encode(
        self,
        x: NDArray[np.float32],
        timesteps: int,
        sample_ids: NDArray[np.int64] | None = None,
        seed: int = 0,
    ) -> Encoded:
        """Events of a batch, int32 or int8, and the number of elements that were clipped.

        Args:
            x: (N, *shape), no NaN.
            timesteps: T.
            sample_ids: (N,) identities of the samples; None for 0..N-1.
            seed: of a random code.
        """
        x = np.asarray(x, np.float32)
        q = direct(x, self.scale, self.lo, self.hi)
        ids = np.arange(len(x)) if sample_ids is None else sample_ids
        clipped = saturated(x, self.scale, self.lo, self.hi)
        return Encoded(self.events(q, timesteps, ids, seed), clipped)

    def events(
        self, q: NDArray[np.int32], timesteps: int, sample_ids: NDArray[np.int64], seed: int
    ) -> NDArray[np.generic]:
        """(T, N, *shape), or (1, N, *shape) for a constant code, of integers q (N, *shape)."""
        raise NotImplementedError(type(self).__name__)


class Direct(Code):
    """q itself at every step."""

    name = "direct"
    constant = True

    @property
    def unit(self) -> float:
        return self.scale

    @property
    def slope(self) -> float:
        return 1 / self.scale

    def events(
        self, q: NDArray[np.int32], timesteps: int, sample_ids: NDArray[np.int64], seed: int
    ) -> NDArray[np.generic]:
        return q[None]


class Poisson(Code):
    """Spikes at random; see `poisson`."""

    name = "poisson"
    random = True

    def events(
        self, q: NDArray[np.int32], timesteps: int, sample_ids: NDArray[np.int64], seed: int
    ) -> NDArray[np.generic]:
        return poisson(q, self.hi, seed, sample_ids, timesteps)


class Latency(Code):
    """One spike, the earlier the stronger; see `latency`."""

    name = "latency"
    prefix = False

    def events(
        self, q: NDArray[np.int32], timesteps: int, sample_ids: NDArray[np.int64], seed: int
    ) -> NDArray[np.generic]:
        return latency(q, self.hi, timesteps)


CODES: Mapping[str, type[Code]] = MappingProxyType({c.name: c for c in (Direct, Poisson, Latency)})
"""The codes by the name they have in files."""
