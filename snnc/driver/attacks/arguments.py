"""The arguments of an attack."""

from __future__ import annotations

from dataclasses import dataclass, field

from snnc.attack_options import AttackOptions
from snnc.driver.job import Reporting
from snnc.options import MEANING, Data


@dataclass(frozen=True, kw_only=True)
class AttackArguments(Reporting, AttackOptions):
    """The arguments of `attack` behind the network."""

    data: Data = field(kw_only=False, metadata={MEANING: "inputs with class numbers."})
