"""Options with which OpenVINO compiles a network for the processor."""

from __future__ import annotations

from typing import Any


def cpu_options(threads: int, *, has_bfloat16: bool = False) -> dict[str, Any]:
    """Return the options of an engine on `threads` threads; `has_bfloat16`: convolutions that can use it do."""
    # With pinning, all workers of a machine would run on its first core.
    options: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}
    # By default, OpenVINO would use bfloat16 everywhere on some processors, and simulate it on others.
    return options | {"INFERENCE_PRECISION_HINT": "bf16" if has_bfloat16 else "f32"}
