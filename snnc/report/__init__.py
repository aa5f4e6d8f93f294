"""Reports: a JSON document, and the HTML page drawn from it."""

from snnc.report.figures import REPORT_VERSION, latency_timesteps, layers, max_pools, totals
from snnc.report.files import Written, write_report
from snnc.report.provenance import provenance

__all__ = [
    "REPORT_VERSION",
    "Written",
    "latency_timesteps",
    "layers",
    "max_pools",
    "provenance",
    "totals",
    "write_report",
]
