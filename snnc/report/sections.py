"""The sections of the page, each from the report's JSON; "" without the data for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from snnc.report.markup import by_node, cell, facts, number, percent, span, table, words
from snnc.report.pictures import Picture
from snnc.report.units import quantity

Json = Mapping[str, Any]


def heading(report: Json) -> str:
    """Title, kind and target, and warnings about the model and its data."""
    kinds = {
        "compile": "compiled",
        "diagnose": "diagnosed",
        "eval": "measured",
        "verify": "verified",
    }
    kind = kinds.get(str(report.get("kind")), "")
    name = escape(subject(report))
    target = escape(str(report.get("target") or ""))
    parts = [f"<h1>{name}</h1>"]
    line = f"{kind} for <b>{target}</b>" if target else kind
    if report.get("data"):
        line += f" on {escape(str(report['data']))}"
    parts.append(f'<p class="lead">{line}</p>')
    if report.get("calibrated") is False:
        parts.append(
            '<p class="alarm" role="alert"><b>Not calibrated.</b> The thresholds were chosen '
            "without data: compile again with --calibration DATA before any of these figures is "
            "relied on.</p>"
        )
    for warning in report.get("warnings") or []:
        text, remedy = (escape(str(warning.get(key) or "")) for key in ("text", "remedy"))
        parts.append(f'<p class="alarm" role="alert"><b>{text}</b> Try: {remedy}.</p>')
    return "\n".join(parts)


def subject(report: Json) -> str:
    """The file name of the model, or of the artifact; not escaped."""
    return str(report.get("model") or report.get("artifact") or "").rpartition("/")[2]


def summary(report: Json) -> str:
    """The main figures: accuracy, errors, sizes, spikes."""
    fields: list[tuple[str, str]] = []
    for key, name in (
        ("accuracy", "accuracy"),
        ("ann_accuracy", "accuracy of the ANN"),
        ("agreement", "agreement with the ANN"),
    ):
        if key in report:
            fields.append(
                (name, percent(report[key]) + _error(report.get(f"{key}_standard_error")))
            )
    for key in ("mean_absolute_error", "root_mean_square_error", "ann_mean_absolute_error"):
        if key in report:
            fields.append((words(key).replace("ann ", "ANN "), number(report[key])))
    fields += _sizes(report)
    energy = report.get("energy") or {}
    if "energy_pj" in energy:
        own, ann = (f"{energy[key] / 1e3:.4g}" for key in ("energy_pj", "ann_energy_pj"))
        shown = f"{own} nJ <small>of arithmetic; the ANN {ann} nJ</small>"
        fields.append(("energy (estimate)", shown))
    if "cost" in report:
        cost = report["cost"]
        shown = f"{quantity(cost['energy_pj'], 'pj')} <small>{escape(cost['technology'])}</small>"
        fields.append(("chip energy", shown))
    boxes = "".join(f"<div><dt>{escape(n)}</dt><dd>{v}</dd></div>" for n, v in fields)
    return f'<dl class="figures">{boxes}</dl>'


def _sizes(report: Json) -> list[tuple[str, str]]:
    names = {
        "timesteps": ("window T", " <small>steps</small>"),
        "latency_timesteps": ("latency", " <small>steps</small>"),
        "neurons": ("neurons", ""),
        "parameters": ("parameters", ""),
        "samples": ("samples", ""),
        "spikes_per_inference": ("spikes per inference", ""),
        "spikes_per_neuron": ("spikes per neuron", ""),
    }
    kinds = {"count": "max pools of counts", "or": "max pools by OR"}
    pools = report.get("max_pools") or {}
    sizes = [(n, number(report[k]) + unit) for k, (n, unit) in names.items() if k in report]
    return [*sizes, *((kinds[kind], number(count)) for kind, count in pools.items())]


def _error(value: float | None) -> str:
    return "" if value is None else f" <small>± {100 * value:.2f}</small>"


def layer_table(report: Json) -> str:
    """Table of all nodes: op, shape, rate, error against the ANN, hardware."""
    layers = report.get("layers") or []
    if not layers:
        return ""
    observed = report.get("observed", {}).get("layers", {})
    placed = (report.get("hardware") or {}).get("layers", {})
    optional = [
        ("rate", any(_rate(row, observed) is not None for row in layers)),
        ("silent", bool(observed)),
        ("error", any("activation_error" in row for row in observed.values())),
        ("tiles", any("tiles" in row for row in placed.values())),
        ("utilisation", any("utilisation" in row for row in placed.values())),
        ("from", not placed and any(row.get("location") for row in layers)),
    ]
    shown = [name for name, present in optional if present]
    heads = {"rate": "rate (spikes/step)", "error": "error vs ANN"}
    columns = ["layer", "op", "shape", "parameters", "neurons", "threshold"]
    columns += [heads.get(name, name) for name in shown]
    rows = [
        [*_fixed(row), *(_optional(name, row, observed, placed) for name in shown)]
        for row in layers
    ]
    last = len(columns) - 1 if "from" in shown else None
    words_at = (0, 1, *([] if last is None else [last]))
    return table(
        columns,
        rows,
        text=words_at,
        minor=() if last is None else (last,),
        aside=["neurons" not in row and not row.get("parameters") for row in layers],
    )


def _fixed(row: Json) -> list[str]:
    shape = "×".join(map(str, row.get("shape", ())))
    threshold = row.get("threshold")
    place = row.get("location")
    name = escape(str(row["name"]))
    return [
        name if place is None else f'<span title="{escape(str(place))}">{name}</span>',
        escape(str(row.get("op", ""))),
        escape(shape),
        number(row["parameters"]) if row.get("parameters") else "",
        number(row.get("neurons")),
        "" if threshold is None else span(*threshold),
    ]


def _optional(name: str, row: Json, observed: Json, placed: Json) -> str:
    node, observations = str(row["name"]), observed.get(row["name"], {})
    if name == "rate":
        rate = _rate(row, observed)
        return "" if rate is None else f"{rate:.4f}"
    if name == "silent":
        return percent(observations.get("silent"), 1)
    if name == "error":
        return percent(observations.get("activation_error"), 1)
    if name == "from":
        place = str(row.get("location") or "")
        return escape(place.rpartition("/")[2])
    value = placed.get(node, {}).get(name)
    return "" if value is None else cell(name, value)


def _rate(row: Json, observed: Json) -> float | None:
    observations = observed.get(row["name"], {})
    return observations.get("rate", (row.get("stats") or {}).get("rate"))


def layer_note(report: Json) -> str:
    """Legend of the table of layers, and the data it was measured on."""
    observed = report.get("observed")
    if not observed:
        return ""
    text = (
        f"Measured on {observed['samples']} samples of the {escape(str(observed['data']))} data. "
        "Rate: spikes per neuron and step. Silent: neurons that never fired."
    )
    if any("activation_error" in row for row in observed["layers"].values()):
        text += (
            " Error: root mean square of rate × threshold minus the ANN's activation, "
            "relative to that of the activation."
        )
    return f'<p class="note">{text}</p>'


def hardware(report: Json) -> str:
    """Totals and notes of the target's figures."""
    figures = report.get("hardware") or {}
    totals = figures.get("totals") or {}
    parts: list[str] = []
    if totals:
        parts.append(facts((words(key), cell(key, value)) for key, value in totals.items()))
    return "\n".join([*parts, notes(figures.get("notes") or [])])


