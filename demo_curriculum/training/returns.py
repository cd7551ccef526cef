"""Rewards, returns and advantages: pure functions over (T, N) tensors, time first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from demo_curriculum.demo import Demo

RewardMode = Literal["sign", "raw", "scaled"]

SCALED_RETURN = 10.0


def reward_scale(demos: Sequence[Demo], *, gamma: float, frame_skip: int) -> float:
    """What to multiply rewards with so that the demos' mean absolute discounted return is 10.

    As Go-Explore's phase 2 does (Ecoffet et al. 2021, Methods); ``gamma`` is per agent step.
    """
    values = [np.abs(_discounted(demo.rewards, gamma ** (1 / frame_skip))).mean() for demo in demos]
    mean = float(np.mean(values))
    return SCALED_RETURN / mean if mean > 0 else 1.0


def _discounted(rewards: NDArray[np.float64], gamma: float) -> NDArray[np.float64]:
    values = np.zeros_like(rewards)
    following = 0.0
    for step in reversed(range(len(rewards))):
        following = rewards[step] + gamma * following
        values[step] = following
    return values


def transform_rewards(rewards: Tensor, mode: RewardMode, scale: float) -> Tensor:
    """Raw rewards of agent steps -> what is learned from; ``scale`` matters to ``scaled`` alone."""
    if mode == "sign":
        return rewards.sign()
    return rewards * scale if mode == "scaled" else rewards


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
