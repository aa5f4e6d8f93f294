"""How the threads that torch computes with wait for each other while a command runs."""

from __future__ import annotations

from collections.abc import MutableMapping

SPINS = "GOMP_SPINCOUNT"
POLICY = "OMP_WAIT_POLICY"
FEW = 10_000
"""How often a waiting thread looks before it sleeps: 0.1 ms, measured on a Sapphire Rapids."""


def wait_briefly(environment: MutableMapping[str, str]) -> None:
    """Let threads that wait for others sleep early, so that commands share a machine with others.

    GNU OpenMP, which torch for Linux brings, lets a thread look 300,000 times, 3 ms. Where other
    programs use the cores, the thread it waits for often does not run, and that time is lost at
    every wait: a conversion took more than twice as long (benchmarks/README.md). The library reads
    its settings once, when torch is imported; what is set in `environment` stays.
    """
    if POLICY not in environment:
        environment.setdefault(SPINS, str(FEW))
