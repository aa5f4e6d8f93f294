"""Tables, verdicts and the picture of the rows of `table.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.markdown_table import markdown_table
from benchmarks.robustness.plan import SWEEP_EPS, WINDOW

Row = Mapping[str, Any]
START, STOP = "<!-- robustness-tables -->", "<!-- /robustness-tables -->"
TITLES = {"mnist": "MNIST", "cifar10": "CIFAR-10 (bit-exact test images)"}
KINDS = {
    "ann": "ANN",
    "converted": "converted",
    "direct": "trained, direct",
    "poisson": "trained, Poisson",
    "robust": "trained against attacks",
}
ATTACKS = {
    "clean": "no attack",
    "noise": "noise, the control",
    "fgsm": "FGSM",
    "pgd": "PGD, 20 steps",
    "apgd": "APGD, 20 steps",
    "square": "Square, 200 queries",
    "potential": "potential, 20 steps",
    "adaptive-half": "adaptive, 20 steps",
    "adaptive": "adaptive, 40 steps",
    "widths": "PGD of five widths, 10 steps",
    "transfer": "transfer",
    "minimum": "**the strongest for every image**",
}
SWEPT = {
    "clean": "no attack",
    "noise": "noise",
    "fgsm": "FGSM",
    "pgd-7": "PGD-7",
    "pgd": "PGD-20",
    "adaptive": "adaptive-50",
    "transfer": "transfer",
    "minimum": "**strongest**",
}
WEAK = ("fgsm", "pgd-7")
RANDOM = ("pgd", "adaptive")
"""Attacks that are run again with more draws."""


def figure(row: Row, attack: str) -> float:
    """Accuracy in per cent; of a group of attacks the least."""
    if attack in ("clean", "minimum"):
        return 100 * row[attack]
    prefix = {"widths": "pgd-width-", "transfer": "transfer-"}.get(attack)
    if prefix is None:
        return 100 * row["accuracy"][attack]
    return 100 * min(v for name, v in row["accuracy"].items() if name.startswith(prefix))


def write_tables(page: Path, rows: Sequence[Row]) -> None:
    """Put the tables of all rows between the markers of a page."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(START)
    after = rest.split(STOP)[1]
    tables = "\n\n".join(_tables(rows))
    page.write_text(f"{before}{START}\n\n{tables}\n\n{STOP}{after}", encoding="utf-8")


def _tables(rows: Sequence[Row]) -> Iterator[str]:
    for dataset in WINDOW:
        own = [row for row in rows if row["dataset"] == dataset]
        full = [row for row in own if row["experiment"] == "full"]
        if full:
            eps = _eps(dataset, full[0]["eps"])
            yield f"### All attacks: {TITLES[dataset]}, eps {eps}, 200 images"
            yield _full(full)
            yield "\n".join(_told(full))
    for dataset in WINDOW:
        own = [row for row in rows if row["dataset"] == dataset]
        swept = [row for row in own if row["experiment"] not in ("full", "draws")]
        if swept:
            yield f"### Sweeps: {TITLES[dataset]}, 100 images"
            yield _sweeps(swept)
            yield f"### The claims: {TITLES[dataset]}, eps {_eps(dataset, SWEEP_EPS[dataset])}"
            yield _claims(swept)
            yield "\n".join(_more_draws(own, swept))


def _more_draws(rows: Sequence[Row], swept: Sequence[Row]) -> Iterator[str]:
    """What more draws for a gradient gain."""
    for row in rows:
        if row["experiment"] != "draws":
            continue
        keys = ("kind", "timesteps", "leak", "changed", "seed", "eps")
        (other,) = (each for each in swept if all(each[key] == row[key] for key in keys))
        found = (f"{SWEPT[a]} {figure(row, a):.1f} ({figure(other, a):.1f})" for a in RANDOM)
        name = f"{KINDS[row['kind']]}, leak {row['leak']:g}, seed {row['seed']}"
        yield f"- {name}, with 20 draws for a gradient (5 in the sweeps): {', '.join(found)}."


def _eps(dataset: str, eps: float) -> str:
    return f"{255 * eps:.0f}/255" if dataset == "cifar10" else f"{eps:g}"


def _full(rows: Sequence[Row]) -> str:
    """A line for every attack, a column for every network."""
    found = {row["kind"]: row for row in rows}
    lines: list[list[str]] = []
    for attack, title in ATTACKS.items():
        lines.append([title, *(f"{figure(row, attack):.1f}" for row in found.values())])
    errors = [100 * sqrt(r["minimum"] * (1 - r["minimum"]) / r["images"]) for r in found.values()]
    lines.append(["its standard error", *(f"{error:.1f}" for error in errors)])
    return markdown_table(["", *(KINDS[kind] for kind in found)], lines)


def _told(rows: Sequence[Row]) -> Iterator[str]:
    """The warnings, and the adaptive attack against PGD at equal steps."""
    for row in rows:
        gain = figure(row, "pgd") - figure(row, "adaptive-half")
        yield f"- {KINDS[row['kind']]}: adaptive gains {gain:+.1f} points on PGD, 20 steps each"
        yield from (f"  - warning: {text}" for text in row["warnings"])


