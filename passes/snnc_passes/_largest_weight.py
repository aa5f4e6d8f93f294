"""The largest integer that a weight becomes."""

from __future__ import annotations

from snnc.transform import TargetInfo


def largest_weight(bits: int, target: TargetInfo | None) -> int:
    """2^(bits-1) - 1, or what the last level of the target's cells stands for.

    Cells with a list of levels hold a weight of as many bits as the target's as one level. They
    choose the integers that levels stand for, so that these are whole (`largest_weight` of the
    target's limits).
    """
    most = 2 ** (bits - 1) - 1
    if target is None or target.limits.get("weight_bits") != bits:
        return most
    return int(target.limits.get("largest_weight", most))
