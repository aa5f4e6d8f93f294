"""The network of examples/stdp_digits in numpy: every neuron and synapse in every step."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class PlainNetwork:
    """State and one step of the equations; `neurons` and `rule` are those of the example.

    Attributes:
        w: (inputs, count) weights; `plastic`, of the same shape, is True where they learn.
    """

    def __init__(self, w: Array, plastic: NDArray[np.bool_], neurons: Any, rule: Any) -> None:
        self.w, self.plastic, self.m, self.rule = w.copy(), plastic, neurons, rule
        inputs, n = w.shape
        self.theta = np.full(n, neurons.theta_start)
        self.v_e, self.v_i = np.full(n, neurons.rest_e), np.full(n, neurons.rest_i)
        self.ge_e, self.gi_e, self.ge_i = np.zeros(n), np.zeros(n), np.zeros(n)
        self.last_e, self.last_i = np.full(n, -1000), np.full(n, -1000)
        self.trace = np.zeros(inputs)
        self.t = 0

    def normalise(self) -> None:
        """Scale all columns to the sum of the rule; cut them off at 1."""
        self.w = np.minimum(self.w * (self.rule.column_sum / self.w.sum(0)), 1)

    def step(self, fired: NDArray[np.int32], learn: bool) -> NDArray[np.intp]:
        """One step with the inputs that fire; the excitatory neurons that do."""
        m, rule = self.m, self.rule
        active = self.t - self.last_e >= m.refractory_e / m.dt
        a = 1 + self.ge_e + self.gi_e
        goal = (m.rest_e + self.gi_e * m.reversal_e) / a
        moved = goal + (self.v_e - goal) * np.exp(-a * m.dt / m.tau_e)
        self.v_e = np.where(active, moved, self.v_e)
        awake = self.t - self.last_i >= m.refractory_i / m.dt
        a = 1 + self.ge_i
        moved = m.rest_i / a + (self.v_i - m.rest_i / a) * np.exp(-a * m.dt / m.tau_i)
        self.v_i = np.where(awake, moved, self.v_i)
        self.ge_e *= np.exp(-m.dt / m.tau_ge)
        self.ge_i *= np.exp(-m.dt / m.tau_ge)
        self.gi_e *= np.exp(-m.dt / m.tau_gi)
        self.trace *= np.exp(-m.dt / rule.tau)
        if learn:
            self.theta *= np.exp(-m.dt / m.theta_tau)
        spiked = np.flatnonzero(active & (self.v_e > m.threshold_e + self.theta))
        inhibiting = np.flatnonzero(awake & (self.v_i > m.threshold_i))

        self.ge_e += self.w[fired].sum(0)
        self.trace[fired] = self.trace[fired] + 1 if rule.additive else 1
        self.ge_i[spiked] += m.excite
        self.gi_e += m.inhibit * len(inhibiting)
        self.gi_e[inhibiting] -= m.inhibit
        if learn:
            self._learn(spiked)
            self.theta[spiked] += m.theta_plus
        self.v_e[spiked], self.last_e[spiked] = m.reset_e, self.t
        self.v_i[inhibiting], self.last_i[inhibiting] = m.reset_i, self.t
        self.t += 1
        return spiked

    def _learn(self, spiked: NDArray[np.intp]) -> None:
        rule, w = self.rule, self.w[:, spiked]
        change = rule.eta * (self.trace - rule.offset)[:, None] * (1 - w) ** rule.mu
        learned = np.clip(w + change, 0, 1)
        self.w[:, spiked] = np.where(self.plastic[:, spiked], learned, w)
