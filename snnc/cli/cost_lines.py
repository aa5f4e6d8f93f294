"""The cost of an inference on the console."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snnc.cli.console import Output


def show_cost(out: Output, cost: Mapping[str, Any] | None) -> None:
    """Energy, time, area and the yardsticks, a line each; nothing for None."""
    from snnc.report.units import energy_parts, quantity

    if cost is None:
        return
    energy, parts = quantity(cost["energy_pj"], "pj"), energy_parts(dict(cost))
    out.line(f"chip energy        {energy} per inference in {cost['technology']}: {parts}")
    out.line(f"counts             {cost['basis']}")
    if "latency_ns" in cost:
        latency, period = (
            quantity(cost[key], "ns") for key in ("latency_ns", "pipeline_period_ns")
        )
        out.line(f"chip latency       {latency}; {period} between inferences in a pipeline")
    if "area_um2" in cost:
        out.line(f"chip area          {quantity(cost['area_um2'], 'um2')}")
    ratio = cost["conversions_vs_bitserial_ann"]
    out.line(f"ANN, 8 bits serial {ratio:.4g} times its conversions in the same tiles")
    proxy = quantity(cost["arithmetic_45nm_proxy_pj"], "pj")
    out.line(f"arithmetic proxy   {proxy}: additions and multiplications in 45 nm, nothing else")
    for note in cost["notes"]:
        out.line(f"  {note}")
