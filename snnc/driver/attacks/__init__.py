"""Attacks on artifacts and models: their arguments, networks, data and files."""
