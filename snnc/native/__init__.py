"""Machine code for the processor at hand, through LLVM. Needs llvmlite and nothing else."""
