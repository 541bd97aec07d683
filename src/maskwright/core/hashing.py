"""A counter-based hash: random numbers that are a pure function of their key.

All randomness in masks and in the order of examples comes from here, keyed by (seed, epoch, example, position). It
therefore does not depend on batch size, workers, devices, or on what was drawn before.

The functions take int64 NumPy arrays or torch tensors, and return the same type on the same device.
"""

from typing import Any

import numpy as np

_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 / golden ratio, the increment of SplitMix64
_FACTOR_1 = 0xBF58476D1CE4E5B9
_FACTOR_2 = 0x94D049BB133111EB
_ALL = (1 << 64) - 1


def _signed(value: int) -> int:
    """Returns the two's complement of a 64-bit pattern; not every device multiplies unsigned integers."""
    value &= _ALL
    return value - (1 << 64) if value >> 63 else value


_INT64_GOLDEN, _INT64_FACTOR_1, _INT64_FACTOR_2 = map(_signed, (_GOLDEN, _FACTOR_1, _FACTOR_2))


def mix(x: Any) -> Any:
    """Scrambles each int64 of an array (the finalizer of SplitMix64, Steele et al., OOPSLA 2014).

    A bijection on 64 bits: distinct inputs give distinct outputs.
    """
    return _like(x, _mix_in_place(_unsigned(x).copy())) if on_host(x) else _mix_tensor(x)


def fold(key: Any, number: Any) -> Any:
    """Returns new int64 keys that depend on `key` and on `number`, int64 or a Python integer.

    The arguments broadcast.
    """
    single = isinstance(number, (int, np.integer))
    number = int(number) if single else number
    if not on_host(key):
        return _mix_tensor(key + (_signed(number * _GOLDEN) if single else number * _INT64_GOLDEN))
    # NumPy would warn that a product of scalars overflows
    product = np.uint64(number * _GOLDEN & _ALL) if single else _unsigned(number) * np.uint64(_GOLDEN)
    return _like(key, _mix_in_place(np.asarray(_unsigned(key) + product)))


def on_host(x: Any) -> bool:
    """Returns whether NumPy, which is faster on a CPU, can compute with an array or tensor, and read its values."""
    if isinstance(x, np.ndarray):
        return True
    import torch  # not at the top: processes that only prepare a corpus do not need it

    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def _unsigned(x: Any) -> np.ndarray:
    array = x if isinstance(x, np.ndarray) else x.numpy()
    return array.astype(np.int64, copy=False).view(np.uint64)


def _like(x: Any, bits: np.ndarray) -> Any:
    if isinstance(x, np.ndarray):
        return bits.view(np.int64)
    import torch

    return torch.from_numpy(bits.view(np.int64))


def _mix_in_place(x: np.ndarray) -> np.ndarray:
    shifted = np.empty_like(x)  # allocating memory costs more than the arithmetic
    np.bitwise_xor(x, np.right_shift(x, np.uint64(30), out=shifted), out=x)
    np.multiply(x, np.uint64(_FACTOR_1), out=x)
    np.bitwise_xor(x, np.right_shift(x, np.uint64(27), out=shifted), out=x)
    np.multiply(x, np.uint64(_FACTOR_2), out=x)
    return np.bitwise_xor(x, np.right_shift(x, np.uint64(31), out=shifted), out=x)


def _mix_tensor(x: Any) -> Any:
    # int64 shifts are arithmetic; the masks make them logical
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * _INT64_FACTOR_1
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * _INT64_FACTOR_2
    return x ^ ((x >> 31) & 0x1FFFFFFFF)


def start(*numbers: int) -> int:
    """Returns an initial key, an int64, from Python integers such as a seed and the name of a stream."""
    key = _GOLDEN
    for number in numbers:
        x = (key + number * _GOLDEN) & _ALL
        x = ((x ^ (x >> 30)) * _FACTOR_1) & _ALL
        x = ((x ^ (x >> 27)) * _FACTOR_2) & _ALL
        key = x ^ (x >> 31)
    return _signed(key)


def uniform(key: Any) -> Any:
    """Returns float64 in the open interval (0, 1) from int64 keys, with 52 random bits."""
    bits = (key >> 12) & 0xFFFFFFFFFFFFF
    if hasattr(bits, "double"):  # torch would turn integers into float32
        return bits.double().add_(0.5).mul_(2.0**-52)
    return (bits + 0.5) * 2.0**-52
