"""What the processor of this machine can do that an engine asks for; only Linux tells."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_TOLD = Path("/proc/cpuinfo")


def has_bfloat16(told: Path = _TOLD) -> bool:
    """Say whether the processor multiplies bfloat16 itself (x86: Cooper Lake, Zen 4 and later)."""
    return not _flags(told).isdisjoint({"avx512_bf16", "amx_bf16"})


def has_vnni(told: Path = _TOLD) -> bool:
    """Say whether the processor adds products of 8 bits in 32 bits (x86: Cascade Lake, Alder Lake, Zen 4, later)."""
    return not _flags(told).isdisjoint({"avx512_vnni", "avx_vnni", "amx_int8"})


@cache
def _flags(told: Path) -> frozenset[str]:
    return frozenset(told.read_text().split() if told.is_file() else ())
