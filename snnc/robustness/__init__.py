"""How robust a network is against small changes of its input, measured by attacks."""

from snnc.robustness.attack import Attack, Budget
from snnc.robustness.evaluation import RANDOM_DRAWS, Evaluation, Made, Store, chosen, evaluate
from snnc.robustness.methods import METHODS, Method, PerPopulation
from snnc.robustness.network import DifferentiableNetwork, Target
from snnc.robustness.report import TRANSFER, AttackResult, RobustnessReport
from snnc.robustness.surrogates import AdaptiveSharpness, PotentialDependent

__all__ = [
    "METHODS",
    "RANDOM_DRAWS",
    "TRANSFER",
    "AdaptiveSharpness",
    "Attack",
    "AttackResult",
    "Budget",
    "DifferentiableNetwork",
    "Evaluation",
    "Made",
    "Method",
    "PerPopulation",
    "PotentialDependent",
    "RobustnessReport",
    "Store",
    "Target",
    "chosen",
    "evaluate",
]