def notes(texts: Sequence[Any]) -> str:
    """A list of notes under a heading; "" for none."""
    listed = "".join(f"<li>{escape(str(note))}</li>" for note in texts)
    return f"<h3>Notes</h3>\n<ul>{listed}</ul>" if listed else ""


def hardware_layers(report: Json) -> str:
    """The target's figures of each layer."""
    layers = (report.get("hardware") or {}).get("layers") or {}
    return folded("By layer", by_node(layers)) if layers else ""


def activity(report: Json) -> str:
    """The target's activity counters, per inference."""
    counters = report.get("activity") or {}
    if not counters.get("layers"):
        return ""
    total = {"all": counters.get("per_inference", {})}
    return folded("Activity of an inference", by_node({**counters["layers"], **total}))


def folded(title: str, content: str) -> str:
    """Content collapsed behind its title."""
    return f"<details>\n<summary>{escape(title)}</summary>\n{content}\n</details>"


def passes(report: Json) -> str:
    """Table of the passes: options, seconds, whether the graph changed, metrics."""
    steps = report.get("steps") or []
    rows = [
        [
            str(number_),
            escape(str(step["spec"])),
            f"{step['seconds']:.2f}",
            "yes" if step["changed"] else "no",
            escape(_metrics(step.get("metrics") or {})),
        ]
        for number_, step in enumerate(steps, 1)
    ]
    if not rows:
        return ""
    columns = ("", "pass", "seconds", "changed", "figures")
    return table(columns, rows, text=(1, 3, 4), minor=(4,))


def _metrics(metrics: Json) -> str:
    """The scalar metrics of a pass."""
    plain = {k: v for k, v in metrics.items() if isinstance(v, int | float | str)}
    return ", ".join(f"{words(k)} {v:.4g}" if isinstance(v, float) else f"{words(k)} {v}"
                     for k, v in plain.items())  # fmt: skip


def provenance(report: Json) -> str:
    """Inputs, options, seed and versions: all that is needed to reproduce the result."""
    pairs = [
        ("model", _text(report, "model")),
        ("artifact", _text(report, "artifact")),
        ("data", _text(report, "data")),
        ("target", _text(report, "target")),
        ("recipe", _text(report, "recipe")),
        ("pipeline", _text(report, "pipeline").replace(",", ",<wbr>")),
        ("passes of the target", _text(report, "legalize")),
        ("calibrated", _calibration(report)),
        ("seed", _text(report, "seed")),
        ("plugins", _versions(report.get("distributions") or {})),
        ("versions", _versions((report.get("provenance") or {}).get("versions") or {})),
        ("date", _text(report.get("provenance") or {}, "date")),
    ]
    return facts((name, value) for name, value in pairs if value)


def _calibration(report: Json) -> str:
    """Whether it was calibrated, and on which data."""
    if report.get("calibrated") is None:
        return ""
    if not report["calibrated"]:
        return "no"
    data = report.get("calibration") or {}
    parts = [f"{number(data['samples'])} samples"] if data.get("samples") is not None else []
    parts += [number(data["digest"])] if data.get("digest") else []
    return ", ".join(["yes", *parts])


def _text(report: Json, key: str) -> str:
    value = report.get(key)
    return "" if value is None else escape(str(value))


def _versions(distributions: Json) -> str:
    return escape(", ".join(f"{name} {version}" for name, version in distributions.items()))


def figure(drawn: Picture | None) -> str:
    """A picture with its title and caption."""
    if drawn is None:
        return ""
    kind = ' class="wide"' if drawn.wide else ""
    caption = f"<figcaption>{escape(drawn.caption)}</figcaption>"
    return (
        f"<figure{kind}>\n<h3>{escape(drawn.title)}</h3>\n{caption}\n"
        f'<div class="scroll">{drawn.svg}</div>\n</figure>'
    )


def figures(drawn: Sequence[Picture | None]) -> str:
    """Pictures side by side where there is room."""
    shown = "\n".join(filter(None, map(figure, drawn)))
    return f'<div class="pictures">\n{shown}\n</div>' if shown else ""
