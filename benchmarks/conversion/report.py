"""Tables in Markdown of the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.conversion.judged_networks import NETWORKS
from benchmarks.conversion.setting import FLOAT, LATENCIES
from benchmarks.markdown_table import markdown_table

Row = Mapping[str, Any]
Drawn = Sequence[Row]
"""The rows of one setting, by draw."""
CHOSEN = {"latency": "synchronous", "signed latency": "signed"}
"""Neurons whose schedule is chosen, and the same ones with a given window."""
TEST_IMAGES = 10_000
"""Of every data set."""
TAKEN = ("spikes per neuron", "energy (%)", "of it layer 1 (%)", "membrane accesses (10⁶)")
TAKEN += ("crossbar (µJ)",)
SPENT = ("processor seconds", "memory (GB)")


def tables(rows: Sequence[Row], peers: Mapping[tuple[str, int], Sequence[float]]) -> str:
    """All tables of which there are rows, with what their figures are figures of.

    Args:
        rows: as of `rows.Measurement`.
        peers: gaps of SpikingJelly's best recipe, one a draw, by network and latency.
    """
    groups = drawn(rows)
    parts = [
        ("Real values", fixed_table(groups)),
        ("Integers, rounded against the calibration data", integer_table(groups)),
        ("One network for any number of steps", any_time_table(groups)),
        ("Groups of neurons", group_table(groups)),
        ("A given latency", latency_table(groups, peers)),
    ]
    shown = [f"{title}:\n\n{text}" for title, text in parts if text]
    return "\n\n".join([*shown, notes(rows)])


def readme_table(rows: Sequence[Row]) -> str:
    """The rows with a given window, in few columns."""
    heads = ["network", "neurons", "weights", "T", "latency", "gap (points)", "mean"]
    heads += ["agreement (%)", "spikes per neuron", "energy (%)", "crossbar (µJ)"]
    lines = [
        [
            *(_title(of), of[0]["neurons"], of[0]["precision"], of[0]["window"]),
            *(of[0]["latency_timesteps"], *_gaps(of), _agreement(of)),
            *(_number(of, "spikes_per_neuron"), _percent(of, "energy_of_ann")),
            _number(of, "crossbar_uj", 1),
        ]
        for of in drawn(rows)
        if of[0]["neurons"] not in (*CHOSEN, "any time")
    ]
    return f"{markdown_table(heads, lines, text_columns=range(3))}\n\n{notes(rows)}"


def drawn(rows: Sequence[Row]) -> list[Drawn]:
    """The rows by setting, in order; each with its draws in order."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in sorted(rows, key=_order):
        groups.setdefault(_order(row)[:-1], []).append(row)
    return [*groups.values()]


def _order(row: Row) -> tuple[Any, ...]:
    return (
        [*NETWORKS].index(row["network"]),
        row["precision"] != FLOAT,
        row["neurons"],
        row["timesteps"],
        -int(row["precision"].split()[0]) if row["precision"] != FLOAT else 0,
        row["draw"],
    )


def fixed_table(groups: Sequence[Drawn]) -> str:
    """Windows as they were given, real values."""
    lines = [
        [
            *(_title(of), of[0]["neurons"], of[0]["window"], of[0]["latency_timesteps"]),
            *(*_gaps(of), _agreement(of), *_taken(of), *_spent(of)),
        ]
        for of in groups
        if of[0]["precision"] == FLOAT and of[0]["neurons"] not in (*CHOSEN, "any time")
    ]
    heads = ["network", "neurons", "T", "latency", "gap (points)", "mean", "agreement (%)"]
    return _table([*heads, *TAKEN, *SPENT], lines, 2)


def integer_table(groups: Sequence[Drawn]) -> str:
    """Integers beside the real values that they were rounded from."""
    lines = [
        [
            *(_title(of), of[0]["neurons"], of[0]["precision"], of[0]["window"], *_gaps(of)),
            *(*_signed(of, "below_float"), _agreement(of), _agreement_below(of)),
            *(*_taken(of), *_spent(of), _equal(of)),
        ]
        for of in groups
        if of[0]["precision"] != FLOAT
    ]
    heads = ["network", "neurons", "weights", "T", "gap (points)", "mean", "below float (points)"]
    heads += ["mean", "agreement (%)", "below float (points)", *TAKEN, *SPENT, "all targets equal"]
    return _table(heads, lines, 3)


