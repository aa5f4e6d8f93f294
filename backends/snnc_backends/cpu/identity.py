"""What the machine code of a plan depends on, without making the code."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import snnc.native
from snnc_backends.cpu.plan import Plan


def identity(plan: Plan, shares: bool = False) -> bytes | None:
    """Bytes that are equal only for plans and programs that give the same IR text for a machine.

    `shares`: whether threads share a sample.

    They are a digest of the plan and of the source of all modules that write code, so that a
    changed program finds no object of another one; None where the sources are not there as files.
    """
    sources = sources_digest(Path(snnc.native.__file__).parent)
    if sources is None:
        return None
    plain = repr((replace(plan, timesteps=1, longest=1), shares)).encode()
    return hashlib.sha256(sources + plain).digest()


def sources_digest(*folders: Path) -> bytes | None:
    """A digest of all modules of this backend and in `folders`; None if they are not files."""
    paths = [
        path
        for folder in (Path(__file__).parent, *folders)
        for path in sorted(folder.rglob("*.py"))
    ]
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.digest() if paths else None
