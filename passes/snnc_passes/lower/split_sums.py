"""Let weighted layers take activations, where they take sums of them, which are currents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from snnc.ir import (
    Add,
    AvgPool,
    Concat,
    Graph,
    Identity,
    Node,
    Op,
    Pool,
    Rearrange,
    Relu,
    Scale,
    Shape,
    Stage,
    SumPool,
    Weighted,
)
from snnc.ir.walk import descendants, rewrite, used_once
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes._max_pools import only_user
from snnc_passes._scales.affine import (
    Affine,
    Floats,
    affine_of,
    combine,
    compose,
    fold_into_outputs,
    own_param,
    scale_op,
)
from snnc_passes._scales.events import event_kinds
from snnc_passes._scales.scale_propagation import ScalePropagation, sink_past_maxima

MOVING = (AvgPool, SumPool, Rearrange, Scale)
"""Linear ops that may lie between a sum and a weighted layer, or an activation and a sum."""


@dataclass(frozen=True, kw_only=True)
class SplitSums(Pass):
    """Let weighted layers take activations, where they take sums of them: W(x + y) = W x + W y.

    A sum is a current, and a layer on a current (S6) can be neither rounded to integers nor put on
    a crossbar; each of its terms, an activation and a factor, becomes spikes. So a LeakyReLU,
    relu(x) - a relu(-x), is two populations, whose spikes both go into the next layers. A factor
    between a layer and an activation goes into a copy of the layer, if it has other users too: the
    negative population has its own weights. Pieces of a sum that are concatenated (padding with
    elements of the edge) stay a sum. A factor of a concatenation of currents, before an
    activation (the batch norms of a DenseNet), moves behind it, for its layers have other users:
    relu(f x + b) = |f| relu(sign(f) x + b / |f|). Signs and biases need no weights (S19). Terms of
    one source are one term: f x + g x = (f + g) x.

    Metrics: `factors`, those moved into layers or behind activations; `split`, layers and pools
    that took sums.
    """

    name = "split-sums"
    takes = Stage.ANN
    gives = Stage.ANN
    preserves_function = True

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Split; other layers on currents are left as they are."""
        factors = rewrite(graph, _merge, _like_terms)
        factors += rewrite(graph, _merge, _factor_of_sum, _factor_of_layer, _factor_of_join)
        shapes = {name: kind.shape for name, kind in graph.types().items()}
        sink_past_maxima(graph, ScalePropagation(graph, shapes))
        split = rewrite(graph, _split, _sum_of_joins)
        graph.prune_params()
        return PassResult(graph, metrics={"factors": factors, "split": split})


def _merge(graph: Graph, node: Node) -> bool:
    """Let a factor of a factor take what that takes, if it is its only user or mirrors it."""
    if not isinstance(node.op, Scale) or not _used_by(graph, node, Relu, Scale, Add):
        return False
    first = graph.node(node.inputs[0])
    if not isinstance(first.op, Scale):
        return False
    one, other = affine_of(graph, first.op), affine_of(graph, node.op)
    if not used_once(graph, first.name) and not np.all(other.factor == -1):
        return False
    affine = compose(one, other, graph.type_of(node.name).shape)
    graph.set_input(node.name, 0, first.inputs[0])
    graph.replace_op(node.name, scale_op(graph, node.name, affine), origins=[first.name])
    if not first.users and first.name not in graph.outputs:
        graph.remove(first.name)
    return True


def _like_terms(graph: Graph, node: Node) -> bool:
    """f x + g x = (f + g) x, where one of the terms has a factor."""
    if not isinstance(node.op, Add):
        return False
    terms = [_term(graph, name) for name in node.inputs]
    alike: dict[str, list[Affine]] = {}
    for source, affine in terms:
        alike.setdefault(source, []).append(affine)
    source = next((s for s, affines in alike.items() if _any_factor(affines)), None)
    if source is None:
        return False
    shape = graph.type_of(node.name).shape
    rest = [name for name, (of, _) in zip(node.inputs, terms, strict=True) if of != source]
    before, name = set(node.inputs), graph.fresh(f"{node.name}.like")
    op = scale_op(graph, name, _total(alike[source], shape))
    new = graph.add(name, op, [source], loc=node.loc, origins=[node.name])
    if rest:
        new = graph.add(graph.fresh(f"{node.name}.sum"), Add(), [*rest, new], loc=node.loc)
    _replace(graph, node, new)
    for term in before - {source, *rest}:
        if not graph.users_of(term) and term not in graph.outputs:
            graph.remove(term)
    return True


