"""Detect the CPU features that an engine uses. Linux only: elsewhere none is reported."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")  # oneDNN computes OpenVINO's convolutions; the second is older


def cpu_has_bfloat16(cpuinfo: Path = _CPUINFO) -> bool:
    """Return whether the processor has bfloat16 instructions (x86: Cooper Lake, Zen 4 and later)."""
    return not _read_flags(cpuinfo).isdisjoint({"avx512_bf16", "amx_bf16"}) and _is_allowed("BF16|FP16|AMX|AVX10")


def cpu_has_vnni(cpuinfo: Path = _CPUINFO) -> bool:
    """Return whether the processor adds 8-bit products in 32 bits (x86: Cascade Lake, Alder Lake, Zen 4 and later)."""
    has_flag = not _read_flags(cpuinfo).isdisjoint({"avx512_vnni", "avx_vnni", "amx_int8"})
    return has_flag and _is_allowed("VNNI|BF16|FP16|AMX|AVX10")


def _is_allowed(pattern: str) -> bool:
    """Return whether the environment lets oneDNN use instruction sets that match the pattern; no limit allows all.

    With ONEDNN_MAX_CPU_ISA=AVX2, graphs made for VNNI would saturate although the processor has it.
    """
    limit = next((os.environ[name].upper() for name in _LIMITS if os.environ.get(name)), "ALL")
    return limit in ("ALL", "DEFAULT") or re.search(pattern, limit) is not None


@cache
def _read_flags(cpuinfo: Path) -> frozenset[str]:
    return frozenset(cpuinfo.read_text().split() if cpuinfo.is_file() else ())
