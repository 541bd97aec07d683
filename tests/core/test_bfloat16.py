"""Whether a CPU computes in bfloat16 by itself."""

import platform

import pytest
import torch

from maskwright.core.bfloat16 import has_bfloat16

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("machine", "onednn", "avx512", "amx", "expected"),
    [
        ("x86_64", True, False, False, False),  # AVX512 alone: oneDNN converts
        ("x86_64", True, True, False, True),
        ("AMD64", True, False, True, True),
        ("x86_64", False, False, False, False),
        ("aarch64", True, False, False, True),
        ("arm64", False, False, False, False),
    ],
)
def test_native_bfloat16(monkeypatch, machine, onednn, avx512, amx, expected):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert has_bfloat16(CPU) == expected
