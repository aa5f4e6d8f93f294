"""Passes that remove synapses and reduce weights to few levels."""
