"""The network of examples/stdp_digits in Brian2, shown the spikes that `write.py` has recorded.

python tests/brian2/compare.py FOLDER

Exits with 1 unless every spike of the first image is the same and every weight after it within
1e-6. The differences after all images are shown: the network is chaotic, so that they grow.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import brian2 as b2
import numpy as np
from brian2.units import ms, mV

TOLERANCE = 1e-6
VOLTAGES = ("rest", "reset", "threshold", "reversal", "theta_start", "theta_plus")
TIMES = ("tau", "refractory", "theta_tau", "tau_ge", "tau_gi")


def constants(facts: dict, group: str) -> dict:
    """The constants of a group of neurons, e or i, with units."""
    named = {name.removesuffix(f"_{group}"): value for name, value in facts["neurons"].items()}
    volts = {name: named[name] * mV for name in VOLTAGES if name in named}
    return {**volts, **{name: named[name] * ms for name in TIMES if name in named}}


def neurons(facts: dict, n: int) -> tuple[b2.NeuronGroup, b2.NeuronGroup]:
    """Excitatory and inhibitory neurons, at rest."""
    m = facts["neurons"]
    excitatory = b2.NeuronGroup(
        n,
        """dv/dt = ((rest - v) - ge*v + gi*(reversal - v)) / tau : volt (unless refractory)
        dge/dt = -ge / tau_ge : 1
        dgi/dt = -gi / tau_gi : 1
        dtheta/dt = -theta / theta_tau : volt""",
        threshold="v > threshold + theta",
        reset="v = reset; theta += theta_plus",
        refractory=m["refractory_e"] * ms,
        method="exponential_euler",
        namespace=constants(facts, "e"),
    )
    inhibitory = b2.NeuronGroup(
        n,
        """dv/dt = ((rest - v) - ge*v) / tau : volt (unless refractory)
        dge/dt = -ge / tau_ge : 1""",
        threshold="v > threshold",
        reset="v = reset",
        refractory=m["refractory_i"] * ms,
        method="exponential_euler",
        namespace=constants(facts, "i"),
    )
    excitatory.v, inhibitory.v = m["rest_e"] * mV, m["rest_i"] * mV
    excitatory.theta = m["theta_start"] * mV
    return excitatory, inhibitory


def build(facts: dict, weights: np.ndarray) -> tuple[b2.Network, dict]:
    """The network, and its groups by name."""
    inputs, n = weights.shape
    m, rule = facts["neurons"], facts["rule"]
    b2.prefs.codegen.target = "numpy"
    b2.defaultclock.dt = m["dt"] * ms
    source = b2.SpikeGeneratorGroup(inputs, [], [] * ms)
    excitatory, inhibitory = neurons(facts, n)
    plastic = b2.Synapses(
        source,
        excitatory,
        """w : 1
        dx/dt = -x / tau : 1 (event-driven)""",
        on_pre="ge_post += w; x += 1",
        on_post="w = clip(w + eta * (x - offset) * (1 - w)**mu, 0, 1)",
        namespace={**{k: rule[k] for k in ("eta", "offset", "mu")}, "tau": rule["tau"] * ms},
    )
    plastic.connect()
    plastic.pre.order, plastic.post.order = 0, 1
    excite = b2.Synapses(excitatory, inhibitory, on_pre=f"ge_post += {m['excite']}")
    excite.connect(j="i")
    inhibit = b2.Synapses(inhibitory, excitatory, on_pre=f"gi_post += {m['inhibit']}")
    inhibit.connect("i != j")
    plastic.w = weights[plastic.i[:], plastic.j[:]]
    monitor = b2.SpikeMonitor(excitatory)
    parts = {"source": source, "plastic": plastic, "monitor": monitor}
    groups = (source, excitatory, inhibitory, plastic, excite, inhibit, monitor)
    return b2.Network(*groups), parts


def matrix(plastic: b2.Synapses, shape: tuple[int, int]) -> np.ndarray:
    """The weights, (inputs, neurons)."""
    weights = np.zeros(shape)
    weights[plastic.i[:], plastic.j[:]] = plastic.w[:]
    return weights


def compare(folder: Path) -> int:
    """Run, print, and return the exit status."""
    facts, run = json.loads((folder / "facts.json").read_text()), np.load(folder / "run.npz")
    network, parts = build(facts, run["start"])
    plastic, dt, shape = parts["plastic"], facts["neurons"]["dt"], run["start"].shape
    seconds, seen, equal, same = [], 0, 0, False
    for number in range(facts["images"]):
        weights = matrix(plastic, shape)
        scaled = np.minimum(weights * (facts["rule"]["column_sum"] / weights.sum(0)), 1)
        plastic.w = scaled[plastic.i[:], plastic.j[:]]
        steps, inputs = run[f"inputs{number}"].T
        first = number * facts["steps"]
        parts["source"].set_spikes(inputs, (steps + first) * dt * ms)
        begin = time.process_time()
        network.run(facts["steps"] * dt * ms, namespace={})
        seconds.append(time.process_time() - begin)
        times, neurons = parts["monitor"].t / ms, parts["monitor"].i
        found = np.stack([np.rint(times[seen:] / dt).astype(int) - first, neurons[seen:]], 1)
        seen = len(times)
        ours = run[f"spikes{number}"]
        agree = sorted(map(tuple, found)) == sorted(map(tuple, ours))
        equal += agree
        if number == 0:
            error = np.abs(matrix(plastic, shape) - run["first"]).max()
            same = agree and error <= TOLERANCE
            print(f"first image: {len(ours)} spikes, {'all equal' if agree else 'NOT equal'};"
                  f" largest difference of a weight {error:.2e}")  # fmt: skip
    error = np.abs(matrix(plastic, shape) - run["end"])
    print(f"{facts['images']} images: spikes equal in {equal}; weights differ by at most"
          f" {error.max():.2e}, on average by {error.mean():.2e}")  # fmt: skip
    brian = float(np.median(seconds[1:]))
    print(f"processor ms an image: Brian2 (numpy) {1000 * brian:.0f},"
          + ",".join(f" here in {name} {1000 * facts[f'seconds_{name}']:.2f}"
                     f" ({brian / facts[f'seconds_{name}']:.0f} times as fast)"
                     for name in ("f64", "f32")))  # fmt: skip
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(compare(Path(sys.argv[1])))
