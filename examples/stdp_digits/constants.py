"""The constants of the network of Diehl and Cook (2015), and of its learning rule.

P. U. Diehl, M. Cook: Unsupervised learning of digit recognition using spike-timing-dependent
plasticity. Frontiers in Computational Neuroscience 9:99, 2015, and the authors' published script.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

PIXELS = 784
"""Inputs of the network: 28 x 28 pixels."""


@dataclass(frozen=True, kw_only=True)
class Neurons:
    """Equations of motion of both groups of neurons, in mV and ms.

        tau dv/dt = (rest - v) - ge v + gi (reversal - v)
        tau_ge dge/dt = -ge      tau_gi dgi/dt = -gi

    They are solved by exponential Euler with step `dt`: conductances are taken as they stand at
    its beginning. (Forward Euler overshoots and oscillates when many neurons inhibit at once.)
    `ge` and `gi` are conductances over the leak. The threshold of an excitatory neuron is
    `threshold_e` + theta; a spike adds `theta_plus` to theta, which decays with `theta_tau`.
    """

    dt: float = 0.5
    rest_e: float = -65.0
    reset_e: float = -65.0
    threshold_e: float = -72.0  # -52 mV, less the 20 mV that theta starts with
    tau_e: float = 100.0
    refractory_e: float = 5.0
    reversal_e: float = -100.0
    theta_start: float = 20.0
    theta_plus: float = 0.05
    theta_tau: float = 1e7
    rest_i: float = -60.0
    reset_i: float = -45.0
    threshold_i: float = -40.0
    tau_i: float = 10.0
    refractory_i: float = 2.0
    tau_ge: float = 1.0
    tau_gi: float = 2.0
    excite: float = 10.4  # from an excitatory neuron to its inhibitory one
    inhibit: float = 17.0  # from an inhibitory neuron to all other excitatory ones

    def factor(self, tau: float) -> float:
        """What is left after one step of what decays with `tau`."""
        return math.exp(-self.dt / tau)

    def steps(self, time: float) -> int:
        """A time in steps."""
        return round(time / self.dt)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Power-law weight-dependent STDP, on every spike of the postsynaptic neuron:

        w += eta (x - offset) (w_max - w)^mu,      kept within 0..w_max = 1

    where x, the trace of the input, decays with `tau` ms; a spike of the input adds 1 to it or,
    unless `additive`, sets it to 1. An input spike of the same step counts. There is no update
    on presynaptic spikes.
    """

    eta: float = 5e-4
    offset: float = 0.4
    mu: float = 0.2
    tau: float = 20.0
    additive: bool = True
    column_sum: float = 78.0


@dataclass(frozen=True, kw_only=True)
class Presentation:
    """How an image is shown: Poisson spikes of pixel / 8 * intensity Hz, then silence (ms).

    With fewer than `enough` spikes of excitatory neurons, it is shown again with `intensity` + 1.
    """

    shown: float = 350.0
    rest: float = 150.0
    intensity: int = 2
    enough: int = 5
    largest_intensity: int = 40