def any_time_table(groups: Sequence[Drawn]) -> str:
    """A line for each number of steps, beside the network made for that window."""
    made = {
        (of[0]["network"], of[0]["timesteps"]): of
        for of in groups
        if of[0]["neurons"] == "synchronous" and of[0]["precision"] == FLOAT
    }
    lines: list[list[object]] = []
    for of in (of for of in groups if of[0]["neurons"] == "any time"):
        for end in (*of[0]["prefixes"], str(of[0]["window"])):
            after = [{**row, **row["prefixes"].get(end, {})} for row in of]
            own = made.get((of[0]["network"], int(end)))
            lines.append(
                [_title(of), end, of[0]["readout_start"], *_gaps(after), _agreement(after)]
                + [_gaps(own)[1] if own else "", _agreement(own) if own else ""]
                + (_taken(of) + _spent(of) if int(end) == of[0]["window"] else [""] * 7)
            )
    heads = ["network", "steps", "read from", "gap (points)", "mean", "agreement (%)"]
    heads += ["made for it: mean gap", "its agreement (%)", *TAKEN, *SPENT]
    return _table(heads, lines, 1)


def group_table(groups: Sequence[Drawn]) -> str:
    """Groups beside networks of single neurons in as many and in twice as many steps."""
    real = [of for of in groups if of[0]["precision"] == FLOAT]
    by_key = {(of[0]["network"], of[0]["neurons"], of[0]["window"]): of for of in real}
    lines: list[list[object]] = []
    for (network, neurons, window), of in by_key.items():
        if neurons != "split":
            continue
        singles = (by_key.get((network, "synchronous", n * window)) for n in (1, 2))
        compared = [of, *(single for single in singles if single)]
        fewest = min(each[0]["neurons_in_all"] for each in compared)
        for each in compared:
            row = each[0]
            lines.append(
                [
                    *(_title(each), row["neurons"], row["window"], *_gaps(each), _agreement(each)),
                    *(f"{row['neurons_in_all'] / fewest - 1:.2f}", *_taken(each)),
                    *(f"{row['crossbar_rows']:,}", row["crossbar_tiles"]),
                    f"{row['crossbar_latency_us']:.0f}",
                ]
            )
    heads = ["network", "neurons", "T", "gap (points)", "mean", "agreement (%)"]
    heads += ["neurons added per neuron", *TAKEN]
    return _table([*heads, "crossbar rows", "its tiles", "its latency (µs)"], lines, 2)


def latency_table(groups: Sequence[Drawn], peers: Mapping[tuple[str, int], Sequence[float]]) -> str:
    """The chosen schedule beside the window of as many steps, and beside SpikingJelly."""
    by_key = {
        (of[0]["network"], of[0]["neurons"], of[0]["timesteps"]): of
        for of in groups
        if of[0]["precision"] == FLOAT
    }
    lines: list[list[object]] = []
    for (network, neurons, steps), of in by_key.items():
        if neurons not in CHOSEN or steps not in LATENCIES:
            continue
        fixed = by_key.get((network, CHOSEN[neurons], steps))
        peer = peers.get((network, steps), ())
        lines.append(
            [_title(of), CHOSEN[neurons], steps, _side(of, "window"), _side(of, "readout_start")]
            + [*_gaps(of), _agreement(of)]
            + ([_gaps(fixed)[1], _agreement(fixed)] if fixed else ["", ""])
            + [f"{sum(peer) / len(peer):.2f}" if peer else "", *_taken(of), *_spent(of)]
        )
    heads = ["network", "neurons", "latency", "T", "read from", "gap (points)", "mean"]
    heads += ["agreement (%)", "T = latency: mean gap", "its agreement (%)"]
    return _table([*heads, "SpikingJelly: mean gap", *TAKEN, *SPENT], lines, 2)


def notes(rows: Sequence[Row]) -> str:
    """What the figures are figures of."""
    return "\n".join([*_of_networks(rows), *NOTES])


