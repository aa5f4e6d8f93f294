"""A fuzzer of everything snnc reads: files changed at random, read in processes with limits.

From the folder `tests`: `python -m fuzz --help`. Every case has a number, and is made from the
seed, the format and that number alone, so `--only FORMAT:NUMBER` makes it again.
"""
