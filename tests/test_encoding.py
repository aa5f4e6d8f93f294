"""Encoders: the random generator against published vectors, the rest against worked examples."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnc.encoding import (
    CODES,
    Direct,
    Latency,
    Poisson,
    direct,
    latency,
    philox4x32,
    poisson,
    saturated,
)

# Random123, examples/kat_vectors, "philox4x32 10": counter, key, result.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip


def words(text: str) -> np.ndarray:
    return np.array([int(word, 16) for word in text.split()], np.uint32)


@pytest.mark.parametrize("counter, key, result", KNOWN_ANSWERS)
def test_philox_known_answers(counter: str, key: str, result: str) -> None:
    np.testing.assert_array_equal(philox4x32(words(counter), words(key)), words(result))


def test_philox_is_vectorised_over_counters() -> None:
    counters = np.random.default_rng(0).integers(0, 2**32, (3, 5, 4), dtype=np.uint32)
    together = philox4x32(counters, (1, 2))
    assert together.shape == (3, 5, 4) and together.dtype == np.uint32
    np.testing.assert_array_equal(together[2, 3], philox4x32(counters[2, 3], (1, 2)))


def test_direct_rounds_half_to_even_and_clips() -> None:
    x = np.array([0.5, 1.5, 2.5, -0.5, -3.0, 300.0, np.inf, -np.inf], np.float32)
    q = direct(x, 1.0, 0, 255)
    assert q.dtype == np.int32
    assert q.tolist() == [0, 2, 2, 0, 0, 255, 255, 0]
    assert saturated(x, 1.0, 0, 255) == 4  # -3, 300 and both infinities; -0.5 rounds to 0


@given(st.integers(0, 255))
def test_direct_reads_back_eight_bit_pixels(pixel: int) -> None:
    x = np.float32(pixel) / np.float32(255)
    assert direct(np.array([x]), 1 / 255, 0, 255)[0] == pixel


def test_direct_multiplies_in_single_precision() -> None:
    """Rule S21 of docs/semantics.md."""
    x = np.random.default_rng(1).random(10_000, np.float32)
    product = x * np.float32(1 / 0.0123)
    assert product.dtype == np.float32
    np.testing.assert_array_equal(direct(x, 0.0123, -128, 127), np.rint(product).clip(-128, 127))


def test_direct_of_huge_values_saturates_without_warning() -> None:
    assert direct(np.array([3e38, -3e38], np.float32), 1e-6, -7, 7).tolist() == [7, -7]


def test_poisson_of_zero_and_of_full_scale() -> None:
    q = np.array([[0, 255, -255, 300]])
    spikes = poisson(q, 255, 0, np.array([0]), 50)
    assert spikes.dtype == np.int8 and spikes.shape == (50, 1, 4)
    assert (spikes == np.array([0, 1, -1, 1])).all()


def test_poisson_rates_follow_the_input() -> None:
    q = np.tile([[25, 128, -200]], (40, 1))
    rates = poisson(q, 255, 7, np.arange(40), 500).mean((0, 1))
    np.testing.assert_allclose(rates, np.array([25, 128, -200]) / 255, atol=0.015)


def test_poisson_is_the_documented_function_of_the_counter() -> None:
    """Rule S22 of docs/semantics.md."""
    sample, seed, timesteps = (3 << 32) + 5, (9 << 32) + 1, 6
    q = np.array([[10, 90, -170, 255]])
    spikes = poisson(q, 255, seed, np.array([sample]), timesteps)
    for element in range(4):
        limit = (abs(int(q[0, element])) << 32) // 255
        for t in range(timesteps):
            counter = np.array([5, 3, element, t // 4], np.uint32)
            fires = int(philox4x32(counter, (1, 9))[t % 4]) < limit
            assert spikes[t, 0, element] == fires * np.sign(q[0, element])


@given(st.integers(1, 5), st.integers(1, 9), st.integers(0, 2**63))
def test_poisson_does_not_depend_on_the_batch(cut: int, timesteps: int, seed: int) -> None:
    q = np.random.default_rng(2).integers(-9, 10, (6, 2, 3))
    ids = np.array([4, 0, 2, 77, 5, 1])
    whole = poisson(q, 9, seed, ids, timesteps)
    parts = [poisson(q[s], 9, seed, ids[s], timesteps) for s in (slice(cut), slice(cut, None))]
    np.testing.assert_array_equal(whole, np.concatenate(parts, axis=1))
    longer = poisson(q, 9, seed, ids, timesteps + 3)
    np.testing.assert_array_equal(whole, longer[:timesteps])


def test_poisson_seeds_and_samples_differ() -> None:
    q = np.full((1, 200), 100)
    first, *others = (
        poisson(q, 255, seed, np.array([sample]), 8) for seed, sample in ((0, 0), (1, 0), (0, 1))
    )
    assert all((first != other).any() for other in others)


def test_latency_by_hand() -> None:
    # T = 5, (1 - q/8) * 4 + 1/2: 8 -> 0.5, 7 -> 1.0, 6 -> 1.5, 4 -> 2.5, 1 -> 4.0; 0 never
    spikes = latency(np.array([[8, 7, 6, 4, 1, 0, -8, 20]]), 8, 5)
    assert spikes[:, 0].T.tolist() == [
        [1, 0, 0, 0, 0],
        [0, 1, 0, 0, 0],
        [0, 1, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0],
        [-1, 0, 0, 0, 0],
        [1, 0, 0, 0, 0],
    ]


def test_codes_count_clipped_elements() -> None:
    x = np.array([[0.0, 0.5, 1.0, 1.5, -0.25]], np.float32)
    fields = {"scale": 1 / 4, "lo": 0, "hi": 4}
    values, clipped = Direct(**fields).encode(x, 3)
    assert values.tolist() == [[[0, 2, 4, 4, 0]]] and clipped == 2
    values, clipped = Latency(**fields).encode(x, 3)
    assert values.shape == (3, 1, 5) and clipped == 2
    values, clipped = Poisson(**fields).encode(x, 3, np.array([8]), seed=5)
    q = np.array([[0, 2, 4, 4, 0]])
    np.testing.assert_array_equal(values, poisson(q, 4, 5, np.array([8]), 3))
    assert clipped == 2


def test_a_code_says_what_its_events_are() -> None:
    facts = {name: (c.constant, c.random, c.prefix) for name, c in CODES.items()}
    assert facts == {
        "direct": (True, False, True),
        "poisson": (False, True, True),
        "latency": (False, False, False),
    }
    fields = {"scale": 0.25, "lo": 0, "hi": 4}
    assert [(c(**fields).unit, c(**fields).slope) for c in CODES.values()] == [
        (0.25, 4.0),
        (1.0, 1.0),
        (1.0, 1.0),
    ]


def test_needs_neither_torch_nor_networkx() -> None:
    code = "import sys, snnc.encoding; print({'torch', 'networkx'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
