"""The command line: a shell over the driver. Nothing heavy is imported until a verb runs."""

from snnc.cli.main import main

__all__ = ["main"]
