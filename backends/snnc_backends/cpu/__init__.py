"""The CPU backend. Importing it loads neither LLVM nor torch nor networkx."""

from snnc_backends.cpu.backend import CpuBackend

__all__ = ["CpuBackend"]
