"""The backend `crossbar`: weights in the cells of resistive crossbar arrays."""

from snnc_backends.crossbar.backend import CrossbarBackend

__all__ = ["CrossbarBackend"]
