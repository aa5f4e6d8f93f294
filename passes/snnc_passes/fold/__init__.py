"""Batch norm, normalisation and factors folded into weights."""
