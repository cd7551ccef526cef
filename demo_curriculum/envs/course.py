"""A demo as what an agent is measured against, and how far along it an agent has come."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.demo import new_scores
from demo_curriculum.landmarks import Landmark

MOST_SLACK = 1000
"""Demo steps of slack beyond which more makes no difference."""


def lag_floor(returns: NDArray[np.float64], goal: int, lag: int) -> NDArray[np.float64]:
    """The least score that is not yet too far behind the demo, for each demo step from 0 to ``goal + lag``.

    ``floor[t] = min(returns[t - lag .. min(t + lag, goal)])``: Go-Explore's windowed form (Ecoffet et al. 2021,
    phase 2) of the published ``returns[t - lag]`` (Salimans & Chen 2018), to which it is equal where no reward is
    negative. Before the demo's first step the demo has gathered nothing.

    Args:
        returns: f64 (T+1,), the demo's score before each step.

    Returns:
        f64 (goal + lag + 1,)
    """
    reached = returns[: goal + 1]
    padded = np.concatenate([np.zeros(lag), reached, np.full(2 * lag, np.inf)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * lag + 1)
    return np.asarray(windows.min(axis=1)[: goal + lag + 1])


class Course:
    """A demo's scores and landmarks, by demo step.

    Args:
        returns: f64 (T+1,), the demo's score before each step.
        landmarks: of the demo.

    Attributes:
        scenes: the steps of the landmarks, in order.
        stages: the steps at which the demo gets as far as it never was: has a score for the first time, or comes to a
            landmark; in order.
    """

    def __init__(self, returns: NDArray[np.float64], landmarks: Sequence[Landmark] = ()) -> None:
        self.returns = returns
        self.landmarks = {landmark.step: landmark for landmark in landmarks}
        self.scenes = sorted(self.landmarks)
        self.best = np.maximum.accumulate(returns)
        self.stages = sorted({*self.scenes, *new_scores(returns).tolist()})
        self._floors: dict[tuple[int, int], NDArray[np.float64]] = {}

    def __len__(self) -> int:
        """The demo's steps."""
        return len(self.returns) - 1

    def floor(self, goal: int, lag: int) -> NDArray[np.float64]:
        """``lag_floor`` of this demo."""
        if (goal, lag) not in self._floors:
            self._floors[goal, lag] = lag_floor(self.returns, goal, lag)
        return self._floors[goal, lag]

    def had(self, score: float) -> int:
        """The step at which the demo first had about as much: of the scores that it had the nearest, of two the higher.

        An agent may have gained what the demonstrator did not, or lost it: it is not where he was that much later.
        """
        score = min(score, float(self.best[-1]))
        above = int(np.searchsorted(self.best, score))
        below = self.best[max(above - 1, 0)]
        return above if self.best[above] - score <= score - below else int(np.searchsorted(self.best, below))

    def stage(self, steps: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many of the stages lie behind at each of ``steps``."""
        return np.searchsorted(self.stages, steps, side="right")


class Headway:
    """How far an agent has come since it set out from demo step ``step`` towards ``goal``, and how late it is.

    A landmark is passed when its scene is seen, with the demo's score there and at most ``lag`` demo steps later than
    the demo, or earlier by as long as the scene is new to the demo and by what the agent was early before. Of those on
    the way the next one is looked for, and nothing comes of missing it: there may be other ways. A goal that is a
    landmark is reached by passing it.

    An agent that comes to a score (``Course.had``) or a landmark for which the demo needed until step t is never later
    than t: what it lost on the way is forgiven, since sticky actions alone would add up to any lag (``forgive=False``,
    as published, keeps it).

    Args:
        lag: demo steps that the agent may be behind the demo.
        clock: the demo step that the agent is at by its time, as far as it is earlier than ``step``.
        walked: demo steps that it went away from ``step``: it takes as long back.

    Attributes:
        score: gained since then.
        reached: the demo step of the latest score or landmark.
    """

    def __init__(
        self,
        course: Course,
        step: int,
        goal: int,
        *,
        lag: int,
        forgive: bool = True,
        clock: int | None = None,
        walked: int = 0,
    ) -> None:
        self._course, self._goal, self._lag, self._forgive = course, goal, lag, forgive
        self._landmark = course.landmarks.get(goal)
        self.before = float(course.returns[max(step, 0)])
        # How many of the landmarks lie behind.
        self._passed = bisect_right(course.scenes, step)
        self.reached = course.had(float(course.best[max(step, 0)]))
        if self._passed:
            self.reached = max(self.reached, course.scenes[self._passed - 1])
        self.clock = step - walked if clock is None else min(step - walked, clock)
        self._early = step - walked - self.clock
        self.score = 0.0
        self._deadline = self._find_deadline()

    def _find_deadline(self) -> int:
        """The demo step from which on the agent is late if nothing is gained from now on."""
        floor = self._course.floor(self._goal, self._lag)
        now = min(max(self.clock, 0), len(floor) - 1)
        late = floor[now:] > self.before + self.score
        deadline = now + int(late.argmax()) if late.any() else len(floor) + MOST_SLACK
        return deadline if self._landmark is None else min(deadline, self._goal + self._lag + 1)

    @property
    def slack(self) -> int:
        """Demo steps until the agent is late if nothing is gained; ``MOST_SLACK`` at most."""
        return min(max(self._deadline - self.clock, 0), MOST_SLACK)

    @property
    def late(self) -> bool:
        """Whether the agent has fallen behind the demo."""
        if self._landmark is not None and self.clock > self._goal + self._lag:
            return True
        floor = self._course.floor(self._goal, self._lag)
        return bool(self.before + self.score < floor[min(max(self.clock, 0), len(floor) - 1)])

    @property
    def stage(self) -> int:
        """How many of the demo's stages lie behind."""
        return bisect_right(self._course.stages, self.reached)

    def move(self, steps: int, reward: float, seen: NDArray[Any], *, looking: bool = True) -> bool:
        """Takes ``steps`` demo steps that brought ``reward`` and led to what is ``seen``.

        Returns:
            whether a landmark before the goal is passed now; never where nobody is ``looking`` for it.
        """
        self.score += reward
        self.clock += steps
        if reward > 0:
            # Points lost and got again are none that the demo had only later.
            had = self._course.had(self.before + self.score)
            if had > self.reached:
                self._come_to(had)
        passes = looking and self._passes_landmark(seen)
        if reward:
            self._deadline = self._find_deadline()
        return passes

    def reach_goal(self, seen: NDArray[Any]) -> bool:
        """Whether the goal is tied now by who sees this."""
        if self.score < float(self._course.returns[self._goal]) - self.before:
            return False
        if self._landmark is not None and not self._sees(self._landmark, seen):
            return False
        self.reached = max(self.reached, self._goal)
        return True

    def _come_to(self, step: int) -> None:
        """The agent is as far as the demo was at ``step``."""
        self.reached = max(self.reached, step)
        if self._forgive:
            self.clock = min(self.clock, step)
        self._early = max(step - self.clock, 0)
        self._passed = max(self._passed, bisect_right(self._course.scenes, step))

    def _passes_landmark(self, seen: NDArray[Any]) -> bool:
        scenes = self._course.scenes
        while self._passed < len(scenes) and self.clock > scenes[self._passed] + self._lag:
            self._passed += 1
        if self._passed == len(scenes) or scenes[self._passed] >= self._goal:
            return False
        step = scenes[self._passed]
        behind = self.before + self.score < self._course.returns[step]
        if behind or not self._sees(self._course.landmarks[step], seen):
            return False
        self._come_to(step)
        return True

    def _sees(self, landmark: Landmark, seen: NDArray[Any]) -> bool:
        # Earlier than that the scene may be one that the demo came through before. Who was early may come early.
        earliest = landmark.step - landmark.news - self._early
        return self.clock >= earliest and landmark.seen(seen)

    def state_dict(self) -> dict[str, Any]:
        """What has changed since it set out."""
        return {
            "clock": self.clock,
            "early": self._early,
            "passed": self._passed,
            "reached": self.reached,
            "score": self.score,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.clock, self._early = state["clock"], state["early"]
        self._passed, self.reached, self.score = state["passed"], state["reached"], state["score"]
        self._deadline = self._find_deadline()
