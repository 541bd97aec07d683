"""How much arithmetic a model takes, and how much the device can do."""

import time

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode


def forward_flops(module: nn.Module, *inputs: Tensor | None) -> int:
    """Floating-point operations of the matrix products of `module(*inputs)`; nothing is computed.

    Everything else that a model does (norms, activations, softmax) is left out, as is usual for model
    FLOPs utilisation (Chowdhery et al., 2022). A training step of all parameters takes three times as many.

    Args:
        inputs: of any device; only their shapes matter.
    """
    state = {name: tensor.to("meta") for name, tensor in (*module.named_parameters(), *module.named_buffers())}
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), torch.compiler.set_stance("force_eager"), counter:
        functional_call(module, state, tuple(None if tensor is None else tensor.to("meta") for tensor in inputs))
    return counter.get_total_flops()


def matmul_rate(device: torch.device, dtype: torch.dtype, seconds: float = 0.2) -> float:
    """Floating-point operations a second of products of square matrices on this device, now.

    That of the fastest of the products that fit into about `seconds`: others may have been disturbed.
    """
    size = 1024 if device.type == "cpu" else 8192
    generator = torch.Generator(device).manual_seed(0)  # no draw of the run's own
    a, b = torch.randn(2, size, size, device=device, generator=generator).to(dtype)
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 4 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times)
