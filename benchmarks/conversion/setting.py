"""A row of the tables, and the order in which rows are measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product

NEURONS = {
    "synchronous": "",
    "wait": "wait=T-1",
    "signed": "signed=true",
    "latency": "latency={}",
    "signed latency": "latency={} signed=true",
    "any time": "prefixes=all",
    "split": "split=1.5",
    "synchronous, tuned": "tune=4 precision=bfloat16",
    "signed, tuned": "signed=true tune=4 precision=bfloat16",
}
FLOAT = "float"
BITS = {"8 bits": 8, "4 bits": 4}
"""Integer weights, which are rounded against the calibration data."""
LATENCIES = (8, 16, 32, 64, 128)
BARS = (
    ("resnet20", "synchronous", 8),
    ("resnet20", "signed", 4),
    ("resnet20", "signed", 8),
    ("resnet56", "synchronous", 8),
    ("resnet56", "synchronous", 16),
    ("resnet56", "signed", 4),
    ("resnet56", "signed", 8),
)
SPLIT = (("resnet20", "split", 4), ("resnet20", "synchronous", 4), ("resnet20", "synchronous", 8))
"""Groups of neurons, beside as many and twice as many steps without them."""
OTHERS = (
    *product(("resnet20",), ("synchronous",), (16, 32)),
    *product(("resnet20",), ("signed",), (16,)),
    *product(("resnet20",), ("wait",), (4, 8, 16, 32)),
    *product(("mnist",), ("synchronous", "signed"), (4, 8, 16)),
    *product(("fashion",), ("synchronous", "signed", "wait"), (8, 16)),
)
ROUNDED = 8
"""Window of the rows that are rounded to integers."""


@dataclass(frozen=True)
class Setting:
    """One row: how a network is converted.

    Attributes:
        network: of `judged_networks.NETWORKS`.
        neurons: of `NEURONS`.
        precision: `FLOAT`, or of `BITS`.
        timesteps: the window, or for `latency` the steps from first input to answer.
        draw: of the calibration images.
    """

    network: str
    neurons: str
    precision: str
    timesteps: int
    draw: int

    @property
    def name(self) -> str:
        """Of its files."""
        values = map(str, asdict(self).values())
        return "-".join(value.replace(" ", "").replace(",", "-") for value in values)

    @property
    def of_float(self) -> Setting:
        """The row with real values, of which this one is rounded."""
        return replace(self, precision=FLOAT)

    @property
    def chooses_window(self) -> bool:
        """Whether the recipe does, so that none is given."""
        return "latency" in self.neurons

    @property
    def recipe(self) -> str:
        """The default recipe; nothing but the kind of neuron is told."""
        options = NEURONS[self.neurons].format(self.timesteps)
        return f"convert{{{options}}}" if options else "convert"

    @property
    def rounding(self) -> str:
        """The pass that makes integers of the row with real values."""
        return f"quantize{{bits={BITS[self.precision]} rounding=data}}"


def fixed(draw: int) -> Iterator[Setting]:
    """Windows as they are given, real values."""
    for network, neurons, timesteps in BARS:
        yield Setting(network, neurons, FLOAT, timesteps, draw)


def tuned(draw: int) -> Iterator[Setting]:
    """Rows of `fixed` whose layers are adjusted together, too."""
    for setting in fixed(draw):
        yield replace(setting, neurons=f"{setting.neurons}, tuned")


def integers(draw: int) -> Iterator[Setting]:
    """Rows of `fixed`, rounded."""
    for setting, precision in product(fixed(draw), BITS):
        if setting.timesteps == ROUNDED:
            yield replace(setting, precision=precision)


def any_time(draw: int) -> Iterator[Setting]:
    """One network for all windows up to its own."""
    yield Setting("resnet20", "any time", FLOAT, 32, draw)


def split(draw: int) -> Iterator[Setting]:
    """Groups of neurons, and single ones."""
    for network, neurons, timesteps in SPLIT:
        yield Setting(network, neurons, FLOAT, timesteps, draw)


def latency(draw: int) -> Iterator[Setting]:
    """Chosen schedules, each beside the fixed window of as many steps."""
    for network, steps in product(("mnist", "resnet20", "resnet56"), LATENCIES):
        for neurons in ("latency", "synchronous"):
            yield Setting(network, neurons, FLOAT, steps, draw)


def signed_latency(draw: int) -> Iterator[Setting]:
    """The same of signed neurons."""
    for setting in latency(draw):
        neurons = {"latency": "signed latency", "synchronous": "signed"}[setting.neurons]
        yield replace(setting, neurons=neurons)


def others(draw: int) -> Iterator[Setting]:
    """Further windows and networks."""
    for network, neurons, timesteps in OTHERS:
        yield Setting(network, neurons, FLOAT, timesteps, draw)


PARTS = {
    "fixed": fixed,
    "tuned": tuned,
    "integers": integers,
    "any-time": any_time,
    "split": split,
    "latency": latency,
    "signed-latency": signed_latency,
    "others": others,
}
FIRST = ("fixed", "tuned", "integers", "any-time", "split")
TURNS = (FIRST, ("latency",), ("signed-latency",), ("others",))
"""Parts of which all draws are measured before the next."""


def plan(parts: Sequence[str], draws: Sequence[int], networks: Sequence[str]) -> Iterator[Setting]:
    """The rows of `parts` once, turn by turn; within one the first draw of all before the next."""
    seen: set[Setting] = set()
    for turn in TURNS:
        for draw, part in product(draws, (part for part in turn if part in parts)):
            for setting in PARTS[part](draw):
                if setting.network in networks and setting not in seen:
                    seen.add(setting)
                    yield setting
