"""A counter-based hash: random numbers that are a pure function of what they are for.

Everything random in masks and in example order is drawn from here, keyed by (seed, epoch, example,
position), so it does not depend on batch size, workers, devices, or on what was drawn before.

The functions take NumPy arrays or torch tensors of int64 alike and stay on their device.
"""

from typing import Any

import numpy as np

_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 / golden ratio, the increment of SplitMix64
_FACTOR_1 = 0xBF58476D1CE4E5B9
_FACTOR_2 = 0x94D049BB133111EB


def _signed(value: int) -> int:
    """The two's complement of a 64-bit pattern: neither library multiplies unsigned everywhere."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


_INT64_GOLDEN, _INT64_FACTOR_1, _INT64_FACTOR_2 = map(_signed, (_GOLDEN, _FACTOR_1, _FACTOR_2))


def mix(x: Any) -> Any:
    """Scrambles each int64 of an array (the finalizer of SplitMix64, Steele et al., OOPSLA 2014).

    A bijection on 64 bits: distinct inputs give distinct outputs.
    """
    return _apply(_mix_array, _mix_tensor, x)


def fold(key: Any, number: Any) -> Any:
    """A new key from int64 keys and the next int64 number that they depend on; arguments broadcast."""
    return _apply(_fold_array, _fold_tensor, key, number)


def _apply(array_function: Any, tensor_function: Any, *arguments: Any) -> Any:
    """On a CPU NumPy is faster, also for tensors: it shifts unsigned, and its calls cost less."""
    tensor = next((a for a in arguments if hasattr(a, "device") and not isinstance(a, np.ndarray)), None)
    if tensor is not None and tensor.device.type != "cpu":
        return tensor_function(*arguments)
    arrays = (np.asarray(argument, dtype=np.int64).view(np.uint64) for argument in arguments)
    with np.errstate(over="ignore"):  # of single numbers; arrays wrap around without a word
        result = np.asarray(array_function(*arrays)).view(np.int64)
    return result if tensor is None else _torch().from_numpy(result)


def _torch() -> Any:
    import torch  # not at the top: processes that only prepare a corpus do without

    return torch


def _fold_array(key: np.ndarray, number: np.ndarray) -> np.ndarray:
    return _mix_array(key + number * np.uint64(_GOLDEN))


def _mix_array(x: np.ndarray) -> np.ndarray:
    x = x ^ (x >> np.uint64(30))  # a new array, which what follows changes in place
    x *= np.uint64(_FACTOR_1)
    x ^= x >> np.uint64(27)
    x *= np.uint64(_FACTOR_2)
    x ^= x >> np.uint64(31)
    return x


def _fold_tensor(key: Any, number: Any) -> Any:
    product = _signed(number * _GOLDEN) if isinstance(number, int) else number * _INT64_GOLDEN
    return _mix_tensor(key + product)


def _mix_tensor(x: Any) -> Any:
    # int64 shifts right with the sign; the masks make the shifts logical
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * _INT64_FACTOR_1
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * _INT64_FACTOR_2
    return x ^ ((x >> 31) & 0x1FFFFFFFF)


def start(*numbers: int) -> int:
    """A first key, an int64, from Python integers such as a seed and the name of a stream."""
    key = _GOLDEN
    for number in numbers:
        x = (key + number * _GOLDEN) & ((1 << 64) - 1)
        x = ((x ^ (x >> 30)) * _FACTOR_1) & ((1 << 64) - 1)
        x = ((x ^ (x >> 27)) * _FACTOR_2) & ((1 << 64) - 1)
        key = x ^ (x >> 31)
    return _signed(key)


def uniform(key: Any) -> Any:
    """float64 in the open interval (0, 1) from int64 keys, with 52 random bits."""
    bits = (key >> 12) & 0xFFFFFFFFFFFFF
    if hasattr(bits, "double"):  # torch would turn integers into float32
        return bits.double().add_(0.5).mul_(2.0**-52)
    return (bits + 0.5) * 2.0**-52
