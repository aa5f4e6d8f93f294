"""docs/models.md: the operations that are read, and the ops that backends take, from the code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from snnc.frontends.nir.operators import OPERATORS
from snnc.frontends.nir.walk import NEURONS
from snnc.frontends.onnx.walk import CONVERTERS, SOFTMAX, SQUASHING
from snnc.frontends.torch_operations import ATEN, FUNCTIONS, METHODS, MODULES
from snnc.ir import EncodeDirect, EncodeLatency, EncodePoisson, Graph, Op, Stage
from snnc.ir.ops import OPS
from snnc.target import quantizer_of
from snnc.testing import Style, build, quantized_cases, snn_cases
from snnc.testing.golden import Golden

BACKENDS = ("reference", "cpu", "crossbar")


def names(*tables: Mapping[Any, Any]) -> str:
    """The names of all keys, once each, without those of variants (`add_`, `__add__`)."""
    found = {
        key if isinstance(key, str) else getattr(key, "__name__", "")
        for table in tables
        for key in table
    }
    shown = sorted({name for name in found if name and not name.startswith("_")}, key=str.lower)
    return ", ".join(f"`{name}`" for name in shown if name.rstrip("_") == name)


def aten() -> str:
    packets = {str(op).removeprefix("aten.").partition(".")[0] for op in ATEN}
    return names(dict.fromkeys(packets))


def operations() -> Iterator[str]:
    yield "| format | operations |"
    yield "|---|---|"
    functions = {f: c for f, c in FUNCTIONS.items() if f not in ATEN}
    yield f"| layers of torch | {names(MODULES)} |"
    yield f"| functions of torch, and operators of Python | {names(functions)} |"
    yield f"| methods of tensors | {names(METHODS)} |"
    yield f"| operators of torch.export (`aten`) | {aten()} |"
    yield f"| ONNX | {names(CONVERTERS, SOFTMAX, SQUASHING)}; others of constants alone |"
    yield f"| NIR | {names(OPERATORS, NEURONS)}, `I` |"


def spiking() -> dict[str, list[Graph]]:
    """Graphs of real values, of which the cases hold one encoder only, and of integers."""
    real = [case.graph for case in snn_cases()]
    for op in (EncodePoisson(scale=1 / 255), EncodeLatency(scale=1 / 255)):
        graph = build("plain", Style.SNN).clone()
        (name,) = (node.name for node in graph if isinstance(node.op, EncodeDirect))
        graph.replace_op(name, op)
        real.append(graph)
    return {"real": real, "integers": [case.graph for case in quantized_cases()]}


def taken(backend: Any, graphs: Mapping[str, Sequence[Graph]]) -> dict[str, set[type[Op]]]:
    """Per kind of graph the ops that one holds which the backend takes; those it is given only."""
    given = {
        kind: graphs[kind] for kind in graphs if kind == "integers" or not quantizer_of(backend)
    }
    accepted = {kind: [g for g in each if not backend.check(g)] for kind, each in given.items()}
    return {kind: {type(n.op) for g in each for n in g} for kind, each in accepted.items()}


def ops() -> Iterator[str]:
    graphs = spiking()
    found = {e.name: e.load()() for e in entry_points(group="snnc.backends") if e.name in BACKENDS}
    takes = [taken(found[name], graphs) for name in BACKENDS]
    yield f"| op | meaning | stage | {' | '.join(BACKENDS)} |"
    yield f"|{'---|' * (3 + len(BACKENDS))}"
    for op in OPS:
        meaning = (op.__doc__ or "").strip().splitlines()[0].replace("|", "\\|")
        stages = ", ".join(str(stage) for stage in Stage if stage in op.stages)
        cells = [", ".join(kind for kind, each in t.items() if op in each) or "-" for t in takes]
        yield f"| `{op.mnemonic}` | {meaning} | {stages} | {' | '.join(cells)} |"


def filled(page: str, place: str, lines: Iterable[str]) -> str:
    """The page with a table between the two comments of its place."""
    begin, end = f"<!-- {place} -->", f"<!-- /{place} -->"
    assert page.count(begin) == page.count(end) == 1
    table = "\n".join((begin, *lines, end))
    return re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: table, page, flags=re.DOTALL)


def test_the_tables_are_those_of_the_code(repository: Path, pytestconfig: pytest.Config) -> None:
    path = repository / "docs" / "models.md"
    golden = Golden(path, update=bool(pytestconfig.getoption("--update-golden")))
    page = filled(filled(str(golden), "operations", operations()), "ops", ops())
    assert page == golden
