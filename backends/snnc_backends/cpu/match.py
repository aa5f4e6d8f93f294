"""Whether a plan in a file can be one of the graph stored beside it."""

from __future__ import annotations

from snnc.errors import ArtifactError
from snnc.ir import AnyNeuron, Graph
from snnc.ir.integer_bounds import longest_window, magnitudes
from snnc_backends.cpu import kernels
from snnc_backends.cpu.exactness import exactness
from snnc_backends.cpu.number_types import LARGEST
from snnc_backends.cpu.plan import Plan
from snnc_backends.cpu.storage import record_of


def require_match(plan: Plan, graph: Graph) -> None:
    """Compare what a run takes and gives, and the window it may have, with the graph.

    Raises:
        ArtifactError: the plan takes another input, records other populations, gives another
            output, or claims a longer window than the weights of the graph allow.
    """
    types = graph.types()
    _require(plan.tensors[0].shape == types[graph.input].shape, "takes another input")
    records = {node.name: record_of(node.op, types[node.name]) for node in graph.nodes}
    expected = {
        name: (types[name].shape, record) for name, record in records.items() if record != "none"
    }
    recorded = {t.name: (t.shape, t.record) for t in plan.tensors if t.record != "none"}
    _require(recorded == expected, "records other populations")
    output, name = plan.outputs[0], graph.outputs[0]
    given = (output.name, plan.tensors[output.source].shape, output.quantized)
    _require(given == (name, types[name].shape, types[name].quantized), "gives another output")
    _require(plan.longest <= _proved(plan, graph), "claims a longer window than can be proved")


def require_exact(plan: Plan, graph: Graph) -> None:
    """Raise `ArtifactError` unless all spikes are proved equal to those of the reference.

    That is so in every window that the plan allows, if it was compiled with `mode=exact`.
    """
    found = exactness(graph)
    if plan.longest <= found.window:
        return
    where = "" if found.node is None else f": {found.node.name} {found.reason}"
    raise ArtifactError(
        f"mode=exact: the spikes of this network may differ from those of the reference{where}",
        hint="compile the model with quantize, or with mode=exact to learn what is not exact",
    )


def _proved(plan: Plan, graph: Graph) -> int:
    """The longest window in which no potential that the plan keeps in 32 bits leaves them."""
    states = {
        plan.tensors[step.output].name: step.kernel.state
        for step in plan.steps
        if isinstance(step.kernel, kernels.Neuron | kernels.Layer)
    }
    bounds = magnitudes(graph)
    proved = [
        longest_window(graph, node, bounds[source])
        for node in graph.nodes
        if isinstance(node.op, AnyNeuron) and states.get(node.name) == "i32"
        for source in graph.inputs_of(node.name)
    ]
    return min(proved, default=LARGEST)


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise ArtifactError(
            f"cpu/plan.json does not belong to the stored graph: it {reason}",
            hint="compile the model again",
        )
