"""A third-party pass for snnc."""
