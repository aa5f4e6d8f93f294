"""How a field of a plugin says that its value is itself a plugin."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plugin:
    """Marks an option whose value is a plugin of a group, with options of its own.

        device: Annotated[Device, Plugin("snnc.devices")] = Ideal()

    is written `device=gaussian{sigma=0.05}` and holds the object of that text. Where the choices
    are dataclasses of the same package no mark is needed: `optimizer: Adam | Sgd = Adam()`, each
    with a `name`.

    Attributes:
        group: the entry-point group.
    """

    group: str
