"""Passes between real values and integers."""
