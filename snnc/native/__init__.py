"""Machine code for the host processor, generated through LLVM. Needs only llvmlite."""
