"""The contract of exporters."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from snnc.exporter import Exporter, Fidelity
from snnc.ir import Graph
from snnc.testing.graphs import Case, quantized_cases, snn_cases
from snnc.testing.round_trip import assert_round_trip


def assert_exporter_contract(exporter: Exporter, *, cases: Sequence[Case] | None = None) -> None:
    """Assert that an exporter fulfils the contract of `snnc.exporter.Exporter` on small graphs.

    On every graph: `check` returns one entry per node, in graph order; the graph is not changed; if
    no node is refused, `export` writes exactly the files it returns, and the same bytes when called
    again. At least one graph must be accepted. The options as text read back as the same exporter.

    Args:
        exporter: the exporter, with its options.
        cases: graphs to use instead of the spiking ones of `snnc.testing`, real and quantised.

    Raises:
        AssertionError: naming the graph and the broken rule.
    """
    assert_round_trip(exporter, "exporter")
    chosen = (*snn_cases(), *quantized_cases()) if cases is None else cases
    refusals = [_refusal(exporter, case) for case in chosen]
    listed = "; ".join(map(str, refusals))
    assert None in refusals, f"{exporter.name} refuses every graph: {listed}"


def _refusal(exporter: Exporter, case: Case) -> str | None:
    """Check one graph; the reason if the exporter refuses a node of it, else None."""
    before = case.graph.fingerprint()
    entries = exporter.check(case.graph)
    _assert_untouched(exporter, case, before)
    checked, names = [entry.node for entry in entries], [node.name for node in case.graph.nodes]
    assert checked == names, f"{exporter.name} ({case.name}): check lists {checked}, not {names}"
    refused = [entry for entry in entries if entry.fidelity is Fidelity.REFUSED]
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
    """The bytes of the exported files, by their path in the folder."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        returned = sorted(str(path) for path in exporter.export(graph, folder))
        files = sorted(path for path in folder.rglob("*") if not path.is_dir())
        written = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    assert returned == sorted(written), (
        f"{exporter.name} returns {returned} but wrote {sorted(written)}"
    )
    return written
