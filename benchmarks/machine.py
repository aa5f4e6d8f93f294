"""The machine that figures are measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """Processor, its vector instructions, cores and memory."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    given = dict(line.split(":", 1) for line in info if ":" in line)
    fields = {key.strip(): value.strip() for key, value in given.items()}
    flags = set(fields.get("flags", "").split())
    vectors = ("avx2", "avx512f", "avx512_bf16", "amx_tile")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {
        "processor": fields.get("model name", platform.processor()),
        "vectors": [each for each in vectors if each in flags],
        "cores": os.cpu_count(),
        "memory_gb": round(memory, 1),
    }
