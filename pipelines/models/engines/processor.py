"""What the processor of this machine can do that an engine asks for."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_TOLD = Path("/proc/cpuinfo")


@cache
def has_bfloat16(told: Path = _TOLD) -> bool:
    """Say whether the processor multiplies bfloat16 itself (x86: Cooper Lake, Zen 4 and later; only Linux tells)."""
    flags = told.read_text().split() if told.is_file() else []
    return "avx512_bf16" in flags or "amx_bf16" in flags
