"""The precision of matrix products."""

from __future__ import annotations

from functools import cache

import torch


@cache
def multiplies_bf16() -> bool:
    """Whether this processor has instructions for products of bfloat16, which halve or third a network's time."""
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))


def product_dtype(device: torch.device) -> torch.dtype:
    """What products are made of in this context."""
    return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else torch.float32


def fast_products(device: torch.device) -> torch.autocast:
    """A context in which a network's products are made of bfloat16 where the device is faster at them.

    Weights, sums and everything outside stay f32.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda" or multiplies_bf16())
