"""Reverse-forward curriculum learning (Tao et al. 2024, StoneT2000/rfcl)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.curriculum.rule import Timeline, draw
from demo_curriculum.curriculum.serial import Climb, SerialCurriculum
from demo_curriculum.curriculum.state import StateReader
from demo_curriculum.demo import Outcome, Start
from demo_curriculum.errors import UsageError

AHEAD = np.array([1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 16])
"""How often an episode begins at the frontier, one step later, two steps later, …"""
LEAST_WEIGHT = 1e-6
"""Of a demo whose frontier is 0, next to frontier / length for the others."""
SOLVED_SHARE = 0.9
"""Of the demos; once more than these are solved the forward phase begins."""

JUDGED = 5
"""Latest episodes from a demo's beginning that say how much there is to learn."""
MASTERED = 0.75
RANK_POWER = 10
"""The inverse of the published temperature, .1."""
STALE_SHARE = 0.1


class _Streak(Climb):
    """One demo's progress.

    Attributes:
        earliest: the frontier.
        wins: ties in a row from the frontier; at frontier 0 ``streak`` of them stay, and the demo is solved.
        stale: episodes of the forward phase since this demo's last one.
    """

    def __init__(self, timeline: Timeline, streak: int, stride: int) -> None:
        super().__init__(timeline)
        self._streak, self._stride = streak, stride
        self.earliest = timeline.end - 1
        self.wins = 0
        self.stale = 0

    def load(self, state: StateReader) -> None:
        super().load(state)
        self.earliest = state.integer("frontier", 0, self.timeline.end - 1)
        self.wins = state.integer("wins", 0, self._streak)
        self.stale = state.integer("stale", 0)

    def save(self) -> dict[str, Any]:
        return {**super().save(), "frontier": self.earliest, "wins": self.wins, "stale": self.stale}

    @property
    def solved(self) -> bool:
        return self.earliest == 0 and self.wins == self._streak

    @property
    def starts(self) -> range:
        return range(self.earliest, min(self.earliest + len(AHEAD), self.timeline.end))

    def draw(self, rng: np.random.Generator) -> int:
        return min(self.earliest + draw(rng, AHEAD), self.timeline.end - 1)

    def note(self, outcome: Outcome) -> None:
        # What has been won stays won until the next update, as if the frontier had moved at once.
        if outcome.start.step == self.earliest and self.wins < self._streak:
            self.wins = self.wins + 1 if outcome.tied else 0

    def move(self) -> None:
        if self.wins == self._streak and self.earliest > 0:
            self.earliest = max(0, self.earliest - self._stride)
            self.wins = 0

    @property
    def learnability(self) -> int:
        """3 where the demo is tied now and then, 2 where it never is (or not tried yet), 1 where it mostly is."""
        rate = sum(self.reset.history[-JUDGED:]) / JUDGED
        return 2 if rate == 0 else 3 if rate < MASTERED else 1


class RFCLCurriculum(SerialCurriculum[_Streak]):
    """First back through each demo by streaks of ties, then forward from where the game begins.

    Implements ``Curriculum``.

    *Reverse.* Episodes begin at the demo's frontier or up to four steps later, half as often with each step; demos are
    drawn in proportion to how far back they still have to go. ``streak`` ties in a row from the frontier itself move it
    ``stride`` steps back. At 0 such a streak makes the demo solved. Nothing ever moves later.

    *Forward.* Once more than nine demos in ten are solved, every episode begins at the game's own reset. Which demo it
    is judged by is drawn by what can be learnt: those that tied some of the latest five rank before those that tied
    none, and those before the ones that tied four or more; a tenth is drawn by how long ago a demo had its last one.

    Two things differ from the source. A frontier moves once an update at most, since all processes hear of the episodes
    together; there it moves in between. In its forward phase the source draws among many first states of a task, where
    a game has the one; here it draws among the demos that go on from there.

    Args:
        timelines: one a demo.
        streak: ties in a row that move a frontier; 2 or 3 in the source.
        stride: demo steps of a move; 4 or 8 in the source.
        threshold: tie rate from the game's own reset that finishes.

    Raises:
        UsageError: an argument is out of range.
    """

    name = "rfcl"

    def __init__(
        self, timelines: Sequence[Timeline], *, streak: int = 3, stride: int = 8, threshold: float = 0.2
    ) -> None:
        if streak < 1 or stride < 1:
            raise UsageError(f"rfcl curriculum: streak {streak} and stride {stride} must be at least 1")
        self._streak, self._stride = streak, stride
        super().__init__(timelines, threshold)

    def _begin(self, timeline: Timeline) -> _Streak:
        return _Streak(timeline, self._streak, self._stride)

    @property
    def _forward(self) -> bool:
        solved = [climb.solved for climb in self._climbs]
        return sum(solved) > SOLVED_SHARE * len(solved)

    def sample(self, rng: np.random.Generator) -> Start:
        if not self._forward:
            return super().sample(rng)
        by_score = _rank_weights([climb.learnability for climb in self._climbs])
        by_age = _rank_weights([climb.stale for climb in self._climbs])
        demo = draw(rng, (1 - STALE_SHARE) * by_score + STALE_SHARE * by_age)
        timeline = self._timelines[demo]
        return Start(demo, timeline.reset_step, timeline.length)

    def _draw_demo(self, rng: np.random.Generator) -> int:
        left = np.array([climb.earliest / climb.timeline.length for climb in self._climbs])
        return draw(rng, np.maximum(left, LEAST_WEIGHT))

    def record(self, outcome: Outcome) -> None:
        super().record(outcome)
        if self._forward:
            for demo, climb in enumerate(self._climbs):
                climb.stale = 0 if demo == outcome.start.demo else climb.stale + 1


def _rank_weights(scores: Sequence[int]) -> NDArray[np.float64]:
    """Shares by rank, the highest score first; a rank is one more than the number of scores that are no lower."""
    values = np.array(scores)
    ranks = 1 + (values[None, :] >= values[:, None]).sum(axis=1)
    weights = 1.0 / ranks**RANK_POWER
    return np.asarray(weights / weights.sum())
