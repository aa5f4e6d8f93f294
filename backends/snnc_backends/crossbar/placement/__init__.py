"""Tiles in the cores of a mesh, and the packets between them."""
