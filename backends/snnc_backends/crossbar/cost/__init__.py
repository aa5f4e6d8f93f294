"""What an inference costs: energy, time and area, by a technology table."""
