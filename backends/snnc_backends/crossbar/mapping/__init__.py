"""How the weights of a network lie in tiles."""
