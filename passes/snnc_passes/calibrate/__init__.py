"""Corrections of a spiking network against its ANN."""
