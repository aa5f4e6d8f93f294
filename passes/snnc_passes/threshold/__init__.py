"""Thresholds and starting potentials."""
