"""A fixed schedule: windows of starts that move back by the clock (Resnick et al. 2018, "Backplay")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from demo_curriculum.curriculum.rule import Timeline
from demo_curriculum.curriculum.serial import Climb, SerialCurriculum
from demo_curriculum.curriculum.state import StateReader
from demo_curriculum.errors import UsageError


class _Scheduled(Climb):
    """One demo's progress; ``updates`` is how many it has been trained for, and fixes the window."""

    def __init__(self, timeline: Timeline, first: int, period: int) -> None:
        super().__init__(timeline)
        self._first, self._period = first, period
        self.updates = 0

    def load(self, state: StateReader) -> None:
        super().load(state)
        self.updates = state.integer("updates", 0)

    def save(self) -> dict[str, Any]:
        return {**super().save(), "updates": self.updates}

    @property
    def starts(self) -> range:
        end = self.timeline.end
        near, far = 0, self._first
        for _ in range(self.updates // self._period):
            near, far = far, 2 * far
            if near >= end:
                return range(self.timeline.reset_step, self.timeline.reset_step + 1)
        return range(max(0, end - far), end - near)

    def draw(self, rng: np.random.Generator) -> int:
        return int(rng.integers(self.starts.start, self.starts.stop))

    def move(self) -> None:
        self.updates += 1


class BackplayCurriculum(SerialCurriculum[_Scheduled]):
    """Windows of starts that move back by updates, whatever the success. Implements ``Curriculum``.

    Each window is trained for ``period`` updates, its starts drawn uniformly. The first holds the ``first`` starts up
    to the last reward; each of the others begins where the one before it ended and reaches twice as far back, so that
    demos of any length have few. After the one that holds the demo's beginning, all episodes begin at the game's own
    reset. From the paper is that starts move back by the clock until the game's first state is the only one; the sizes
    and times of its windows go with its own games, these with a demo's length.

    Args:
        timelines: one a demo, drawn alike, each with windows of its own.
        first: demo steps of the first window.
        period: updates of a window.
        threshold: tie rate from the game's own reset that finishes.

    Raises:
        UsageError: an argument is out of range.
    """

    name = "backplay"

    def __init__(
        self, timelines: Sequence[Timeline], *, first: int = 16, period: int = 50, threshold: float = 0.2
    ) -> None:
        if first < 1 or period < 1:
            raise UsageError(f"backplay curriculum: first {first} and period {period} must be at least 1")
        self._first, self._period = first, period
        super().__init__(timelines, threshold)

    def _begin(self, timeline: Timeline) -> _Scheduled:
        return _Scheduled(timeline, self._first, self._period)
