"""The published rule: a window of consecutive starts, one a worker (Salimans & Chen 2018, openai/atari-reset)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.curriculum.rule import (
    BUCKET,
    Buckets,
    CurriculumError,
    Move,
    Span,
    Timeline,
    check_start,
    check_timelines,
)
from demo_curriculum.curriculum.state import StateReader, load_demos, save_demos, save_trials
from demo_curriculum.curriculum.trials import RESET_MEMORY, RESET_TRIALS, RecentTrials
from demo_curriculum.demo import Outcome, Start
from demo_curriculum.errors import UsageError

SPREAD = 320
"""Demo steps over which the workers are spread at most; more workers than that share starts."""
OWN_START = 0.8
RETREAT = 100


class _Climb:
    """One demo's progress: the latest start of the window, and what is known of every start."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.latest = timeline.length - 1
        self.success = np.zeros(timeline.length)
        self.trials = np.zeros(timeline.length, np.int64)
        self.period_ties = np.zeros(timeline.length, np.int64)
        self.period_trials = np.zeros(timeline.length, np.int64)
        self.reset = RecentTrials(RESET_MEMORY)
        self.since_move = 0

    @property
    def columns(self) -> tuple[NDArray[Any], ...]:
        return self.success, self.trials, self.period_ties, self.period_trials

    @classmethod
    def load(cls, timeline: Timeline, state: StateReader) -> _Climb:
        climb = cls(timeline)
        climb.latest = state.integer("latest", 0, timeline.length - 1)
        climb.since_move = state.integer("since_move", 0)
        climb.reset = state.trials("reset", RESET_MEMORY)
        for step, success, trials, period_ties, period_trials in state.rows("starts", 5):
            if not (
                step in range(timeline.length)
                and success <= 1
                and period_ties <= period_trials <= trials
                and all(count.is_integer() for count in (trials, period_ties, period_trials))
            ):
                raise CurriculumError(f"curriculum state: starts holds an impossible entry for step {step:g}")
            for column, value in zip(climb.columns, (success, trials, period_ties, period_trials), strict=True):
                column[int(step)] = value
        return climb

    @property
    def known(self) -> NDArray[np.bool_]:
        """bool (T,): the starts that were tried in a period that is over, so that ``success`` says something."""
        return self.trials > self.period_trials


