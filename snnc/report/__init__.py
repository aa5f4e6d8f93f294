"""What is reported: JSON first, the console's tables drawn from it."""

from snnc.report.figures import latency_timesteps, layers, totals
from snnc.report.files import write_report

__all__ = ["latency_timesteps", "layers", "totals", "write_report"]
