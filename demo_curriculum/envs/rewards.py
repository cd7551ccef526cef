"""What an agent learns from, made of a game's rewards."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.demo import Demo

RewardMode = Literal["steps", "sign", "raw", "scaled"]

SCALED_RETURN = 10.0


class Rewards:
    """Turns a change of the score into the reward that is learned from.

    - ``steps``: by how many of the scores that the demo ever had the agent's score went up or down. To reach what the
      demo's next reward led to is worth 1, whatever that reward was and in however many parts the agent gets it;
      points that lead to no score of the demo's, such as a bait beside its way, are worth nothing. Above all the demo's
      scores, and below them, it is the sign.
    - ``sign``: as the backward algorithm does (Salimans & Chen 2018).
    - ``raw``: as the game gives them.
    - ``scaled``: so that the demos' mean absolute discounted return is 10 (Go-Explore: Ecoffet et al. 2021, Methods).

    Args:
        demos: what the first argument of a call points into.
        gamma: discount per agent step; it matters to ``scaled`` alone.
        frame_skip: demo steps per agent step.
    """

    def __init__(self, mode: RewardMode, demos: Sequence[Demo], *, gamma: float, frame_skip: int) -> None:
        self.mode = mode
        self._scores = [np.unique(demo.returns).tolist() for demo in demos]
        self._scale = _scale(demos, gamma ** (1 / frame_skip)) if mode == "scaled" else 1.0

    def __call__(self, demo: int, before: float, reward: float) -> float:
        """Of an agent step that adds ``reward`` to a score of ``before``, counted as the demo counts."""
        if self.mode == "steps":
            scores: list[float] = self._scores[demo]
            steps = bisect_right(scores, before + reward) - bisect_right(scores, before)
            if steps or scores[0] <= before < scores[-1]:
                return float(steps)
        if self.mode in ("steps", "sign"):
            return float(np.sign(reward))
        return reward * self._scale


def _scale(demos: Sequence[Demo], gamma: float) -> float:
    mean = float(np.mean([np.abs(_discounted(demo.rewards, gamma)).mean() for demo in demos]))
    return SCALED_RETURN / mean if mean > 0 else 1.0


def _discounted(rewards: NDArray[np.float64], gamma: float) -> NDArray[np.float64]:
    values = np.zeros_like(rewards)
    following = 0.0
    for step in reversed(range(len(rewards))):
        following = rewards[step] + gamma * following
        values[step] = following
    return values