NOTES = (
    "- Several figures are several draws of the calibration images, each with the paired 95 % "
    "interval of its own test images; what an inference takes is that of the first draw.",
    "- Energy of the arithmetic as a part of the ANN's, E_ac · additions + E_mac · MACs of the "
    "first layer, computed once; a spike is one addition for each weight it meets. 32-bit floating "
    "point in 45 nm, 4.6 pJ a product, 0.9 pJ a sum (`snnc/analysis/energy.py`).",
    "- Crossbar: energy of an inference as the target expects it by 32 of the calibration images, "
    "tiles of 128 x 128, `packing=time-multiplexed technology=isaac-32nm`; real values are rounded "
    "to 8 bits for it.",
    "- Seconds and memory are those of `snnc compile`: of integers, of the rounding alone, which "
    "starts from the network with real values.",
)


def _of_networks(rows: Sequence[Row]) -> Iterator[str]:
    for name in dict.fromkeys(row["network"] for row in rows):
        own = [row for row in rows if row["network"] == name]
        yield (
            f"- {NETWORKS[name].title}: the ANN has {100 * own[0]['ann_accuracy']:.2f} % on the "
            f"{own[0]['judged']} test images the gap is measured on; agreement with the ANN is on "
            f"{max(row['images'] for row in own)}, or on fewer where it says so."
        )


def _table(heads: Sequence[str], lines: Sequence[Sequence[object]], texts: int) -> str:
    return markdown_table(heads, lines, text_columns=range(texts)) if lines else ""


def _title(of: Drawn) -> str:
    return NETWORKS[of[0]["network"]].title


def _gaps(of: Drawn) -> list[str]:
    """The gaps as they were drawn, and their mean."""
    gaps = " · ".join(f"{r['gap_points']:.2f} ± {r['gap_interval_95']:.2f}" for r in of)
    return [gaps, _mean([row["gap_points"] for row in of])]


def _signed(of: Drawn, key: str) -> list[str]:
    """Points below real values as they were drawn, and their mean."""
    points = [row[f"{key}_points"] for row in of]
    halves = [row[f"{key}_interval_95"] for row in of]
    pairs = zip(points, halves, strict=True)
    return [" · ".join(f"{point:.2f} ± {half:.2f}" for point, half in pairs), _mean(points)]


def _on_most(of: Drawn, text: Callable[[Row], str]) -> str:
    """Of the draws with the most images; of how many, unless it is all."""
    most = max(row["images"] for row in of)
    shown = " · ".join(text(row) for row in of if row["images"] == most)
    return shown if most == TEST_IMAGES else f"{shown} (of {most})"


def _agreement(of: Drawn) -> str:
    return _on_most(of, lambda row: f"{100 * row['agreement']:.2f}")


def _agreement_below(of: Drawn) -> str:
    return _on_most(of, lambda row: f"{row['agreement_below_float_points']:.2f}")


def _taken(of: Drawn) -> list[str]:
    """The cells of `TAKEN`."""
    return [
        _number(of, "spikes_per_neuron"),
        _percent(of, "energy_of_ann"),
        _percent(of, "first_layer_share"),
        f"{of[0]['membrane_accesses'] / 1e6:.2f}",
        _number(of, "crossbar_uj", 1),
    ]


def _spent(of: Drawn) -> list[str]:
    """The cells of `SPENT`: the mean of the draws, the most of them."""
    seconds = [row["compile_processor_seconds"] for row in of]
    return [f"{sum(seconds) / len(of):.0f}", f"{max(row['compile_peak_gb'] for row in of):.2f}"]


def _equal(of: Drawn) -> str:
    """How many values were equal on all targets, or how many differed."""
    differing = sum(sum(row["values_differing"].values()) for row in of)
    if differing:
        return f"no: {differing} values differ"
    return f"yes ({sum(row['verified_images'] for row in of)} images)"


def _side(of: Drawn, key: str) -> str:
    """A figure of each draw, once where all have the same."""
    return " · ".join(map(str, dict.fromkeys(row[key] for row in of)))


def _number(of: Drawn, key: str, digits: int = 2) -> str:
    return f"{of[0][key]:.{digits}f}"


def _percent(of: Drawn, key: str) -> str:
    return f"{100 * of[0][key]:.1f}"


def _mean(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):.2f}"