def _sweeps(rows: Sequence[Row]) -> str:
    """A line for every network and eps, mean and spread of its seeds."""
    lines: list[list[str]] = []
    for drawn in _groups(rows):
        row = drawn[0]
        leak = f"{row['leak']:g}" if row["changed"] is None else f"1, then {row['changed']:g}"
        cells = [_spread([figure(each, attack) for each in drawn]) for attack in SWEPT]
        head = [KINDS[row["kind"]], str(row["timesteps"] or ""), leak if row["timesteps"] else ""]
        lines.append([*head, _eps(row["dataset"], row["eps"]), str(len(drawn)), *cells])
    return markdown_table(["network", "T", "leak", "eps", "seeds", *SWEPT.values()], lines)


def _groups(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows that differ in the seed only."""
    keys = ("eps", "kind", "timesteps", "leak", "changed")
    named = {tuple(row[key] for key in keys): row for row in rows}
    order = [*KINDS]
    for key in sorted(named, key=lambda k: (k[0], order.index(k[1]), k[2], -k[3], -(k[4] or 2))):
        yield [row for row in rows if tuple(row[name] for name in keys) == key]


def _spread(values: Sequence[float]) -> str:
    mean = float(np.mean(values))
    return f"{mean:.1f} ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else f"{mean:.1f}"


def comparisons(dataset: str) -> Iterator[tuple[str, Row, Row]]:
    """(what is claimed to help, the network with it, the network without it)."""
    window = WINDOW[dataset]
    few, many = (2, 16) if dataset == "mnist" else (2, 8)
    for kind in ("converted", "direct", "poisson"):
        claimed = f"{few} steps instead of {many}: {KINDS[kind]}"
        yield claimed, {"kind": kind, "timesteps": few}, {"kind": kind, "timesteps": many}
    for against, timesteps in (("direct", window), ("ann", 0)):
        without = {"kind": against, "timesteps": timesteps}
        poisson = {"kind": "poisson", "timesteps": window}
        yield f"Poisson instead of {KINDS[against]}, T={window}", poisson, without
    leaky = {"kind": "poisson", "timesteps": window, "leak": 0.5}
    yield f"Poisson and leak 0.5 instead of ANN, T={window}", leaky, {"kind": "ann", "timesteps": 0}
    for how in ("leak", "changed"):
        for leak in (0.9, 0.5):
            for kind in ("direct", "poisson"):
                said = "trained with leak" if how == "leak" else "after training leak"
                one = {"kind": kind, "timesteps": window}
                yield f"{said} {leak:g}: {KINDS[kind]}", {**one, how: leak}, one


def _claims(rows: Sequence[Row]) -> str:
    """Differences of accuracies in points, by seed, and what follows."""
    dataset = rows[0]["dataset"]
    own = [row for row in rows if row["eps"] == SWEEP_EPS[dataset]]
    lines: list[list[str]] = []
    for claimed, one, other in comparisons(dataset):
        pairs = [(a, b) for a in _of(own, one) for b in _of(own, other) if a["seed"] == b["seed"]]
        if not pairs:
            continue
        gains = {name: [figure(a, name) - figure(b, name) for a, b in pairs] for name in SWEPT}
        cells = [_signed(values) for values in gains.values()]
        lines.append([claimed, str(len(pairs)), *cells, verdict(gains)])
    heads = ["what is claimed to help", "seeds", *SWEPT.values(), "verdict"]
    return markdown_table(heads, lines, text_columns=(0, len(heads) - 1))


def _of(rows: Sequence[Row], wanted: Row) -> list[Row]:
    exact = {"leak": 1.0, "changed": None, **wanted}
    return [row for row in rows if all(row[key] == value for key, value in exact.items())]


def _signed(values: Sequence[float]) -> str:
    mean = float(np.mean(values))
    return f"{mean:+.1f} ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else f"{mean:+.1f}"


def verdict(gains: Mapping[str, Sequence[float]]) -> str:
    """Whether a claim holds: where the gain is more than twice the spread of the seeds."""
    if len(gains["minimum"]) < 2:
        return ""
    if _sign(gains["minimum"]) > 0:
        return "holds"
    weak = [SWEPT[name] for name in WEAK if _sign(gains[name]) > 0]
    reverse = _sign(gains["minimum"]) < 0
    if weak:
        return f"only under {', '.join(weak)}" + ("; else the reverse" if reverse else "")
    if _sign(gains["transfer"]) > 0:
        return "only by transfer" + ("; else the reverse" if reverse else "")
    return "the reverse holds" if reverse else "not to be seen"


def _sign(values: Sequence[float]) -> int:
    """1 or -1 where the mean is beyond twice the standard deviation, else 0."""
    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    return int(np.sign(mean)) if abs(mean) > 2 * deviation else 0
