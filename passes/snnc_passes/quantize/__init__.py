"""From real values to integers."""
