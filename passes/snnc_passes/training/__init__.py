"""The loop behind the passes that learn: data, objective, optimiser, checkpoints."""