def _term(graph: Graph, name: str) -> tuple[str, Affine]:
    """A node as a map of another one: that behind a Scale, else itself."""
    op = graph.node(name).op
    if isinstance(op, Scale):
        return graph.inputs_of(name)[0], affine_of(graph, op)
    return name, Affine(np.ones(()))


def _any_factor(affines: Sequence[Affine]) -> bool:
    return len(affines) > 1 and not all(affine.is_identity for affine in affines)


def _total(affines: Sequence[Affine], shape: Shape) -> Affine:
    """The sum of maps of one sample."""

    def added(arrays: Sequence[Floats]) -> Floats:
        return reduce(lambda a, b: combine(np.add, a, b, shape), arrays)

    biases = [affine.bias for affine in affines if affine.bias is not None]
    return Affine(added([affine.factor for affine in affines]), added(biases) if biases else None)


def _factor_of_sum(graph: Graph, node: Node) -> bool:
    """f (x + y) = f x + f y before an activation or a sum."""
    if not isinstance(node.op, Scale) or not _used_by(graph, node, Relu, Add):
        return False
    total = graph.node(node.inputs[0])
    if not isinstance(total.op, Add):
        return False
    _distribute(graph, node, total)
    return True


def _factor_of_layer(graph: Graph, node: Node) -> bool:
    """Put a factor behind a weighted layer, and before an activation or a sum, into the layer."""
    if not isinstance(node.op, Scale) or not _used_by(graph, node, Relu, Add):
        return False
    layer = graph.node(node.inputs[0])
    affine = affine_of(graph, node.op)
    if not isinstance(layer.op, Weighted) or affine.factor.ndim > 1:
        return False
    if only_user(graph, layer.name) == node.name:
        fold_into_outputs(graph, layer.name, affine)
        graph.replace_op(layer.name, graph.node(layer.name).op, origins=[node.name])
        graph.bypass(node.name)
        return True
    graph.set_input(node.name, 0, layer.inputs[0])
    graph.replace_op(node.name, layer.op, origins=[layer.name])
    fold_into_outputs(graph, node.name, affine)
    return True


def _factor_of_join(graph: Graph, node: Node) -> bool:
    """Move a factor behind the activations that use it, where it is not that of one layer."""
    if not isinstance(node.op, Scale) or not _used_by(graph, node, Relu):
        return False
    source = graph.node(node.inputs[0])
    affine = affine_of(graph, node.op)
    size = np.where(affine.factor == 0, 1.0, np.abs(affine.factor))
    if not isinstance(source.op, MOVING) or size.ndim > 1 or np.all(size == 1):
        return False
    if _of_one_layer(graph, source) or source.name in event_kinds(graph):
        return False
    shape = graph.type_of(node.name).shape
    bias = None if affine.bias is None else combine(np.divide, affine.bias, size, shape)
    signs = Affine(np.sign(affine.factor), bias)
    graph.replace_op(node.name, scale_op(graph, node.name, signs))
    for user, _ in node.users:
        _scale_activation(graph, user, size)
    return True


def _of_one_layer(graph: Graph, node: Node) -> bool:
    """Whether the values are those of one layer, moved, with no other users: it takes factors."""
    while isinstance(node.op, MOVING) and len(node.inputs) == 1 and used_once(graph, node.name):
        node = graph.node(node.inputs[0])
    return isinstance(node.op, Weighted) and used_once(graph, node.name)


