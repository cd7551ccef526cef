"""No curriculum: the control that the others are measured against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from demo_curriculum.curriculum.rule import BUCKET, Timeline
from demo_curriculum.curriculum.serial import Climb, SerialCurriculum

RESET_SHARE = 0.1
"""Episodes at the game's own reset, which judges."""


class _Everywhere(Climb):
    def __init__(self, timeline: Timeline, threshold: float) -> None:
        super().__init__(timeline)
        self._threshold = threshold

    @property
    def starts(self) -> range:
        return range(self.timeline.end)

    @property
    def left(self) -> int:
        """Demo steps whose starts are not known to tie; the frontier, 0 throughout, says nothing of them."""
        hard = np.repeat(self.estimates.success < self._threshold, BUCKET)
        return int(hard[: self.timeline.end].sum())

    def draw(self, rng: np.random.Generator) -> int:
        if rng.random() < RESET_SHARE:
            return self.timeline.reset_step
        return int(rng.integers(self.timeline.end))


class UniformCurriculum(SerialCurriculum[_Everywhere]):
    """Starts all over the demo from the first episode to the last. Implements ``Curriculum``.

    Nine in ten episodes begin uniformly at any step up to the last reward, one in ten at the game's own reset. Nothing
    ever moves: the frontier is 0, and the reset's ties alone say when it is finished.

    Args:
        timelines: one a demo, drawn alike.
        threshold: tie rate from the game's own reset that finishes.

    Raises:
        UsageError: an argument is out of range.
    """

    name = "uniform"

    def __init__(self, timelines: Sequence[Timeline], *, threshold: float = 0.2) -> None:
        super().__init__(timelines, threshold)

    def _begin(self, timeline: Timeline) -> _Everywhere:
        return _Everywhere(timeline, self._threshold)
