"""The latest trials from one place: tied or not, and how long."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

RESET_MEMORY = 100
RESET_TRIALS = 50
"""Recent trials from the game's own reset that are looked at, and how many make a verdict."""

PACE_MEMORY = 50
"""Each new episode fades what is known of their length by 1/50."""

CONFIDENT = 1.645
"""Standard deviations below which 95 % of a normal distribution lies, on one side."""


def next_pace(pace: float, length: int) -> float:
    """The mean length of the latest episodes once there is one more; 0 before the first."""
    return pace + (length - pace) / PACE_MEMORY if pace else float(length)


class RecentTrials:
    """Whether the latest ``memory`` trials tied, and how many there were in all."""

    def __init__(self, memory: int, ties: Iterable[bool] = (), total: int = 0) -> None:
        self._ties = deque(ties, maxlen=memory)
        self.total = total

    def add(self, tied: bool) -> None:
        self._ties.append(tied)
        self.total += 1

    def __len__(self) -> int:
        return len(self._ties)

    @property
    def ties(self) -> int:
        return sum(self._ties)

    @property
    def tie_rate(self) -> float | None:
        return self.ties / len(self) if self._ties else None

    def surely_reach(self, threshold: float, *, trials: int) -> bool:
        """Whether at least ``trials`` put the tie rate at ``threshold`` or above with 95 % confidence.

        The lower end of Wilson's interval (1927). The plain rate, looked at again after each update, would reach the
        threshold by luck long before the policy does. Of 100 trials 27 are enough for a threshold of .2.
        """
        count = len(self)
        if count < trials:
            return False
        rate, spread = self.ties / count, CONFIDENT**2 / count
        centre = rate + spread / 2
        margin = math.sqrt(rate * (1 - rate) * spread + spread**2 / 4)
        return centre - margin >= threshold * (1 + spread)

    @property
    def history(self) -> list[int]:
        """0 or 1 for each trial that is still remembered, oldest first."""
        return [int(tied) for tied in self._ties]
