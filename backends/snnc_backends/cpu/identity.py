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
    sources = [
        path
        for folder in (Path(__file__).parent, Path(snnc.native.__file__).parent)
        for path in sorted(folder.rglob("*.py"))
    ]
    if not sources:
        return None
    digest = hashlib.sha256(repr((replace(plan, timesteps=1, longest=1), shares)).encode())
    for path in sources:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.digest()
