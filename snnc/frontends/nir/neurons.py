"""Neurons of NIR in discrete time.

With p = leak*u + gain*I + shift as the step of a neuron, everything is divided by the gain: spikes
are the same, and weights stay as they are in the file.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnc.errors import ModelError
from snnc.frontends.importing import Constant, ImportSite, RefusedError, Value
from snnc.frontends.importing import scale as scaled
from snnc.frontends.nir.convention import Convention
from snnc.ir import Neuron, Ref

Array = NDArray[np.float64]


def leaky_neuron(site: ImportSite, node: Any, x: Value, how: Convention) -> Value:
    """A `LIF`: tau dv/dt = v_leak - v + r*I, in Euler's steps or as the dialect has it."""
    if how.dialect == "snntorch" and np.isposinf(np.asarray(node.tau, np.float64)).all():
        one, zero = np.ones(()), np.zeros(())  # what it writes for beta=1
        return _spiking(site, node, x, how, leak=one, gain=one, rest=zero)
    tau, r, v_leak = (parameter(site, getattr(node, n), n, x) for n in ("tau", "r", "v_leak"))
    leak, gain = _decay(tau, r, how)
    if how.exponential and np.any(v_leak):
        raise RefusedError(f"{how.dialect} has no v_leak", "use dialect=spec")
    return _spiking(site, node, x, how, leak=leak, gain=gain, rest=v_leak)


def integrating_neuron(site: ImportSite, node: Any, x: Value, how: Convention) -> Value:
    """An `IF`: dv/dt = r*I."""
    gain = integrator_gain(parameter(site, node.r, "r", x), how)
    one, zero = np.ones(()), np.zeros(())
    return _spiking(site, node, x, how, leak=one, gain=gain, rest=zero)


def integrator_gain(r: Array, how: Convention) -> Array:
    """By how much one unit of current raises the potential of an integrator in a step."""
    assert how.dt is not None or not how.resistance, "asked for before"
    return r * how.dt if how.resistance and how.dt is not None else np.ones(())


def threshold(site: ImportSite, node: Any, x: Value, how: Convention) -> Value:
    """A `Threshold` alone: it fires where its input of this step is above; it keeps nothing."""
    level = parameter(site, node.threshold, "threshold", x)
    op = Neuron(threshold=_fires_above(site, level, how, x), leak=0.0, reset="zero")
    return site.emit(op, [x])


def subtracting_neuron(
    site: ImportSite, level: Array, gain: Array, x: Value, how: Convention
) -> Value:
    """I -> Threshold with a `Scale` back: v <- v + gain*I, and a spike takes `level` away."""
    return site.emit(Neuron(threshold=_fires_above(site, level / gain, how, x)), [x])


def parameter(site: ImportSite, array: Any, name: str, x: Value) -> Array:
    """A parameter in float64, to broadcast against the sample.

    Raises `ModelError` for numbers that are not finite, `RefusedError` for another shape.
    """
    found = np.asarray(array, np.float64)
    if not np.isfinite(found).all():
        raise ModelError(f"{site.loc}: {name} holds NaN or infinity")
    if found.size == 1:
        return found.reshape(())
    if found.ndim == 1 and len(x.shape) > 1 and found.shape == x.shape[:1]:
        return found.reshape(-1, *(1,) * (len(x.shape) - 1))
    try:
        fits = np.broadcast_shapes(found.shape, x.shape) == x.shape
    except ValueError:
        fits = False
    if not fits:
        raise RefusedError(
            f"{name} of shape {found.shape} for a sample of shape {x.shape}",
            "give one number, one per channel, or one per neuron",
        )
    return found


def _decay(tau: Array, r: Array, how: Convention) -> tuple[Array, Array]:
    """(leak, gain) of a step. Raises `RefusedError` for time constants that are none."""
    if np.any(tau <= 0):
        raise RefusedError("a time constant that is not positive", "write the file again")
    if how.exponential:
        return np.exp(-1 / tau), np.ones(())
    assert how.dt is not None, "asked for before"
    part = how.dt / tau
    if how.dialect == "norse" and np.all(part > 1):
        part = how.dt * part  # its writer divides tau by dt once too often
    if np.any(part > 1):
        raise RefusedError(
            f"its tau of {float(tau.min()):.3g} is shorter than a step of {how.dt:.3g}",
            "give a smaller dt; files of Norse need dialect=norse",
        )
    return 1 - part, part * r if how.resistance else part


def _spiking(
    site: ImportSite, node: Any, x: Value, how: Convention, *, leak: Array, gain: Array, rest: Array
) -> Value:
    """A population; potentials are counted from the value they are reset to."""
    assert how.reset is not None, "asked for before"
    level = parameter(site, node.v_threshold, "v_threshold", x)
    base = parameter(site, node.v_reset, "v_reset", x)
    _check_reset(how, base, leak)
    if np.any(gain <= 0):
        raise RefusedError("a resistance r that is not positive", "negate the weights instead")
    shift = (1 - leak) * (rest - base) / gain
    if np.any(shift):
        x = scaled(site, x, 1, Constant(np.broadcast_to(shift, x.shape).astype(np.float32)))
    op = Neuron(
        threshold=_fires_above(site, (level - base) / gain, how, x),
        leak=_stored(site, leak, "leak", x),
        v_init=_stored(site, -base / gain, "v_init", x),
        reset=how.reset,
    )
    return site.emit(op, [x])


def _check_reset(how: Convention, base: Array, leak: Array) -> None:
    """Raise `RefusedError` for a reset that no population does."""
    if np.any(base) and how.reset == "subtract":
        raise RefusedError("a v_reset other than 0 with reset=subtract", "use reset=zero")
    if np.any(base) and not how.resets_to:
        raise RefusedError(f"{how.dialect} ignores its v_reset, which is not 0", "dialect=spec")
    if how.delayed_reset and how.reset == "subtract" and np.any(leak < 1):
        raise RefusedError(
            "snnTorch subtracts the threshold after the leak of the next step, which no "
            "population does",
            "train with reset_mechanism='zero', or beta=1",
        )


def _fires_above(site: ImportSite, level: Array, how: Convention, x: Value) -> Ref | float:
    """The threshold of a strict comparison; the number before it where v >= threshold fires."""
    single = level.astype(np.float32)
    if not how.strict:
        single = np.nextafter(single, np.float32(-np.inf))
    return _stored(site, single, "threshold", x)


def _stored(site: ImportSite, array: NDArray[Any], name: str, x: Value) -> Ref | float:
    """One number where all are equal, else an array per channel or per neuron."""
    array = np.asarray(array)
    if np.all(array == array.flat[0]):
        return float(array.flat[0])
    per_channel = array.ndim == len(x.shape) and all(n == 1 for n in array.shape[1:])
    shape: Literal[-1] | tuple[int, ...] = -1 if per_channel else x.shape
    full = array if per_channel else np.broadcast_to(array, x.shape)
    return site.array(np.ascontiguousarray(full, np.float32).reshape(shape), name)
