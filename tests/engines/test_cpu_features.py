"""CPU features, detected from /proc/cpuinfo."""

from __future__ import annotations

import pytest

from pipelines.engines.cpu_features import cpu_has_bfloat16, cpu_has_vnni


@pytest.fixture(autouse=True)
def _no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("limit", "bfloat16", "vnni"),
    [
        (None, True, True),
        ("default", True, True),
        ("AVX2", False, False),
        ("AVX512_CORE", False, False),
        ("AVX2_VNNI", False, True),
        ("AVX512_CORE_VNNI", False, True),
        ("AVX512_CORE_BF16", True, True),
        ("AVX10_1_512_AMX", True, True),
    ],
)
@pytest.mark.parametrize("variable", ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"])
def test_a_limit_of_onednn_counts(tmp_path, monkeypatch, variable, limit, bfloat16, vnni) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("flags\t\t: fpu avx512f avx512_bf16 avx512_vnni\n")
    if limit:
        monkeypatch.setenv(variable, limit)
    assert (cpu_has_bfloat16(file), cpu_has_vnni(file)) == (bfloat16, vnni)


@pytest.mark.parametrize(
    ("detect", "cpuinfo", "expected"),
    [
        (cpu_has_bfloat16, "flags\t\t: fpu avx512f avx512_bf16 avx512_vnni\n", True),
        (cpu_has_bfloat16, "flags\t\t: fpu avx2 amx_bf16 amx_tile\n", True),
        (cpu_has_bfloat16, "flags\t\t: fpu avx512f avx512_vnni\n", False),
        (cpu_has_bfloat16, "Features\t: fp asimd bf16\n", False),  # ARM: OpenVINO has no such convolutions there
        (cpu_has_bfloat16, None, False),
        (cpu_has_vnni, "flags\t\t: fpu avx2 avx512f avx512_vnni\n", True),
        (cpu_has_vnni, "flags\t\t: fpu avx2 avx_vnni\n", True),
        (cpu_has_vnni, "flags\t\t: fpu avx2 avx512f\n", False),
        (cpu_has_vnni, None, False),
    ],
)
def test_features_are_detected_by_the_flags_of_the_processor(tmp_path, detect, cpuinfo, expected) -> None:
    file = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        file.write_text(cpuinfo)
    assert detect(file) is expected
