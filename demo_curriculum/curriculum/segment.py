"""A stretch of a demo that is climbed on its own."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.curriculum.rule import BUCKET, Timeline
from demo_curriculum.curriculum.state import StateReader, save_trials
from demo_curriculum.curriculum.trials import RESET_MEMORY, RecentTrials

WINDOW_MEMORY = 64

STRIDES = ((0.8, 120), (0.5, 60), (0.35, 40), (0.0, 20))
"""From which tie rate on the frontier advances by how many demo steps."""
MIN_STRIDE, MAX_STRIDE = 8, 120
SURE_TRIALS = 8
"""Where this many leave hardly a doubt, the frontier advances before it has had all its trials."""
COLLAPSE = 0.2
"""Below this share of the threshold the frontier counts as lost."""
MIN_RETREAT, MAX_RETREAT = 24, 120
MAX_SPAN = 256
LEAST_NEED = 0.1
LONG, APART = 4, 2
"""Least steps of a segment, times which one is long, and times which the landmarks are apart at which it is cut."""
LEAST_IMITATION, ENOUGH_TIES = 0.1, 0.5
PATIENT_TRIALS, PATIENT_UPDATES = 128, 8
"""So long at a frontier is the demo imitated in full, then by how much less this is, and then the segment is cut: both,
since short episodes give hundreds of trials before anything is learnt from them, and many segments few an update."""

SAVED = {
    "goal",
    "frontier",
    "stride",
    "span",
    "window",
    "lowest",
    "waited_trials",
    "waited_updates",
    "handed",
    "pace",
}


def cut(timeline: Timeline, gap: int) -> list[tuple[int, int]]:
    """The (begin, goal) of each segment: cut after rewards that are at least ``gap`` demo steps apart; 0 cuts nothing.

    The last reward's segment goes on to the demo's end. What is still longer than ``LONG`` gaps is cut at landmarks
    that are ``APART`` gaps apart: so much is climbed faster side by side, and each seam has to be passed in the end.
    """
    begins = [0]
    for step in timeline.rewards[:-1]:
        if gap and step + 1 - begins[-1] >= gap and timeline.end - (step + 1) >= gap:
            begins.append(step + 1)
    for begin, end in list(pairwise([*begins, timeline.end])):
        for step in timeline.landmarks if gap and end - begin > LONG * gap else ():
            if begin + APART * gap <= step <= end - APART * gap:
                begins.append(step)
                begin = step
    begins.sort()
    return list(zip(begins, [*begins[1:], timeline.length], strict=True))


class Segment:
    """The climb from ``goal`` back to ``begin``.

    Attributes:
        end: starts from here to the goal are tied without doing anything.
        latest: the first frontier, beyond which there is nothing to retreat to.
        frontier: the earliest start now trained, begin..latest.
        stride: demo steps of the next advance at most.
        span, first_span: starts in the frontier's window, in demo steps, now and at first.
        window: the trials from the frontier's window since the frontier last moved.
        lowest: the earliest frontier so far.
        waited_trials, waited_updates: the trials from the frontier's window, and the updates, since it was there first.
        handed: the trials of episodes that came here from the segment before, or from the game's own reset.
        pace: agent steps of an episode here that did not begin at the game's own reset, in the mean of the latest; 0
            before the first.
    """

    def __init__(self, timeline: Timeline, begin: int, goal: int, *, span: int) -> None:
        self.begin, self.goal, self.span, self.first_span = begin, goal, span, span
        rewards = [step for step in timeline.rewards if begin <= step < goal]
        self.end = rewards[-1] + 1 if rewards and goal not in timeline.landmarks else goal
        self.latest = max(begin, self.end - (span + 1) // 2)
        self.frontier = self.latest
        self.stride = MAX_STRIDE
        self.window = RecentTrials(WINDOW_MEMORY)
        self.lowest, self.waited_trials, self.waited_updates = self.frontier, 0, 0
        self.handed = RecentTrials(RESET_MEMORY)
        self.pace = 0.0

    @classmethod
    def load(cls, timeline: Timeline, state: StateReader, begin: int, *, span: int) -> Segment:
        segment = cls(timeline, begin, state.integer("goal", begin + 1, timeline.length), span=span)
        segment.frontier = state.integer("frontier", begin, segment.latest)
        segment.stride = state.integer("stride", MIN_STRIDE, MAX_STRIDE)
        segment.span = state.integer("span", span, max(span, MAX_SPAN))
        segment.window = state.trials("window", WINDOW_MEMORY)
        segment.lowest = state.integer("lowest", begin, segment.frontier)
        segment.waited_trials = state.integer("waited_trials", 0)
        segment.waited_updates = state.integer("waited_updates", 0)
        segment.handed = state.trials("handed", RESET_MEMORY)
        segment.pace = state.pace("pace")
        return segment

    def save(self) -> dict[str, Any]:
        return {
            "goal": self.goal,
            "frontier": self.frontier,
            "stride": self.stride,
            "span": self.span,
            "window": save_trials(self.window),
            "lowest": self.lowest,
            "waited_trials": self.waited_trials,
            "waited_updates": self.waited_updates,
            "handed": save_trials(self.handed),
            "pace": self.pace,
        }

    @property
    def left(self) -> int:
        """Demo steps still to climb."""
        return self.frontier - self.begin

    @property
    def window_end(self) -> int:
        return min(self.frontier + self.span, self.end)

    @property
    def tie_rate(self) -> float:
        """The lower of what is known of the window and of the episodes handed over; 0 where nothing is."""
        rates = [trials.tie_rate for trials in (self.window, self.handed) if trials.tie_rate is not None]
        return min(rates, default=0.0)

    @property
    def need(self) -> float:
        """How much there is to learn, in (0, 1]: 1 while it is climbed, then how often it fails."""
        return 1.0 if self.left else max(1.0 - self.tie_rate, LEAST_NEED)

    @property
    def imitation(self) -> float:
        """How much the demo is imitated: 1 while it is climbed, and less the more often the segment is tied as a whole.

        Then the agent needs no one to show the way, and has to become surer than a demonstrator who never had sticky
        actions. Less too where the frontier stands still: there it does as the demonstrator did, which is not enough,
        and imitation is all that keeps it from anything else.
        """
        if not self.left:
            return max(1.0 - self.tie_rate / ENOUGH_TIES, LEAST_IMITATION)
        return max(1.0 / max(self.waited, 1.0), LEAST_IMITATION)

    @property
    def waited(self) -> float:
        """How long the frontier has stood still, as a multiple of what is usual."""
        return min(self.waited_trials / PATIENT_TRIALS, self.waited_updates / PATIENT_UPDATES)

    def cut(self, timeline: Timeline, least: int) -> Segment | None:
        """Gives what lies before a frontier that stands still to a segment of its own, which is returned.

        It is judged at the latest landmark that is at least ``least`` demo steps after the beginning and before the
        frontier, not at it, where a bridge was just made. None where there is none, or where the frontier has not
        stood still for long. This segment begins there from now on.
        """
        landmarks = [step for step in timeline.landmarks if self.begin + least <= step < self.frontier]
        if not landmarks or self.waited < 1:
            return None
        earlier = Segment(timeline, self.begin, landmarks[-1], span=self.first_span)
        earlier.handed, self.handed = self.handed, RecentTrials(RESET_MEMORY)
        self.begin = earlier.goal
        self.lowest = max(self.lowest, self.begin)
        return earlier

    def record(self, tied: bool) -> None:
        """Takes note of a trial from the frontier's window."""
        self.window.add(tied)
        self.waited_trials += 1

    def move(
        self, threshold: float, min_trials: int, patience: int, success: NDArray[np.float64]
    ) -> Literal["advance", "retreat"] | None:
        """Moves the frontier where that is due, once an update; ``success`` is of each bucket of the demo's starts."""
        self.waited_updates += 1
        rate, trials, before = self.window.tie_rate, self.window.total, self.frontier
        if rate is None or not (trials >= min_trials or self.window.surely_reach(threshold, trials=SURE_TRIALS)):
            return None
        reason: Literal["advance", "retreat"]
        if rate >= threshold and self.left > 0:
            stride = next(length for least, length in STRIDES if rate >= least)
            self.frontier = max(self.begin, before - min(stride, self.stride))
            self.stride = min(2 * self.stride, MAX_STRIDE)
            if self.frontier < self.lowest:
                self.lowest, self.waited_trials, self.waited_updates = self.frontier, 0, 0
            reason = "advance"
        elif rate <= COLLAPSE * threshold and trials >= patience and before < self.latest:
            self.frontier = min(before + self._retreat(threshold, success), self.latest)
            self.stride = max(min(self.stride, self.frontier - before) // 2, MIN_STRIDE)
            reason = "retreat"
        else:
            return None
        self.window = RecentTrials(WINDOW_MEMORY)
        return reason

    def ease(self) -> None:
        """Frontier later, window wider."""
        self.frontier = min(self.frontier + MAX_RETREAT, self.latest)
        self.span = min(2 * self.span, MAX_SPAN)
        self.window = RecentTrials(WINDOW_MEMORY)

    def _retreat(self, threshold: float, success: NDArray[np.float64]) -> int:
        """Demo steps from the frontier to the nearest later bucket that is not known to fail, within the limits."""
        first = (self.frontier + MIN_RETREAT) // BUCKET
        candidates = np.flatnonzero(success[first : -(-self.end // BUCKET)] >= threshold)
        if not len(candidates):
            return MAX_RETREAT
        distance = (first + int(candidates[0])) * BUCKET - self.frontier
        return min(max(distance, MIN_RETREAT), MAX_RETREAT)
