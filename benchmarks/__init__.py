"""Scripts that measure snnc, each run from the root: `python -m benchmarks.FOLDER.SCRIPT`."""
