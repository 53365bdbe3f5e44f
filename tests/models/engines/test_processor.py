"""What the processor can do, read from what Linux tells of it."""

from __future__ import annotations

import pytest

from pipelines.models.engines.processor import has_bfloat16, has_vnni


@pytest.mark.parametrize(
    ("ask", "told", "expected"),
    [
        (has_bfloat16, "flags\t\t: fpu avx512f avx512_bf16 avx512_vnni\n", True),
        (has_bfloat16, "flags\t\t: fpu avx2 amx_bf16 amx_tile\n", True),
        (has_bfloat16, "flags\t\t: fpu avx512f avx512_vnni\n", False),
        (has_bfloat16, "Features\t: fp asimd bf16\n", False),  # ARM: OpenVINO has no such convolutions there
        (has_bfloat16, None, False),
        (has_vnni, "flags\t\t: fpu avx2 avx512f avx512_vnni\n", True),
        (has_vnni, "flags\t\t: fpu avx2 avx_vnni\n", True),
        (has_vnni, "flags\t\t: fpu avx2 avx512f\n", False),
        (has_vnni, None, False),
    ],
)
def test_the_processor_is_asked_by_its_flags(tmp_path, ask, told, expected) -> None:
    file = tmp_path / "cpuinfo"
    if told is not None:
        file.write_text(told)
    assert ask(file) is expected
