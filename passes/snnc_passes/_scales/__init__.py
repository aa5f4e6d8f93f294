"""Factors and shifts of values: moved through a graph without changing what it computes."""
