"""The work behind the command line: compile and diagnose a model; run, measure, verify it."""

from snnc.driver.artifacts import (
    Measured,
    evaluate,
    load,
    open_program,
)
from snnc.driver.attacks.attack import attack
from snnc.driver.compilation import Compiled, compile, optimize, run
from snnc.driver.diagnosing import diagnose, diagnose_artifact, diagnose_job
from snnc.driver.exporting import Export, export_artifact
from snnc.driver.job import DEFAULT_RECIPE, Job, JobOptions
from snnc.driver.models import ModelSource, load_model, save
from snnc.driver.sampling import random_inputs
from snnc.driver.trial import dry_run
from snnc.driver.verification import verify_artifact

__all__ = [
    "DEFAULT_RECIPE",
    "Compiled",
    "Export",
    "Job",
    "JobOptions",
    "Measured",
    "ModelSource",
    "attack",
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
