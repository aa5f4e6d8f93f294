"""A spiking network run population by population over all samples, to fit each to its ANN."""
