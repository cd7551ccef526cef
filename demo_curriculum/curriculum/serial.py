"""What the rules share that climb each demo in one piece and differ in their starts and moves alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.curriculum.estimates import StartEstimates
from demo_curriculum.curriculum.rule import Buckets, Move, Span, Timeline, check_start, check_timelines
from demo_curriculum.curriculum.segment import WINDOW_MEMORY
from demo_curriculum.curriculum.state import StateReader, load_demos, save_demos, save_trials
from demo_curriculum.curriculum.trials import RESET_MEMORY, RESET_TRIALS, RecentTrials
from demo_curriculum.demo import Outcome, Start
from demo_curriculum.errors import UsageError


class Climb(ABC):
    """One demo's progress. A rule adds its own state in ``load`` and ``save``.

    Attributes:
        estimates: success by start.
        window: the trials from ``starts`` since those last changed.
        reset: the trials from the game's own reset.
    """

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.estimates = StartEstimates(timeline)
        self.window = RecentTrials(WINDOW_MEMORY)
        self.reset = RecentTrials(RESET_MEMORY)

    def load(self, state: StateReader) -> None:
        self.estimates = StartEstimates.load(self.timeline, state)
        self.window = state.trials("window", WINDOW_MEMORY)
        self.reset = state.trials("reset", RESET_MEMORY)

    def save(self) -> dict[str, Any]:
        return {**self.estimates.save(), "window": save_trials(self.window), "reset": save_trials(self.reset)}

    @property
    @abstractmethod
    def starts(self) -> range:
        """The starts now trained."""

    @property
    def frontier(self) -> int:
        return max(0, self.starts.start)

    @property
    def left(self) -> int:
        """Demo steps still to climb."""
        return self.frontier

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> int:
        """The demo step at which an episode begins."""

    def note(self, outcome: Outcome) -> None:  # noqa: B027 - most rules have nothing to add
        """What the rule remembers of an outcome besides the attributes above."""

    def move(self) -> None:  # noqa: B027 - the control never moves
        """What the rule changes once an update."""


ClimbT = TypeVar("ClimbT", bound=Climb)


class SerialCurriculum(ABC, Generic[ClimbT]):
    """Everything of ``Curriculum`` but the starts and the moves, which are those of the rule's ``Climb``.

    Finished when every frontier is 0 and every game's own reset is surely tied in ``threshold`` of its recent trials.

    Raises:
        UsageError: the timelines are impossible, or the threshold is not within (0, 1].
    """

    name: str

    def __init__(self, timelines: Sequence[Timeline], threshold: float) -> None:
        self._timelines = check_timelines(timelines)
        if not 0 < threshold <= 1:
            raise UsageError(f"{self.name} curriculum: threshold {threshold} must be within (0, 1]")
        self._threshold = threshold
        self._climbs = [self._begin(timeline) for timeline in self._timelines]

    @abstractmethod
    def _begin(self, timeline: Timeline) -> ClimbT:
        """A climb at its first starts."""

    @property
    def frontiers(self) -> tuple[int, ...]:
        return tuple(climb.frontier for climb in self._climbs)

    @property
    def left(self) -> int:
        return sum(climb.left for climb in self._climbs)

    @property
    def climbing(self) -> float:
        return float(not self.finished)

    @property
    def spans(self) -> list[Span]:
        return [Span(demo, climb.frontier, climb.timeline.length) for demo, climb in enumerate(self._climbs)]

    @property
    def finished(self) -> bool:
        return all(
            climb.frontier == 0 and climb.reset.surely_reach(self._threshold, trials=RESET_TRIALS)
            for climb in self._climbs
        )

    def sample(self, rng: np.random.Generator) -> Start:
        demo = self._draw_demo(rng)
        climb = self._climbs[demo]
        return Start(demo, climb.draw(rng), climb.timeline.length)

    def _draw_demo(self, rng: np.random.Generator) -> int:
        """All alike, unless a rule says otherwise."""
        return int(rng.integers(len(self._climbs)))

    def ease(self) -> list[Move]:
        return []

    def onward(self, origin: Start, reached: Start, rng: np.random.Generator) -> Start | None:
        return None

    def again(self, start: Start, step: int, rng: np.random.Generator) -> Start | None:
        return None

    def record(self, outcome: Outcome) -> None:
        check_start(self._timelines, outcome.start)
        climb = self._climbs[outcome.start.demo]
        step = outcome.start.step
        if step == climb.timeline.reset_step:
            climb.reset.add(outcome.tied)
        if step >= 0:
            climb.estimates.record(step, outcome.tied)
        if step in climb.starts:
            climb.window.add(outcome.tied)
        climb.note(outcome)

    def advance(self) -> list[Move]:
        moves = []
        for demo, climb in enumerate(self._climbs):
            before, starts, window = climb.frontier, climb.starts, climb.window
            climb.move()
            if climb.starts != starts:
                climb.window = RecentTrials(WINDOW_MEMORY)
            if climb.frontier < before:
                rate, goal = window.tie_rate or 0.0, climb.timeline.length
                moves.append(Move(demo, before, climb.frontier, "advance", rate, window.total, goal))
        return moves

    def success(self, demo: int, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """As in ``Curriculum``: the posterior mean of each start's bucket; 1 after the last reward, where all ties."""
        climb = self._climbs[demo]
        return climb.estimates.success_from(steps, climb.reset)

    def report(self) -> dict[str, Any]:
        demos = [
            {
                "frontier": climb.frontier,
                "segments": [[0, climb.timeline.length, climb.frontier]],
                "tie_rate": climb.window.tie_rate,
                "trials": climb.window.total,
                "reset_tie_rate": climb.reset.tie_rate,
                "reset_trials": len(climb.reset),
            }
            for climb in self._climbs
        ]
        return {"finished": self.finished, "demos": demos}

    def buckets(self) -> list[Buckets]:
        return [climb.estimates.buckets() for climb in self._climbs]

    def state_dict(self) -> dict[str, Any]:
        return save_demos(self.name, self._timelines, [climb.save() for climb in self._climbs])

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        climbs = [self._begin(timeline) for timeline in self._timelines]
        _, readers = load_demos(state, self.name, self._timelines, climbs[0].save().keys())
        for climb, reader in zip(climbs, readers, strict=True):
            climb.load(reader)
        self._climbs = climbs
