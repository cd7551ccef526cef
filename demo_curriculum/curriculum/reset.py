"""No demo: every episode from the game's own reset, as where there is none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from demo_curriculum.curriculum.rule import Timeline
from demo_curriculum.curriculum.serial import Climb, SerialCurriculum


class _AtReset(Climb):
    @property
    def starts(self) -> range:
        return range(self.timeline.reset_step, self.timeline.reset_step + 1)

    def draw(self, rng: np.random.Generator) -> int:
        return self.timeline.reset_step


class ResetCurriculum(SerialCurriculum[_AtReset]):
    """Every episode begins at the game's own reset and is judged up to the demo's end. Implements ``Curriculum``.

    The control for what the demo is worth: it gives no starts, and of it remains the score by which episodes are tied
    or end as too late. Nothing ever moves: the frontier is 0, and the reset's ties alone say when it is finished.

    Args:
        timelines: one a demo, drawn alike.
        threshold: tie rate from the game's own reset that finishes.

    Raises:
        UsageError: an argument is out of range.
    """

    name = "reset"

    def __init__(self, timelines: Sequence[Timeline], *, threshold: float = 0.2) -> None:
        super().__init__(timelines, threshold)

    def _begin(self, timeline: Timeline) -> _AtReset:
        return _AtReset(timeline)
