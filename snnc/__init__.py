"""A compiler from trained neural networks to spiking networks."""
