"""Advantages: pure functions over (T, N) tensors, time first."""

from __future__ import annotations

import torch
from torch import Tensor


def gae(
    rewards: Tensor, values: Tensor, next_values: Tensor, terminated: Tensor, ended: Tensor, *, gamma: float, lam: float
) -> Tensor:
    """Generalised advantage estimates (Schulman et al. 2016), (T, N).

    Args:
        rewards: (T, N).
        values: (T, N), of the observation that each step was taken from.
        next_values: (T, N), of what each step led to, before any reset.
        terminated: bool (T, N), after which nothing follows: ``next_values`` is not used there.
        ended: bool (T, N), terminated or truncated: the next row belongs to another episode.
    """
    advantages = torch.zeros_like(rewards)
    following = torch.zeros_like(rewards[0])
    deltas = rewards + gamma * next_values * ~terminated - values
    continues = gamma * lam * ~ended
    for step in reversed(range(len(rewards))):
        following = deltas[step] + continues[step] * following
        advantages[step] = following
    return advantages
