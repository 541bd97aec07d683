"""Whether a device computes in bfloat16 by itself."""

import platform

import torch


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions that multiply matrices of bfloat16.

    Of x86 processors these are AMX and avx512_bf16; oneDNN takes AVX512 for enough, and then converts each number.
    """
    if device.type != "cpu":
        return device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return not x86 or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