class OpenAICurriculum:
    """The backward algorithm's own accounting. Implements ``Curriculum``.

    Worker k begins at ``latest - k // ceil(workers / 320)`` with probability .8, else uniformly between there and the
    demo's end. Every ``period`` updates, a start that was tried has its success replaced by the period's tie rate (one
    that was not keeps the old one), and the latest start moves to the smallest at which the success, summed from the
    demo's beginning and divided by the window, reaches the threshold. As in the source, the window counts the steps
    between the earliest and the latest start (workers - 1 for up to 320), and the sum runs over the whole demo: starts
    later than the window come after it and matter only where the window alone fails, which then moves it *later*, to
    where older successes make up the threshold. Without any such start it moves 100 steps later, the demo's last start
    at most.

    Three things differ from the source: which worker an episode is of is drawn anew for each, so that sampling changes
    nothing and any number of processes can share the rule; a worker whose start would lie before the demo begins at the
    game's own reset, and keeps its place in the window there (the source leaves it at 0 for good); and several demos
    may be trained, each with its own window, drawn alike.

    Args:
        timelines: one a demo.
        workers: starts in the window; the number of environments in the source, at least 12.
        period: updates between moves; 8 updates of 128 steps are the source's 1,024.
        threshold: share of the window that has to tie.

    Raises:
        UsageError: an argument is out of range.
    """

    name = "openai"

    def __init__(
        self, timelines: Sequence[Timeline], *, workers: int = 16, period: int = 8, threshold: float = 0.2
    ) -> None:
        self._timelines = check_timelines(timelines)
        if workers < 12 or period < 1 or not 0 < threshold <= 1:
            raise UsageError(
                f"openai curriculum: workers {workers} must be at least 12, period {period} at least 1, "
                f"threshold {threshold} within (0, 1]"
            )
        self._workers = workers
        self._sharing = -(-workers // SPREAD)
        self._window = (workers - 1) // self._sharing
        self._period = period
        self._threshold = threshold
        self._climbs = [_Climb(timeline) for timeline in timelines]
        self._updates = 0

    @property
    def frontiers(self) -> tuple[int, ...]:
        return tuple(self._frontier(climb) for climb in self._climbs)

    @property
    def left(self) -> int:
        return sum(self.frontiers)

    @property
    def climbing(self) -> float:
        return float(not self.finished)

    @property
    def spans(self) -> list[Span]:
        return [Span(demo, self._frontier(climb), climb.timeline.length) for demo, climb in enumerate(self._climbs)]

    def _frontier(self, climb: _Climb) -> int:
        return max(0, climb.latest - self._window)

    @property
    def finished(self) -> bool:
        return all(
            self._frontier(climb) == 0 and climb.reset.surely_reach(self._threshold, trials=RESET_TRIALS)
            for climb in self._climbs
        )

    def sample(self, rng: np.random.Generator) -> Start:
        demo = int(rng.integers(len(self._climbs)))
        climb = self._climbs[demo]
        step = climb.latest - int(rng.integers(self._workers)) // self._sharing
        if rng.random() >= OWN_START:
            step = int(rng.integers(step, climb.timeline.length))
        return Start(demo, step if step >= 0 else climb.timeline.reset_step, climb.timeline.length)

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
            climb.trials[step] += 1
            climb.period_trials[step] += 1
            climb.period_ties[step] += outcome.tied
        climb.since_move += 1

    def advance(self) -> list[Move]:
        self._updates += 1
        if self._updates % self._period:
            return []
        moves = [self._move(demo, climb) for demo, climb in enumerate(self._climbs)]
        return [move for move in moves if move is not None]

    def _move(self, demo: int, climb: _Climb) -> Move | None:
        tried = climb.period_trials > 0
        climb.success[tried] = climb.period_ties[tried] / climb.period_trials[tried]
        before = self._frontier(climb)
        window = slice(before, climb.latest + 1)
        ties, trials = int(climb.period_ties[window].sum()), int(climb.period_trials[window].sum())
        climb.period_ties[:] = 0
        climb.period_trials[:] = 0
        reached = np.flatnonzero(np.cumsum(climb.success) / self._window >= self._threshold)
        climb.latest = int(reached[0]) if len(reached) else min(climb.latest + RETREAT, climb.timeline.length - 1)
        after = self._frontier(climb)
        if after == before:
            return None
        climb.since_move = 0
        reason: Literal["advance", "retreat"] = "advance" if after < before else "retreat"
        return Move(demo, before, after, reason, ties / max(trials, 1), trials, climb.timeline.length)

    def ease(self) -> list[Move]:
        return []

    def success(self, demo: int, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """As in ``Curriculum``: the last tie rate of each start, 0 where it was never tried."""
        climb = self._climbs[demo]
        known = climb.success[np.clip(steps, 0, climb.timeline.length - 1)]
        return np.where(steps < 0, climb.reset.tie_rate or 0.0, known)

    def report(self) -> dict[str, Any]:
        demos = []
        for climb in self._climbs:
            window = slice(self._frontier(climb), climb.latest + 1)
            known = climb.known[window]
            demos.append(
                {
                    "frontier": self._frontier(climb),
                    "segments": [[0, climb.timeline.length, self._frontier(climb)]],
                    "tie_rate": float(climb.success[window][known].mean()) if known.any() else None,
                    "trials": climb.since_move,
                    "reset_tie_rate": climb.reset.tie_rate,
                    "reset_trials": len(climb.reset),
                }
            )
        return {"finished": self.finished, "demos": demos}

    def buckets(self) -> list[Buckets]:
        found = []
        for climb in self._climbs:
            edges = np.arange(0, climb.timeline.length, BUCKET)
            trials = np.add.reduceat(climb.trials, edges)
            known = np.add.reduceat(climb.known, edges, dtype=np.int64)
            success = np.add.reduceat(climb.success, edges)
            rates = [float(s / n) if n else None for s, n in zip(success, known, strict=True)]
            found.append(Buckets(BUCKET, rates, trials.astype(float).tolist()))
        return found

    def state_dict(self) -> dict[str, Any]:
        demos = []
        for climb in self._climbs:
            tried = np.flatnonzero(climb.trials)
            columns = [tried, *(column[tried] for column in climb.columns)]
            demos.append(
                {
                    "latest": climb.latest,
                    "since_move": climb.since_move,
                    "starts": [list(row) for row in zip(*(column.tolist() for column in columns), strict=True)],
                    "reset": save_trials(climb.reset),
                }
            )
        return save_demos(self.name, self._timelines, demos, updates=self._updates)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        keys = {"latest", "since_move", "starts", "reset"}
        outer, readers = load_demos(state, self.name, self._timelines, keys, counters={"updates"})
        climbs = [_Climb.load(*pair) for pair in zip(self._timelines, readers, strict=True)]
        self._updates = outer.integer("updates", 0)
        self._climbs = climbs
