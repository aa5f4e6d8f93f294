"""Passes that learn."""
