"""Passes that correct a spiking network using its ANN."""
