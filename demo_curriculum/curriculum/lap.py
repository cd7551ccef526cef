"""The way from one stage of a demo to the next."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from demo_curriculum.curriculum.rule import Timeline
from demo_curriculum.curriculum.state import StateReader, save_trials
from demo_curriculum.curriculum.trials import RecentTrials

MEMORY = 32

SAVED = {"trials", "setbacks"}


class Lap:
    """From demo step ``begin``, where the demo begins or comes to a score or a landmark, to the next such, ``goal``.

    Attributes:
        trials: of episodes that began within it and were judged at its goal.
        setbacks: of those that began so after a setback.
    """

    def __init__(self, begin: int, goal: int) -> None:
        self.begin, self.goal = begin, goal
        self.trials = RecentTrials(MEMORY)
        self.setbacks = RecentTrials(MEMORY)

    def load(self, state: StateReader) -> None:
        self.trials, self.setbacks = state.trials("trials", MEMORY), state.trials("setbacks", MEMORY)

    def save(self) -> dict[str, Any]:
        return {"trials": save_trials(self.trials), "setbacks": save_trials(self.setbacks)}

    @property
    def success(self) -> float:
        """How often it is tied: the mean of a posterior that is uniform before the first trial."""
        return (self.trials.ties + 1) / (len(self.trials) + 2)


def laps_of(timeline: Timeline) -> list[Lap]:
    """All of a demo, in order; one where it has no stages."""
    return [Lap(begin, goal) for begin, goal in pairwise([0, *(timeline.stages or [timeline.length])])]
