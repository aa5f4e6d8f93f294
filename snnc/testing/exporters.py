"""What every exporter must keep to."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from snnc.exporter import Exporter, Fidelity
from snnc.ir import Graph
from snnc.testing.graphs import Case, quantized_cases, snn_cases
from snnc.testing.round_trip import assert_round_trip


def assert_exporter_contract(exporter: Exporter, *, cases: Sequence[Case] | None = None) -> None:
    """Assert that an exporter keeps to the contract of `snnc.exporter.Exporter` on small graphs.

    On every graph: `check` has one entry a node, in order; the graph is left untouched; where no
    node is refused, `export` writes the files it tells of and no others, and the same bytes again.
    One graph at least must be accepted. The options as text read back as the same exporter.

    Args:
        exporter: the exporter, with its options.
        cases: graphs to use instead of the spiking ones of `snnc.testing`, real and quantised.
    """
    assert_round_trip(exporter, "exporter")
    chosen = (*snn_cases(), *quantized_cases()) if cases is None else cases
    refusals = [_refusal(exporter, case) for case in chosen]
    listed = "; ".join(map(str, refusals))
    assert None in refusals, f"{exporter.name} refuses every graph: {listed}"


def _refusal(exporter: Exporter, case: Case) -> str | None:
    """Check one graph; the reason if the exporter refuses a node of it, else None."""
    before = case.graph.fingerprint()
    found = exporter.check(case.graph)
    _assert_untouched(exporter, case, before)
    told, names = [each.node for each in found], [node.name for node in case.graph.nodes]
    assert told == names, f"{exporter.name} ({case.name}): check tells of {told}, not of {names}"
    refused = [each for each in found if each.fidelity is Fidelity.REFUSED]
    if refused:
        return f"{case.name}: {refused[0]}"
    first, second = _exported(exporter, case.graph), _exported(exporter, case.graph)
    _assert_untouched(exporter, case, before)
    assert first, f"{exporter.name} writes nothing ({case.name})"
    different = [file for file in first if first[file] != second.get(file)]
    assert not different, f"{exporter.name} writes {different} differently again ({case.name})"
    return None


def _assert_untouched(exporter: Exporter, case: Case, before: str) -> None:
    same = case.graph.fingerprint() == before
    assert same, f"{exporter.name} changes the graph it was given ({case.name})"


def _exported(exporter: Exporter, graph: Graph) -> dict[str, bytes]:
    """What is written, by its path in the folder."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        told = sorted(str(path) for path in exporter.export(graph, folder))
        found = sorted(path for path in folder.rglob("*") if not path.is_dir())
        written = {str(path.relative_to(folder)): path.read_bytes() for path in found}
    assert told == sorted(written), f"{exporter.name} tells of {told} and wrote {sorted(written)}"
    return written
