"""FGSM, PGD, APGD and Square, by the Adversarial Robustness Toolbox (extra `robust`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from snnc.errors import UsageError
from snnc.robustness.attack import Budget, Labels
from snnc.robustness.network import DifferentiableNetwork, Images

STEP = 2.5
"""An iterative attack can go this many times eps in all (Madry et al., 2018)."""


def fgsm(network: DifferentiableNetwork, x: Images, y: Labels, budget: Budget) -> Images:
    """One step of eps along the sign of the gradient (Goodfellow et al., 2015)."""
    return _made("FastGradientMethod", network, x, y, budget)


def pgd(network: DifferentiableNetwork, x: Images, y: Labels, budget: Budget) -> Images:
    """Projected gradient steps from random starts (Madry et al., 2018)."""
    return _made(
        "ProjectedGradientDescentPyTorch",
        network,
        x,
        y,
        budget,
        eps_step=min(budget.eps, STEP * budget.eps / budget.steps),
        max_iter=budget.steps,
        num_random_init=budget.restarts,
        verbose=False,
    )


def apgd(network: DifferentiableNetwork, x: Images, y: Labels, budget: Budget) -> Images:
    """Auto-PGD with the cross-entropy: step sizes by progress (Croce & Hein, 2020)."""
    return _made(
        "AutoProjectedGradientDescent",
        network,
        x,
        y,
        budget,
        eps_step=2 * budget.eps,
        max_iter=budget.steps,
        nb_random_init=budget.restarts,
        loss_type="cross_entropy",
        verbose=False,
    )


def square(network: DifferentiableNetwork, x: Images, y: Labels, budget: Budget) -> Images:
    """Random squares, kept where they help; uses no gradient (Andriushchenko et al., 2020)."""
    return _made(
        "SquareAttack",
        network,
        x,
        y,
        budget,
        max_iter=budget.steps,
        nb_restarts=budget.restarts,
        verbose=False,
    )


def _made(
    name: str,
    network: DifferentiableNetwork,
    x: Images,
    y: Labels,
    budget: Budget,
    **options: Any,
) -> Images:
    """What the attack of the toolbox called `name` makes of a batch, with seeded random numbers.

    The toolbox draws from the global generators of numpy and torch, whose states are put back.
    Raises `UsageError` without the toolbox.
    """
    evasion, estimators = _toolbox()
    classes = _classes(network, x)
    classifier = estimators.PyTorchClassifier(
        model=network,
        loss=torch.nn.CrossEntropyLoss(),
        input_shape=x.shape[1:],
        nb_classes=classes,
        clip_values=budget.bounds,
        device_type="cpu",
    )
    state = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        np.random.seed(budget.seed % 2**32)
        torch.manual_seed(budget.seed)
        try:
            attack = getattr(evasion, name)(
                classifier, eps=budget.eps, batch_size=len(x), **options
            )
            made = attack.generate(x=x, y=np.eye(classes, dtype=np.float32)[y])
        finally:
            np.random.set_state(state)
    return budget.clipped(made, x)


def _classes(network: DifferentiableNetwork, x: Images) -> int:
    with torch.no_grad():
        return network(torch.from_numpy(x[:1])).shape[1]


def _toolbox() -> tuple[Any, Any]:
    """The attacks and the estimators of the toolbox. Raises `UsageError` without it."""
    try:
        from art.attacks import evasion
        from art.estimators import classification
    except ImportError:
        raise UsageError(
            "this attack needs the Adversarial Robustness Toolbox",
            hint="pip install 'snnc[robust]'; the methods adaptive, potential and noise need none",
        ) from None
    return evasion, classification
