"""The FLOPs of a model, and the FLOP/s of a device."""

import copy
import time

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from maskwright.models.encoder import Encoder


def forward_flops(module: nn.Module | Encoder, *inputs: Tensor | None) -> int:
    """Returns the FLOPs of the matrix products in `module(*inputs)`, without computing anything.

    All other operations (norms, activations, softmax) are left out, as is usual for model FLOPs utilization
    (Chowdhery et al., 2022). A training step of all parameters takes three times as many.

    Args:
        inputs: tensors on any device; only their shapes matter.
    """
    assert isinstance(module, nn.Module)
    state = {name: tensor.to("meta") for name, tensor in (*module.named_parameters(), *module.named_buffers())}
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), torch.compiler.set_stance("force_eager"), counter:
        functional_call(module, state, tuple(None if tensor is None else tensor.to("meta") for tensor in inputs))
    return counter.get_total_flops()


def without_weights(module: nn.Module | Encoder) -> nn.Module:
    """Returns a copy of a module that has only the shapes of its weights, on the meta device."""
    assert isinstance(module, nn.Module)
    shapes = {id(weight): nn.Parameter(weight.detach().to("meta")) for weight in module.parameters()}
    return copy.deepcopy(module, shapes)


def matmul_rate(device: torch.device, dtype: torch.dtype, seconds: float = 0.2) -> float:
    """Measures the FLOP/s of products of square matrices on this device.

    The rate is that of the fastest product in about `seconds`; slower ones may have been disturbed.
    """
    size = 1024 if device.type == "cpu" else 8192
    generator = torch.Generator(device).manual_seed(0)  # leaves the random state of the run as it is
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
