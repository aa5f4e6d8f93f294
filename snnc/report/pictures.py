"""The pictures of a report, each drawn from its JSON; None without the data for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from snnc.report.svg import GRID, INK, MUTED, SERIES, Size, label, picture, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Json = Mapping[str, Any]
HALF, FULL = 530.0, 1080.0
BAR = 19.0
PANELS = 5
"""Layers in the picture of rates against activations."""


@dataclass(frozen=True)
class Picture:
    """An `<svg>` with title and caption; `wide` takes the full width of the page."""

    title: str
    caption: str
    svg: str
    wide: bool = False


def windows(report: Json) -> Picture | None:
    """Accuracy and agreement over the window: of a sweep, else of prefixes of the observed run."""
    rows = report.get("sweep") or report.get("observed", {}).get("agreement") or []
    keys = [key for key in ("accuracy", "agreement") if rows and all(key in row for row in rows)]
    if len(rows) < 2 or not keys:
        return None
    swept = "sweep" in report
    samples = report.get("samples") if swept else report["observed"]["samples"]
    title = " and ".join(keys).capitalize() + " over the window"
    caption = f"{samples} samples; windows are prefixes of one run. " + (
        "Agreement: the same largest output as the ANN." if "agreement" in keys else ""
    )
    steps = [row["timesteps"] for row in rows]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for key, colour in zip(keys, SERIES, strict=False):
            values = [100 * row[key] for row in rows]
            axes.plot(steps, values, "o-", color=colour, markersize=4, linewidth=1.6, label=key)
        if "accuracy" in keys and "ann_accuracy" in report:
            ann = 100 * report["ann_accuracy"]
            axes.axhline(ann, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
            axes.annotate(
                f"ANN {ann:.2f} %", (steps[-1], ann), (0, 4), textcoords="offset points",
                ha="right", va="bottom", color=MUTED,
            )  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.set_xticks(_few(steps), labels=[str(t) for t in _few(steps)])
        axes.minorticks_off()
        axes.set_xlabel("window T (time steps)")
        axes.set_ylabel("samples (%)")
        axes.margins(y=0.12)
        if len(keys) > 1:
            axes.legend(loc="lower right")
        quiet(axes)

    return Picture(title, caption.strip(), picture("windows", title, Size(HALF, 280), draw))


def spikes(report: Json) -> Picture | None:
    """Bar chart of the spikes per inference of every layer."""
    layers = report.get("observed", {}).get("layers", {})
    if not layers:
        return None
    counts = {name: row["spikes_per_inference"] for name, row in layers.items()}
    title = "Spikes per layer"
    caption = "Mean number of spikes of an inference; encoders not counted."
    svg = _bars("spikes", title, counts, "spikes per inference", lambda v: f"{v:,.0f}")
    return Picture(title, caption, svg)


def seconds(report: Json) -> Picture | None:
    """Bar chart of the run times of a compilation."""
    spent = report.get("seconds")
    if not spent:
        return None
    parts: dict[str, float] = {}
    for name, value in spent.items():
        if name == "passes":
            parts.update({f"{n}. {s['name']}": s["seconds"] for n, s in _numbered(report)})
        else:
            parts[name] = value
    title = "Time of the compilation"
    caption = f"{sum(spent.values()):.3g} s in all; passes are numbered."
    return Picture(title, caption, _bars("time", title, parts, "seconds", lambda v: f"{v:.3g}"))


def raster(report: Json) -> Picture | None:
    """Spike raster of one sample: time to the right, layers downwards."""
    recorded = report.get("observed", {}).get("raster", {})
    layers = [layer for layer in recorded.get("layers", ()) if layer["neurons"]]
    if not layers:
        return None
    rows = sum(len(layer["neurons"]) for layer in layers)
    steps = recorded["steps"]
    title = "Spikes of one sample"
    shown = (
        f"the first {steps} steps of {report['observed']['timesteps']}; "
        if _cut(report, steps)
        else ""
    )
    caption = (
        f"{shown}{rows} neurons, evenly spread over each of {len(layers)} layers; "
        "a mark is a spike."
    )
    height = min(900.0, max(180.0, len(layers) * 16 + 60, rows * 2.2 + 60))
    width = min(5.0, 0.8 * (height - 60) / rows)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        first, ticks = 0, []
        for number, layer in enumerate(layers):
            _marks(axes, layer, first, SERIES[number % len(SERIES)], width)
            ticks.append(first + len(layer["neurons"]) / 2)
            first += len(layer["neurons"])
            axes.axhline(first, color=GRID, linewidth=0.7)
        axes.set_yticks(ticks, labels=[label(layer["layer"]) for layer in layers])
        axes.set_xlim(0, steps)
        axes.set_ylim(first, 0)
        every = max(1, steps // 16)
        axes.set_xticks([t + 0.5 for t in range(0, steps, every)], labels=_texts(steps, every))
        axes.set_xlabel("time step")
        quiet(axes, grid="none")

    svg = picture("raster", title, Size(FULL, height), draw)
    return Picture(title, caption, svg, wide=True)


def scatter(report: Json) -> Picture | None:
    """Rate × threshold against the activation of the ANN, for a few layers."""
    layers = report.get("observed", {}).get("layers", {})
    drawn = [(name, row) for name, row in layers.items() if row.get("scatter")]
    if not drawn:
        return None
    chosen = [drawn[i] for i in _spread(len(drawn), PANELS)]
    title = "Rate against the ANN's activation"
    caption = (
        "Rate × threshold of a neuron against the activation it represents, in the ANN's units; "
        "on the line they are equal. "
    ) + (f"{len(chosen)} of {len(drawn)} layers." if len(chosen) < len(drawn) else "")

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, len(chosen), squeeze=False)[0]
        for axes, (name, row) in zip(panels, chosen, strict=True):
            _pairs(axes, name, row)
        panels[0].set_ylabel("rate × threshold")

    svg = picture("scatter", title, Size(FULL / PANELS * len(chosen), 262), draw)
    return Picture(title, caption.strip(), svg, wide=True)


def _pairs(axes: Axes, name: str, row: Json) -> None:
    pairs = row["scatter"]
    ends = [*pairs["activation"], *pairs["decoded"], 0.0]
    low, high = min(ends), max(ends) or 1.0
    axes.plot([low, high], [low, high], color=MUTED, linewidth=0.8)
    axes.plot(
        pairs["activation"], pairs["decoded"], "o", color=SERIES[0], alpha=0.55,
        markersize=3.4, markeredgewidth=0,
    )  # fmt: skip
    axes.set_title(label(name, 22))
    error = row.get("activation_error")
    axes.set_xlabel("activation" if error is None else f"activation (error {100 * error:.3g} %)")
    axes.locator_params(nbins=4)
    quiet(axes, grid="both")


def _marks(axes: Axes, layer: Json, first: int, colour: str, width: float) -> None:
    """Draw all spikes of a layer as one path: a dash for each spike."""
    if not layer["row"]:
        return
    x: list[float] = []
    y: list[float] = []
    for row, step in zip(layer["row"], layer["step"], strict=True):
        x += [step + 0.12, step + 0.88, float("nan")]
        y += [first + row + 0.5] * 2 + [float("nan")]
    axes.plot(x, y, color=colour, linewidth=width, solid_capstyle="butt")


def _bars(name: str, title: str, values: Mapping[str, float], unit: str, text: Any) -> str:
    height = len(values) * BAR + 62

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        lengths = list(values.values())
        places = range(len(lengths))
        axes.barh(places, lengths, height=0.66, color=SERIES[0])
        for place, length in zip(places, lengths, strict=True):
            axes.annotate(
                text(length), (length, place), (4, 0), textcoords="offset points",
                va="center", color=INK, fontsize=9.5,
            )  # fmt: skip
        axes.set_yticks(places, labels=[label(key) for key in values])
        axes.set_ylim(len(lengths) - 0.4, -0.6)
        axes.set_xlim(0, (max(lengths) or 1) * 1.14)
        axes.locator_params(axis="x", nbins=5)
        axes.xaxis.set_major_formatter("{x:,.12g}")
        axes.set_xlabel(unit)
        axes.spines["bottom"].set_visible(False)
        quiet(axes, grid="x")

    return picture(name, title, Size(HALF, height), draw)


def _few(steps: Sequence[int]) -> list[int]:
    """Ticks of a logarithmic axis that do not overlap: the last step, and powers of two if any."""
    powers = [t for t in steps if t & (t - 1) == 0]
    kept = [steps[-1]]
    for low in reversed(powers if len(powers) > 2 else list(steps)):
        if kept[-1] >= 1.25 * low:
            kept.append(low)
    return kept[::-1]


def _spread(size: int, count: int) -> list[int]:
    """At most `count` of the indices 0..size-1, evenly spread, including both ends."""
    if size <= count:
        return list(range(size))
    return [round(i * (size - 1) / (count - 1)) for i in range(count)]


def _numbered(report: Json) -> list[tuple[int, Json]]:
    return list(enumerate(report.get("steps", ()), 1))


def _texts(steps: int, every: int) -> list[str]:
    return [str(t) for t in range(0, steps, every)]


def _cut(report: Json, steps: int) -> bool:
    return steps < report.get("observed", {}).get("timesteps", steps)
