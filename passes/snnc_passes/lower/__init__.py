"""Passes that replace operations of an ANN by those of a spiking network."""
