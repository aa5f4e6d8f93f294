"""Passes that fold batch norm, normalisation and factors into weights."""