def _scale_activation(graph: Graph, name: str, size: Floats) -> None:
    """Take the activation of an input that was divided by `size`; `name` stays what it was."""
    op = graph.node(name).op
    assert isinstance(op, Relu)
    before = graph.fresh(f"{name}.unit")
    if op.upper is not None:
        upper = np.divide(graph.array(op.upper), size)
        bound = float(upper) if upper.ndim == 0 else own_param(graph, before, "upper", upper)
        op = replace(op, upper=bound)
    graph.insert_before(name, 0, before, op)
    graph.replace_op(name, scale_op(graph, name, Affine(size)))


def _split(graph: Graph, node: Node) -> bool:
    """Apply a weighted layer, or what leads to one, to every term of a sum of activations."""
    if not isinstance(node.op, (Weighted, *MOVING)) or len(node.inputs) != 1:
        return False
    total = graph.node(node.inputs[0])
    if not isinstance(total.op, Add) or not _leads_to_layer(graph, node):
        return False
    if not all(_fires(graph, graph.node(term)) for term in total.inputs):
        return False
    _distribute(graph, node, total)
    return True


def _distribute(graph: Graph, node: Node, total: Node) -> None:
    """Replace a linear op of one input, `total`, by the sum of it on every term of `total`."""
    parts: list[str] = []
    for number, term in enumerate(total.inputs):
        op = node.op
        if number and isinstance(op, Weighted | Scale):
            op = replace(op, bias=None)
        name = graph.fresh(f"{node.name}.{number}")
        parts.append(graph.add(name, op, [term], loc=node.loc, origins=[node.name]))
    _replace(graph, node, graph.add(graph.fresh(f"{node.name}.sum"), Add(), parts, loc=node.loc))
    if not total.users and total.name not in graph.outputs:
        graph.remove(total.name)


def _sum_of_joins(graph: Graph, node: Node) -> bool:
    """Concatenate sums of as many activations term by term: pieces of one sum, joined anew."""
    sums = [graph.node(source) for source in node.inputs]
    if not isinstance(node.op, Concat) or not all(isinstance(each.op, Add) for each in sums):
        return False
    terms = [term for each in sums for term in each.inputs]
    alike = len({len(each.inputs) for each in sums}) == 1
    if not alike or not _leads_to_layer(graph, node):
        return False
    if not all(_fires(graph, graph.node(term)) for term in terms):
        return False
    parts: list[str] = []
    for number, sources in enumerate(zip(*(each.inputs for each in sums), strict=True)):
        name = graph.fresh(f"{node.name}.{number}")
        parts.append(graph.add(name, node.op, sources, loc=node.loc, origins=[node.name]))
    _replace(graph, node, graph.add(graph.fresh(f"{node.name}.sum"), Add(), parts, loc=node.loc))
    for each in {each.name: each for each in sums}.values():
        if not each.users and each.name not in graph.outputs:
            graph.remove(each.name)
    return True


def _replace(graph: Graph, node: Node, new: str) -> None:
    """Let the users of a node take a new one, and remove it."""
    for user, port in node.users:
        graph.set_input(user, port, new)
    graph.outputs = tuple(new if name == node.name else name for name in graph.outputs)
    graph.remove(node.name)


def _used_by(graph: Graph, node: Node, *kinds: type[Op]) -> bool:
    """Whether a node has users, all of these kinds, and is no output."""
    users = [graph.node(user).op for user, _ in node.users]
    return (
        bool(users) and node.name not in graph.outputs and all(isinstance(u, kinds) for u in users)
    )


def _leads_to_layer(graph: Graph, node: Node) -> bool:
    """Whether a node is a weighted layer, or one follows behind linear ops and sums."""
    if isinstance(node.op, Weighted):
        return True
    behind = descendants(graph, node.name, until=lambda n: not isinstance(n.op, (Add, *MOVING)))
    return any(isinstance(graph.node(name).op, Weighted) for name in behind)


def _fires(graph: Graph, node: Node) -> bool:
    """Whether a node is an activation, or a factor, a pool or elements of activations only."""
    if isinstance(node.op, Relu | Identity):
        return True
    passes = isinstance(node.op, Scale | Pool | Rearrange)
    return passes and all(_fires(graph, graph.node(source)) for source in node.inputs)
