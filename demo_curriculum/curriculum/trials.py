"""The latest trials from one place: tied or not."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

RESET_MEMORY = 100
RESET_TRIALS = 50
"""Recent trials from the game's own reset that are looked at, and how many make a verdict."""


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

    def reaches(self, threshold: float, *, trials: int) -> bool:
        return len(self) >= trials and self.ties >= threshold * len(self)

    @property
    def history(self) -> list[int]:
        """0 or 1 for each trial that is still remembered, oldest first."""
        return [int(tied) for tied in self._ties]
