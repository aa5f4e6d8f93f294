"""`snnc inspect`: what is in a model or an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snnc.cli import options
from snnc.cli.compile_command import show_exactness, show_hardware, show_layers
from snnc.cli.console import Output, figure
from snnc.cli.cost_lines import show_cost
from snnc.cli.flags import FlagsOf, Given
from snnc.errors import UsageError
from snnc.jsontext import parse_json
from snnc.options import ModelOptions

if TYPE_CHECKING:
    from snnc.artifact import ArtifactFile
    from snnc.ir import Graph


def register(app: typer.Typer) -> None:
    """Add the verb."""
    options.add(app, "inspect", inspect)


def inspect(
    *,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A .snnc file, or any MODEL.")],
    ir: Annotated[bool, typer.Option("--ir", help="The graph as text.")] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="The target's steps or tiles, or its JSON files.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Compare all checksums.")] = False,
    given: Annotated[Given, FlagsOf(ModelOptions, without=("mean", "std"))],
    out: options.Out,
) -> None:
    """Show what is in a model or an artifact.

    Example: snnc inspect net.snnc --ir
    """
    from snnc.artifact import is_artifact, open_artifact
    from snnc.driver import ModelSource, load_model

    if Path(file).suffix == ".snnc" or is_artifact(file):
        artifact = open_artifact(file)
        if check:
            artifact.check()
        graph = artifact.graph()
    else:
        artifact = None
        if plan or check:
            raise UsageError(f"--plan and --check are for artifacts; {file} is a model")
        graph = load_model(ModelSource(model=file, **given))
    _show(out, artifact, graph, ir=ir, plan=plan, check=check)


def _show(
    out: Output, artifact: ArtifactFile | None, graph: Graph, *, ir: bool, plan: bool, check: bool
) -> None:
    from snnc.ir.text import to_text
    from snnc.report import layers, totals

    rows = layers(graph)
    hardware, cost = (None, None) if artifact is None else _hardware(artifact, graph)
    facts: dict[str, Any] = {"stage": str(graph.stage), **totals(graph)}
    if artifact is not None:
        manifest = artifact.manifest
        keys = ("target", "pipeline", "timesteps", "input_shape", "snnc", "distributions")
        facts = {**{key: manifest.get(key) for key in keys}, **facts, **manifest.get("info", {})}
    plans = _plans(artifact) if artifact is not None and plan else {}
    steps = _steps(artifact) if artifact is not None and plan else []
    text = to_text(graph) if ir else None
    extra = {"ir": text, "plan": plans or None, "steps": steps or None, "checked": check or None}
    exactness = None if artifact is None else _exactness(artifact, graph)
    extra |= {"hardware": hardware, "cost": cost, "exactness": exactness}
    document = {"kind": "inspect", **facts, "layers": rows}
    document |= {key: value for key, value in extra.items() if value is not None}
    out.document(document)
    if text is not None:
        out.line(text.rstrip())
    _show_plan(out, plans, steps)
    if ir or plan:
        return
    for key, value in facts.items():
        if value not in (None, "", [], {}):
            out.line(f"{key.replace('_', ' '):<14} {_fact(value)}")
    show_exactness(out, exactness)
    out.line()
    show_layers(out, rows)
    if hardware is not None:
        out.line()
        show_hardware(out, hardware)
        show_cost(out, cost)
    if check:
        out.line("\nchecksums match")


def _show_plan(out: Output, plans: dict[str, Any], steps: list[dict[str, Any]]) -> None:
    """The steps as a table, or else the JSON members."""
    from snnc.report.files import to_json

    if steps:
        columns = [name.replace("_", " ") for name in steps[0]]
        out.table(columns, [tuple(map(figure, row.values())) for row in steps])
    elif plans:
        out.line(to_json(plans))


def _hardware(
    artifact: ArtifactFile, graph: Graph
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The target's static figures, and the cost that it expects."""
    from snnc.driver.costing import cost_of_compilation
    from snnc.target import figures_of

    own = (artifact.names(), artifact.read, artifact.manifest["target"] or "")
    return figures_of(*own), cost_of_compilation(*own, graph)


def _exactness(artifact: ArtifactFile, graph: Graph) -> dict[str, str] | None:
    from snnc.driver.exactness import exactness_of

    return exactness_of(artifact.manifest["target"], graph)


def _steps(artifact: ArtifactFile) -> list[dict[str, Any]]:
    """The steps of a plan, where the target has them."""
    from snnc.pipeline import parse_one
    from snnc.plugins import BACKENDS, Registry
    from snnc.target import ShowsPlan

    backend = parse_one(artifact.manifest["target"], Registry(BACKENDS))
    return backend.plan_rows(artifact) if isinstance(backend, ShowsPlan) else []


def _fact(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {figure(item)}" for key, item in value.items())
    return figure(value)


def _plans(artifact: ArtifactFile) -> dict[str, Any]:
    """The target's JSON members, read."""
    own = [n for n in artifact.names() if n.endswith(".json") and "/" in n]
    if not own:
        raise UsageError("this artifact has no plan: its target runs the graph itself")
    return {name: parse_json(artifact.read(name), f"{artifact.path}: {name}") for name in own}
