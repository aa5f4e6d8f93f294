"""Compile LLVM IR to object code and load it with LLVM's JIT."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm

from snnc.native import amx
from snnc.native.cache import ObjectCache
from snnc.native.code import Machine


@dataclass(frozen=True)
class Host:
    """The processor that code is generated for.

    Attributes:
        cpu, features: LLVM's CPU name and feature string.
        triple: architecture and system; "" for those of this process.
    """

    cpu: str
    features: str
    triple: str = ""

    @property
    def machine(self) -> Machine:
        """The properties that code generation uses."""
        known = ("avx512f", "avx512vbmi2", "avx2", "avx512vnni", "neon", "amx-int8")
        wide, vbmi2, avx2, vnni, neon, tiles = (
            f"+{name}" in self.features.split(",") for name in known
        )
        return Machine(
            block=64 if wide else 32 if avx2 or neon else 16,
            compress=wide,
            compress_bytes=wide and vbmi2,
            units=8 if wide else 2 if avx2 or neon else 1,
            dot="vnni" if wide and vnni else "madd" if avx2 else "",
            tiles=tiles,
            architecture=self.full_triple.split("-")[0],
        )

    @property
    def full_triple(self) -> str:
        """Architecture and system."""
        return self.triple or llvm.get_process_triple()


@dataclass(frozen=True)
class Level:
    """A set of instructions that code can be restricted to, with all of the levels before it.

    Attributes:
        cpu: LLVM's name for a processor that has it.
        needs: features it adds; `may` have: features used where the processor has them.
    """

    cpu: str
    needs: tuple[str, ...]
    may: tuple[str, ...] = ()


TILES = ("amx-tile", "amx-int8")
"""Features that the system has to allow (`snnc.native.amx`)."""
LEVELS: Mapping[str, Level] = {
    "sse2": Level("x86-64", ("sse", "sse2")),
    "avx2": Level(
        "x86-64-v3", ("sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "avx", "avx2", "fma")
    ),
    "avx512": Level(
        "x86-64-v4", ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"), ("avx512vnni",)
    ),
    "amx": Level("x86-64-v4", TILES, ("avx512vbmi2",)),
}
"""From the least to the largest."""
NEON = Host("generic", "+neon", "aarch64-unknown-linux-gnu")
"""The least 64-bit ARM processor, for `assembly`."""


def host(level: str = "") -> Host:
    """The processor of this machine, restricted to a level of `LEVELS` if one is given.

    It has no tiles if the system refuses them to this process.

    Raises `ValueError` for a level that this processor does not reach, or that does not exist.
    """
    found = llvm.get_host_cpu_features()
    if any(found.get(name) for name in TILES) and not amx.allowed():
        found.update((name, False) for name in found if name.startswith("amx"))
    if not level:
        return Host(llvm.get_host_cpu_name(), found.flatten())
    if level not in LEVELS:
        raise ValueError(f"{level!r} is none of {', '.join(LEVELS)}")
    features = list[str]()
    for name, each in LEVELS.items():
        missing = [feature for feature in each.needs if not found.get(feature)]
        if missing:
            refused = " or the system refuses them" if missing[0] in TILES else ""
            raise ValueError(f"this processor lacks {', '.join(missing)}{refused}")
        features += [*each.needs, *(feature for feature in each.may if found.get(feature))]
        if name == level:
            break
    return _x86(level, features)


def largest(level: str) -> Host:
    """A processor that has all of a level of `LEVELS`, whatever this one has; for `assembly`."""
    levels = list(LEVELS)
    below = [LEVELS[name] for name in levels[: levels.index(level) + 1]]
    return _x86(level, [feature for each in below for feature in (*each.needs, *each.may)])


def _x86(level: str, features: Sequence[str]) -> Host:
    return Host(LEVELS[level].cpu, ",".join(f"+{feature}" for feature in features))


class Library:
    """Compiled functions; they live as long as this object.

    Args:
        text: a module as IR text, or what makes it.
        names: the functions to export.
        target: the processor.
        cache: where compiled objects are stored; None for no cache.
        identity: bytes that are equal only for equal texts, so that a stored object is found
            without making the text; None for the text itself.

    Attributes:
        compiled: False when the object came from the cache.
        target: the processor.
    """

    def __init__(
        self,
        text: str | Callable[[], str],
        names: Sequence[str],
        target: Host,
        cache: ObjectCache | None,
        identity: bytes | None = None,
    ) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        made = text if callable(text) and identity is not None else _text(text)
        key = _key(_text(made).encode() if identity is None else identity, target)
        image = cache.get(key) if cache else None
        self.compiled, self.target = image is None, target
        if image is None:
            image = _compile(_text(made), target)
            if cache:
                cache.put(key, image)
        self._jit = llvm.create_lljit_compiler(_machine(target, jit=True))
        builder = llvm.JITLibraryBuilder().add_object_img(image).add_current_process()
        for name in names:
            builder.export_symbol(name)
        self._tracker = builder.link(self._jit, "plan")

    def function(self, name: str, *arguments: Any) -> Callable[..., Any]:
        """A function returning nothing, with ctypes `arguments`. Calls release the GIL."""
        return ctypes.CFUNCTYPE(None, *arguments)(self._tracker[name])


def _text(text: str | Callable[[], str]) -> str:
    return text() if callable(text) else text


def _key(identity: bytes, target: Host) -> str:
    version = ".".join(map(str, llvm.llvm_version_info))
    parts = ("snnc-cpu-1", version, target.cpu, target.features)
    return hashlib.sha256("\0".join(parts).encode() + b"\0" + identity).hexdigest()


def assembly(text: str, target: Host) -> str:
    """The machine code of a module, as text, for a processor that need not be this one."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = _machine(target)
    return machine.emit_assembly(_optimized(text, machine))


def _machine(target: Host, jit: bool = False) -> Any:
    triple = llvm.Target.from_triple(target.full_triple)
    return triple.create_target_machine(
        cpu=target.cpu, features=target.features, opt=3, reloc="pic", jit=jit
    )


def _compile(text: str, target: Host) -> bytes:
    machine = _machine(target)
    return machine.emit_object(_optimized(text, machine))


def _optimized(text: str, machine: Any) -> Any:
    """The module, optimized for a target machine."""
    module = llvm.parse_assembly(text)
    module.verify()
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_unrolling = False  # the kernels hold their sums in registers already
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return module
