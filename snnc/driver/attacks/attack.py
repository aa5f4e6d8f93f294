"""Attack an artifact or a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from snnc.driver.attacks.arguments import AttackArguments
from snnc.driver.keywords import keywords_of
from snnc.driver.threads import torch_threads

if TYPE_CHECKING:
    from snnc.robustness import RobustnessReport


@keywords_of(AttackArguments)
def attack(network: str | Path, options: AttackArguments) -> RobustnessReport:
    """Attack a network, and judge what the attacks made as the network runs.

    Args:
        network: a compiled `.snnc` file, or a model (`net.py:factory`, …), which is attacked as it
            is, an ANN.

    Raises:
        UsageError, DataError, ArtifactError, ModelError.
    """
    from snnc.driver.attacks.networks import run_attack

    with torch_threads(options.threads):
        return run_attack(str(network), options)
