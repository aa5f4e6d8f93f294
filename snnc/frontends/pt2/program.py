"""A program of torch.export as a graph of operators, from its JSON."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from snnc.errors import ModelError, UsageError
from snnc.frontends.exported_graph import annotate, zeros
from snnc.frontends.inference import check_finite
from snnc.frontends.pt2.archive import AGAIN, read_archive
from snnc.frontends.pt2.expressions import check_guards, symbol
from snnc.frontends.pt2.operators import operator_of
from snnc.frontends.pt2.tensors import TYPES, read_tensors
from snnc.frontends.shapes import BATCHES, Traced, observe
from snnc.frontends.tracer import VALUE

_NAME = re.compile(r"[\w.+\-/:> ]+", re.ASCII)
_MEMORY = {1: torch.contiguous_format, 2: torch.channels_last, 4: torch.preserve_format}
_PLAIN = {"as_int": int, "as_float": (int, float), "as_bool": bool, "as_string": str}
_TENSORS = {
    "parameter": "parameter_name",
    "buffer": "buffer_name",
    "tensor_constant": "tensor_constant_name",
}


@dataclass(frozen=True)
class Program:
    """A program that a file holds.

    Attributes:
        file: the model, as the user named it.
        operations: its operators, for the import.
        shape: of one sample.
        batch: the only size of batch it takes; None for any.
    """

    file: str
    operations: Traced
    shape: tuple[int, ...]
    batch: int | None


def read_program(file: str) -> Program:
    """The program in `file`. Nothing of it is evaluated, imported or unpickled.

    Raises `ModelError` for a file that is damaged, of another schema, or holds what a network does
    not need.
    """
    try:
        archive = read_archive(file)
        document, tensors = archive.program(), read_tensors(archive)
        check_guards(document.get("guards_code") or [], file)
        check_finite(tensors, file)
        return _read(file, document["graph_module"], tensors)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        raise ModelError(f"{file} is damaged: its program cannot be read", hint=AGAIN) from error
    except (RuntimeError, MemoryError) as error:  # raised by torch
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{file} is damaged: {reason}", hint=AGAIN) from error


def _read(file: str, module: Any, tensors: Mapping[str, Tensor]) -> Program:
    lifted, inputs = _inputs(file, module["signature"]["input_specs"], tensors)
    if len(inputs) != 1:
        raise ModelError(
            f"{file} takes {len(inputs)} inputs ({', '.join(inputs)}); a network takes one",
            hint="export a network of one input, joined by torch.cat and split in forward",
        )
    shape, batch, free = _input_type(file, module["graph"]["tensor_values"][inputs[0]])
    sizes = BATCHES if batch is None else (batch, batch)
    graphs = [_Reader(file, module, lifted, n, free).graph() for n in dict.fromkeys(sizes)]
    for graph in graphs:
        annotate(graph, file)
    seen = observe(graphs[0], graphs[-1], file, sizes)
    return Program(file, Traced(graphs[0], seen, dict(tensors)), shape, batch)


def _inputs(
    file: str, specs: Any, tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors that inputs of the graph stand for, and the names of the other inputs."""
    lifted: dict[str, Tensor] = {}
    inputs: list[str] = []
    for spec in specs:
        ((kind, entry),) = spec.items()
        if kind in _TENSORS:
            name = entry[_TENSORS[kind]]
            if not _NAME.fullmatch(name):
                raise ModelError(f"{file} has a tensor called {ascii(name)[:40]}", hint=AGAIN)
            lifted[entry["arg"]["name"]] = tensors[name]
        elif kind == "user_input" and "as_tensor" in entry["arg"]:
            inputs.append(entry["arg"]["as_tensor"]["name"])
        elif kind not in ("user_input", "constant_input"):
            raise ModelError(f"{file} has an input of kind {ascii(kind)[:40]}", hint=AGAIN)
    return lifted, inputs


def _input_type(file: str, meta: Any) -> tuple[tuple[int, ...], int | None, str | None]:
    """The shape of a sample, the only size of batch, and the name of a free one."""
    first, *rest = meta["sizes"]
    if not rest or not all("as_int" in size for size in rest):
        raise ModelError(
            f"{file} takes samples of no fixed shape",
            hint="export it with a batch (N, *shape) of which at most N is dynamic",
        )
    if not TYPES[meta["dtype"]].is_floating_point:
        raise ModelError(f"{file} takes integers", hint="export it with an example of floats")
    shape = tuple(int(size["as_int"]) for size in rest)
    if "as_int" in first:
        return shape, int(first["as_int"]), None
    return shape, None, symbol(first["as_expr"]["expr_str"], file)


def require_shape(program: Program, shape: tuple[int, ...] | None) -> None:
    """Raise `UsageError` if the user gives another shape than the program has."""
    if shape is not None and shape != program.shape:
        shown = ",".join(map(str, program.shape))
        raise UsageError(
            f"{program.file} takes samples of shape {shown}", hint="leave the flag out"
        )


