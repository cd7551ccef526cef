"""Starts found by random walks away from the goal (Florensa et al. 2017, "Reverse Curriculum Generation")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from demo_curriculum.curriculum.rule import CurriculumError, Timeline
from demo_curriculum.curriculum.serial import Climb, SerialCurriculum
from demo_curriculum.curriculum.state import StateReader
from demo_curriculum.curriculum.trials import RESET_TRIALS
from demo_curriculum.demo import Outcome, Start
from demo_curriculum.errors import UsageError

LEAST, MOST = 0.1, 0.9
"""A start is good where it is tied more and less often than this."""
OLD_SHARE = 1 / 3
"""Episodes from starts that were good before."""
RESET_SHARE = 0.1
"""Episodes at the game's own reset, which judges."""
WALKS, TRIALS = 32, 5
"""New starts at a time, and the trials of each, in the mean, that label them."""
KEPT = 200
"""Old starts that are remembered, the latest."""


@dataclass
class _Walk:
    """A start: what was played at random from the goal on, and how it was tied since."""

    actions: tuple[int, ...]
    ties: int = 0
    trials: int = 0

    @property
    def rate(self) -> float:
        return self.ties / self.trials if self.trials else 0.0

    @property
    def good(self) -> bool:
        return LEAST < self.rate < MOST

    def save(self) -> dict[str, Any]:
        return {"actions": list(self.actions), "ties": self.ties, "trials": self.trials}


class _Walking(Climb):
    """One demo's progress.

    Attributes:
        goal: the demo step that all walks begin at.
        new: starts on trial.
        old: those that were good; the first is the goal itself, which stays.
        generation: how often new ones were made; seeds their walks.
        solved: whether the reset was surely tied once.
    """

    def __init__(self, timeline: Timeline, actions: int, steps: int, threshold: float) -> None:
        super().__init__(timeline)
        self._actions, self._steps, self._threshold = actions, steps, threshold
        self.goal = timeline.end - 1
        self.generation = 0
        self.solved = False
        self.new: list[_Walk] = []
        self.old = [_Walk(())]
        self._walk_on(self.old)

    def load(self, state: StateReader) -> None:
        super().load(state)
        self.generation = state.integer("generation", 1)
        self.solved = bool(state.integer("solved", 0, 1))
        self.new, self.old = self._load_walks(state, "new"), self._load_walks(state, "old")

    def _load_walks(self, state: StateReader, name: str) -> list[_Walk]:
        walks = []
        for entry in state.objects(name, {"actions", "ties", "trials"}):
            trials = entry.integer("trials", 0)
            walks.append(_Walk(entry.integers("actions", self._actions - 1), entry.integer("ties", 0, trials), trials))
        return walks

    def save(self) -> dict[str, Any]:
        return {
            **super().save(),
            "generation": self.generation,
            "solved": int(self.solved),
            "new": [walk.save() for walk in self.new],
            "old": [walk.save() for walk in self.old],
        }

    @property
    def starts(self) -> range:
        return range(self.goal, self.goal + 1)

    @property
    def frontier(self) -> int:
        return 0 if self.solved else self.goal

    def draw(self, rng: np.random.Generator) -> int:
        return self.goal

    def draw_walk(self, rng: np.random.Generator) -> tuple[int, ...]:
        walks = self.old if rng.random() < OLD_SHARE else self.new
        return walks[int(rng.integers(len(walks)))].actions

    def note(self, outcome: Outcome) -> None:
        if outcome.start.step == self.goal:
            for walk in self.new:
                if walk.actions == outcome.start.walk:
                    walk.ties += outcome.tied
                    walk.trials += 1

    def move(self) -> None:
        self.solved = self.solved or self.reset.surely_reach(self._threshold, trials=RESET_TRIALS)
        if sum(walk.trials for walk in self.new) < TRIALS * WALKS:
            return
        good = [walk for walk in self.new if walk.good]
        easy = [walk for walk in self.new if walk.rate >= MOST]
        self.old = [self.old[0], *[*self.old[1:], *good][-KEPT:]]
        # Where none is good, on from what is mastered, which is harder, or again from what once was good, easier.
        self._walk_on(good or (easy if 2 * len(easy) >= len(self.new) else self.old))

    def _walk_on(self, parents: Sequence[_Walk]) -> None:
        self.generation += 1
        rng = np.random.default_rng(self.generation)
        self.new = []
        for _ in range(WALKS):
            parent = parents[int(rng.integers(len(parents)))]
            further = rng.integers(self._actions, size=int(rng.integers(1, self._steps + 1)))
            self.new.append(_Walk((*parent.actions, *further.tolist())))


class ReverseWalkCurriculum(SerialCurriculum[_Walking]):
    """No demo but its last rewarded step, the goal: starts are what random play makes of it. Implements ``Curriculum``.

    Random actions from good starts make new ones, at most ``steps`` agent steps further on; of the new ones those tied
    in more than a tenth and less than nine tenths of their trials are good, and the next walks go on from them. A third
    of the episodes begins at starts that were good before. Where none is good, walks go on from those that are
    mastered, if they are half of them, and else from old ones. Actions of a walk that would end the game are left out.

    It needs a goal that random play leads away from and back to, as the paper's are. What is judged is the demo's score
    from the goal state to its end; an episode may be as much later than the demo as its walk was long.

    From the paper are the walks, what is good and the share of old starts. There each walk's states are all starts, and
    one is drawn from them; here each walk ends at one, at a random step.

    Args:
        timelines: one a demo, drawn alike; of each only the last reward counts.
        actions: how many the game has.
        steps: agent steps of a walk at most; 50 in the paper.
        threshold: tie rate from the game's own reset that finishes.

    Raises:
        UsageError: an argument is out of range.
    """

    name = "reverse-walk"

    def __init__(self, timelines: Sequence[Timeline], *, actions: int, steps: int = 50, threshold: float = 0.2) -> None:
        if actions < 1 or steps < 1:
            raise UsageError(f"reverse-walk curriculum: actions {actions} and steps {steps} must be at least 1")
        self._actions, self._steps = actions, steps
        super().__init__(timelines, threshold)

    def _begin(self, timeline: Timeline) -> _Walking:
        return _Walking(timeline, self._actions, self._steps, self._threshold)

    def sample(self, rng: np.random.Generator) -> Start:
        demo = self._draw_demo(rng)
        climb = self._climbs[demo]
        timeline = climb.timeline
        if rng.random() < RESET_SHARE or climb.goal == timeline.reset_step:
            return Start(demo, timeline.reset_step, timeline.length)
        return Start(demo, climb.goal, timeline.length, climb.draw_walk(rng))

    def record(self, outcome: Outcome) -> None:
        """Raises CurriculumError where the walk has actions that the game does not have."""
        if any(not 0 <= action < self._actions for action in outcome.start.walk):
            raise CurriculumError(f"outcome of a walk with actions that are not within 0..{self._actions - 1}")
        super().record(outcome)
