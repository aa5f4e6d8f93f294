"""Graphs and plans that were compared before, by their content, in the user's cache."""

from __future__ import annotations

import hashlib
from pathlib import Path

import snnc
from snnc.target import Artifact
from snnc_backends.cpu.identity import sources_digest
from snnc_backends.cpu.plan import Plan

_READ = ("manifest.json", "graph.json", "tensors.safetensors")
"""The members that a graph is made of."""
_READERS = ("artifact", "ir")
"""The folders of snnc whose modules read and verify it."""


def comparison_key(plan: Plan, artifact: Artifact, mode: str) -> str | None:
    """A text that is equal only for the same plan, graph, mode, and program that compares them.

    It is made from digests of what is read now, and says nothing of whether they fit. None where
    the sources of the program are not there as files.
    """
    home = Path(snnc.__file__).parent
    sources = sources_digest(*(home / folder for folder in _READERS))
    if sources is None:
        return None
    digest = hashlib.sha256(f"snnc-cpu-compared-1 {mode}\0".encode() + sources)
    digest.update(hashlib.sha256(repr(plan).encode()).digest())
    for name in _READ:
        digest.update(artifact.digest(name))
    return digest.hexdigest()