@dataclass
class _Reader:
    """One reading of a program, for batches of `batch` samples."""

    file: str
    module: Any
    lifted: dict[str, Tensor]
    batch: int
    free: str | None
    nodes: dict[str, fx.Node] = field(default_factory=dict[str, fx.Node])
    made: fx.Graph = field(default_factory=fx.Graph)

    def graph(self) -> fx.Graph:
        source = self.module["graph"]
        self._check_sizes(source)
        for each in source["inputs"]:
            if "as_tensor" in each:
                self._input(each["as_tensor"]["name"])
        for node in source["nodes"]:
            self._call(node)
        specs = self.module["signature"]["output_specs"]
        outputs = [spec["user_output"]["arg"] for spec in specs if "user_output" in spec]
        self.made.output(tuple(self._argument(output) for output in outputs))
        return self.made

    def _check_sizes(self, source: Any) -> None:
        """Refuse texts of sizes that would be code, wherever they are, used or not."""
        for value in source["sym_int_values"].values():
            self._size(value)
        for meta in source["tensor_values"].values():
            for size in (*meta["sizes"], *meta["strides"], meta["storage_offset"]):
                self._size(size)
        for each in ("sym_bool_values", "sym_float_values"):
            for value in source[each].values():
                if "as_expr" in value:
                    symbol(value["as_expr"]["expr_str"], self.file)
        if source["custom_obj_values"]:
            raise ModelError(f"{self.file} holds objects beside tensors", hint=AGAIN)

    def _size(self, size: Any) -> int | None:
        """A size; None for one that is computed from that of the batch."""
        if "as_int" in size:
            return int(size["as_int"])
        name = symbol(size["as_expr"]["expr_str"], self.file)
        return self.batch if name is not None and name == self.free else None

    def _input(self, name: str) -> None:
        if name in self.lifted:
            node = self.made.create_node("get_attr", name)
            node.meta[VALUE] = self.lifted[name]
        else:
            node = self.made.create_node("placeholder", name)
            node.meta[VALUE] = self._zeros(name)
        self.nodes[name] = node

    def _zeros(self, name: str) -> Tensor | None:
        meta = self.module["graph"]["tensor_values"][name]
        sizes = [self._size(size) for size in meta["sizes"]]
        known = tuple(size for size in sizes if size is not None)
        return zeros(known) if len(known) == len(sizes) else None

    def _call(self, source: Any) -> None:
        target = operator_of(source["target"], self.file)
        given = [(each, self._argument(each["arg"])) for each in source["inputs"]]
        args = tuple(value for each, value in given if each.get("kind", 1) == 1)
        kwargs = {each["name"]: value for each, value in given if each.get("kind", 1) != 1}
        node = self.made.create_node("call_function", target, args, kwargs)
        node.meta |= _places(source.get("metadata") or {})
        results = source["outputs"]
        if len(results) == 1 and "as_tensors" in results[0]:
            self._results(node, results[0]["as_tensors"])
        elif len(results) == 1:
            self._result(node, results[0])
        else:
            self._results(node, [each.get("as_tensor", each) for each in results])

    def _result(self, node: fx.Node, result: Any) -> None:
        if "as_tensor" in result:
            node.meta[VALUE] = self._zeros(result["as_tensor"]["name"])
            self.nodes[result["as_tensor"]["name"]] = node
        elif "as_sym_int" in result:
            self.nodes[result["as_sym_int"]["as_name"]] = node

    def _results(self, node: fx.Node, results: list[Any]) -> None:
        node.meta[VALUE] = [self._zeros(each["name"]) for each in results if "name" in each]
        for i, each in enumerate(results):
            if "name" in each:
                part = self.made.create_node("call_function", operator.getitem, (node, i))
                part.meta |= {**node.meta, VALUE: self._zeros(each["name"])}
                self.nodes[each["name"]] = part

    def _argument(self, argument: Any) -> Any:
        ((kind, value),) = argument.items()
        if kind in ("as_tensor", "as_sym_int"):
            return value["as_int"] if "as_int" in value else self.nodes[_name(value)]
        if kind in ("as_tensors", "as_sym_ints", "as_optional_tensors"):
            return [self._argument(_whole(kind, each)) for each in value]
        if kind == "as_none":
            return None
        if kind == "as_scalar_type":
            read = TYPES[value]
            return torch.float32 if read.is_floating_point else read
        if kind == "as_memory_format":
            return _MEMORY[value]
        if kind == "as_device":
            return torch.device("cpu")
        if kind == "as_layout":
            return torch.strided
        single = _PLAIN.get(kind) or _PLAIN.get(kind.removesuffix("s"))
        values = value if kind not in _PLAIN else [value]
        if single is None or not all(isinstance(each, single) for each in values):
            raise ModelError(f"{self.file} has an argument of kind {ascii(kind)[:40]}", hint=AGAIN)
        return value


def _name(value: Any) -> str:
    return value["name"] if "name" in value else value["as_name"]


def _whole(kind: str, entry: Any) -> Any:
    """An entry of a list as an argument by itself."""
    if kind == "as_optional_tensors":
        return entry
    return {"as_tensor" if kind == "as_tensors" else "as_sym_int": entry}


def _places(metadata: Any) -> dict[str, Any]:
    """The stack traces of a node, as torch.export gives them in a process."""
    stack = _printable(metadata.get("nn_module_stack", ""))
    frames = [frame.rsplit(",", 2) for frame in stack.split(";") if frame.count(",") >= 2]
    modules = {key: (path, kind) for key, path, kind in frames}
    trace = _printable(metadata.get("stack_trace", ""))
    return {"nn_module_stack": modules, "stack_trace": trace}


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
