"""From operations of an ANN to those of a spiking network."""
