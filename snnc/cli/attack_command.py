"""`snnc attack`: adversarial accuracy."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from snnc.attack_options import AttackOptions
from snnc.cli import options
from snnc.cli.console import Output, percent
from snnc.cli.flags import FlagsOf, Given


def register(app: typer.Typer) -> None:
    """Add the verb."""
    options.add(app, "attack", attack)


def attack(
    *,
    network: Annotated[
        str, typer.Argument(metavar="ART|MODEL", help="A compiled .snnc file, or a model.")
    ],
    data: Annotated[str, typer.Option("--data", metavar="DATA", help="Inputs with classes.")],
    given: Annotated[Given, FlagsOf(AttackOptions)],
    out: options.Out,
) -> None:
    """Change inputs so that the network answers wrong.

    The adversarial accuracy is that under the strongest of the attacks that were run, for every
    input; warnings say where gradients hide how weak the network is.

    Example: snnc attack net.snnc --data 'mnist:DIR#test' --limit 200 --eps 0.2 --method all \\
          --source other.snnc --workdir attacks
    """
    from snnc.driver import attack as run

    found = run(network, data, **given, progress=out.progress, log=out.log)
    figures = {"kind": "attack", "network": network, "data": data, **found.report()}
    _show(out, figures)
    out.document(figures)


def _show(out: Output, figures: dict[str, Any]) -> None:
    rows = [["no attack", percent(figures["clean_accuracy"]), ""]]
    for name, attacked in figures["attacks"].items():
        rows.append([name, percent(attacked["accuracy"]), str(attacked.get("queries", ""))])
    out.table(["attack", "accuracy", "queries"], rows)
    error = figures["adversarial_accuracy_standard_error"]
    out.line(
        f"adversarial accuracy {percent(figures['adversarial_accuracy'])} ± {percent(error)} "
        f"(eps {figures['eps']:.4g}, the strongest attack for each of {figures['samples']} inputs)"
    )
    for warning in figures["warnings"]:
        out.log.warning(warning)
