"""Whether a device computes in bfloat16 by itself, and how much faster."""

import functools
import platform
import time

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


@functools.cache
def bfloat16_gain() -> float:
    """How many times as fast this CPU multiplies matrices of float32 where autocast turns them to bfloat16."""
    rows, weights = torch.ones(2048, 256), torch.ones(1024, 256)  # random numbers would move on the seed of the run

    def seconds(half: bool) -> float:
        began = time.perf_counter()
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            torch.nn.functional.linear(rows, weights)
        return time.perf_counter() - began

    times = [(seconds(False), seconds(True)) for _ in range(8)]  # in turns; the first ones start threads
    whole, half = map(min, zip(*times, strict=True))
    return whole / half
