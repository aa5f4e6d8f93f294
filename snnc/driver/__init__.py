"""The work behind the command line: compile and diagnose a model; run, measure, verify it.

Importing it is cheap: each name below is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snnc.lazy_names import lazy_name

if TYPE_CHECKING:
    from snnc.driver.artifacts import Measured, evaluate
    from snnc.driver.attacks.attack import attack
    from snnc.driver.benchmarking import Benchmark, benchmark
    from snnc.driver.compilation import Compiled, compile, optimize, run
    from snnc.driver.diagnosing import diagnose, diagnose_artifact, diagnose_job
    from snnc.driver.exporting import Export, export_artifact
    from snnc.driver.job import DEFAULT_RECIPE, Job, JobOptions
    from snnc.driver.models import ModelSource, load_model, save
    from snnc.driver.programs import load, open_program
    from snnc.driver.sampling import random_inputs
    from snnc.driver.trial import dry_run
    from snnc.driver.verification import verify_artifact

__all__ = [
    "DEFAULT_RECIPE",
    "Benchmark",
    "Compiled",
    "Export",
    "Job",
    "JobOptions",
    "Measured",
    "ModelSource",
    "attack",
    "benchmark",
    "compile",
    "diagnose",
    "diagnose_artifact",
    "diagnose_job",
    "dry_run",
    "evaluate",
    "export_artifact",
    "load",
    "load_model",
    "open_program",
    "optimize",
    "random_inputs",
    "run",
    "save",
    "verify_artifact",
]

_HOMES = {
    "snnc.driver.artifacts": ("Measured", "evaluate"),
    "snnc.driver.attacks.attack": ("attack",),
    "snnc.driver.benchmarking": ("Benchmark", "benchmark"),
    "snnc.driver.compilation": ("Compiled", "compile", "optimize", "run"),
    "snnc.driver.diagnosing": ("diagnose", "diagnose_artifact", "diagnose_job"),
    "snnc.driver.exporting": ("Export", "export_artifact"),
    "snnc.driver.job": ("DEFAULT_RECIPE", "Job", "JobOptions"),
    "snnc.driver.models": ("ModelSource", "load_model", "save"),
    "snnc.driver.programs": ("load", "open_program"),
    "snnc.driver.sampling": ("random_inputs",),
    "snnc.driver.trial": ("dry_run",),
    "snnc.driver.verification": ("verify_artifact",),
}


def __getattr__(name: str) -> Any:
    """Import a public name from where it lives."""
    return lazy_name(__name__, _HOMES, name)
