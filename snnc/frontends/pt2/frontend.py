"""The frontend for programs of torch.export: `torch.export.save(program, "model.pt2")`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from snnc.errors import UsageError
from snnc.frontends.base import Reference
from snnc.frontends.loading import check_shape, is_exported_program

if TYPE_CHECKING:
    from snnc.frontends.pt2.program import Program
    from snnc.ir import Graph


class Pt2Frontend:
    """A file that `torch.export.save(program, path)` wrote: `model.pt2`.

    It is read as data: the operators by name from a list, the weights from their bytes. torch's own
    loader, which can run code of a file, is not used; so no class is needed and nothing of the file
    is run. The file holds the shape of the input and the weights, so `--input-shape` and
    `--weights` are not needed.
    """

    name: ClassVar[str] = "pt2"

    def matches(self, reference: str) -> bool:
        """True for an archive that torch.export saved."""
        return is_exported_program(reference)

    def load(
        self,
        reference: str,
        *,
        weights: Path | None = None,
        input_shape: tuple[int, ...] | None = None,
        allow: Sequence[str] = (),
    ) -> Graph:
        """The graph of the program. Raises `UsageError`, `ModelError`, `UnsupportedError`."""
        check_shape(input_shape)
        program = _read(reference, weights)
        from snnc.frontends.canonicalize import canonicalize
        from snnc.frontends.check import check_same
        from snnc.frontends.pt2.program import require_shape
        from snnc.frontends.pt2.running import as_function

        require_shape(program, input_shape)
        imported = canonicalize(program.operations, program.shape, reference)
        check_same(imported, as_function(program))
        return imported.graph

    def reference(
        self, reference: str, *, weights: Path | None = None, allow: Sequence[str] = ()
    ) -> Reference:
        """The program, by torch's operators. Raises `UsageError`, `ModelError`."""
        program = _read(reference, weights)
        from snnc.frontends.pt2.running import as_function

        return as_function(program)


def _read(reference: str, weights: Path | None) -> Program:
    if weights is not None:
        raise UsageError(f"{reference} holds its weights", hint="leave --weights out")
    from snnc.frontends.pt2.program import read_program

    return read_program(reference)
