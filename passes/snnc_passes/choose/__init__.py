"""Window, waits and early exit, chosen on data."""
