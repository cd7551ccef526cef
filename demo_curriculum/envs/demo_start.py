"""Episodes that begin inside a demo and end when they tie it, fall behind it, or fail."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from demo_curriculum.demo import Demo, Ending, Outcome, Start
from demo_curriculum.envs.arrivals import Arrivals
from demo_curriculum.envs.rewards import Rewards
from demo_curriculum.envs.simulator_env import SimulatorEnv
from demo_curriculum.landmarks import Landmark
from demo_curriculum.simulators.playback import check_same_game

Sample = Callable[[np.random.Generator], Start]
Onward = Callable[[Start, Start, np.random.Generator], Start | None]
Again = Callable[[Start, int, np.random.Generator], Start | None]


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


class DemoStart(gym.Wrapper[NDArray[Any], np.int64, NDArray[Any], np.int64]):
    """Begins each episode at a start drawn from ``sample`` and judges it against the demo.

    An episode ends

    - as a *truncation* once the agent has tied the demo and a tail of ``int(exp(tail * u))`` demo steps has passed,
      u uniform in [0, 1): nothing in the game ends there, so a value should be bootstrapped. An episode from the game's
      own reset that has tied the whole demo goes on to look for more, until ``beyond`` demo steps bring no reward;
    - as a *termination* when its score falls below the demo's of ``lag`` demo steps earlier (``lag_floor``), as
      published, so that dawdling has no future to hope for; or when a life is lost, if ``end_on_life_loss``;
    - as the game itself says.

    After a tie it may also go on, as if begun at the demo step where ``onward`` says; then its score counts from there,
    and its lateness too, unless it was faster than the demo: what it gained it keeps. A start at which episodes went on
    begins as one of them arrived, no longer as the demo did; such an episode begins with its second leg.

    After a setback, which is a lost life or having fallen behind, as far as the game is not over, ``again`` may let the
    next episode begin right there instead of at a drawn start: as if at the demo step of the latest score or landmark.
    Points lost since then are forgiven, as they may never come back.

    A landmark is passed when its scene is seen, with the demo's score there and at most ``lag`` demo steps later than
    the demo, or earlier by as long as the scene is new to the demo and by what it was early before; that is worth a
    reward of 1, as the next score is by default. A goal that is a landmark is tied by passing it. Of those on the way
    the next one is looked for, and nothing comes of missing it: there may be other ways.

    An agent that reaches a score or a landmark for which the demo needed until step t is never later than t: what it
    lost on the way is forgiven, since sticky actions alone would add up to any lag (``forgive=False``, as published,
    keeps it).

    ``info["demo_start"]`` is the ``Start`` after a reset and the ``Outcome`` with an episode's last step, of its last
    leg. ``info["outcomes"]`` holds all outcomes that a step brought, one a leg; and for an episode that went on from
    the game's own reset also that of the whole, judged up to the demo's end. The whole's has the ``path`` where it
    scores more than 0 and any before in this environment, or ties with as much in fewer steps.

    ``slack`` is how many demo steps are left until the lag ends the episode if nothing is gained. The agent cannot see
    it and must not, as there is no demo to be behind of in the real game; but what a state is worth depends on it.

    Args:
        env: plays the game.
        demos: what ``Start.demo`` points into.
        sample: draws a start from the environment's generator, usually ``curriculum.sample``.
        onward: what an episode goes on with after a tie, usually ``curriculum.onward``; nothing by default.
        again: what follows a setback, usually ``curriculum.again``; a drawn start by default.
        lag: demo steps that the agent may be behind the demo; 50 in the paper.
        tail: 7 in the paper (157 demo steps in the mean).
        beyond: 0 gives such episodes the tail that all others have.
        end_on_life_loss: as the paper does; Go-Explore does not.
        rewards: what the game's rewards are turned into; None leaves them as they are.
        landmarks: of each demo; none by default.

    Example:
        >>> from demo_curriculum.simulators import make_simulator
        >>> from demo_curriculum.simulators.playback import play_demo
        >>> simulator = make_simulator("LockedChain-3")
        >>> demo = play_demo(simulator, simulator.keys.tolist(), origin="script")
        >>> env = DemoStart(SimulatorEnv(simulator, frame_skip=1), [demo], lambda rng: Start(0, 2, 3))
        >>> _, info = env.reset(seed=1)
        >>> info["demo_start"].step
        2
        >>> *_, info = env.step(simulator.keys[2])
        >>> info["demo_start"].tied
        True

    Raises:
        MismatchError: a demo is of another game than the environment's.
    """

    env: SimulatorEnv

    def __init__(
        self,
        env: SimulatorEnv,
        demos: Sequence[Demo],
        sample: Sample,
        *,
        onward: Onward | None = None,
        again: Again | None = None,
        lag: int = 200,
        tail: float = 7.0,
        beyond: int = 0,
        end_on_life_loss: bool = True,
        forgive: bool = True,
        rewards: Rewards | None = None,
        landmarks: Sequence[Sequence[Landmark]] = (),
    ) -> None:
        super().__init__(env)
        for demo in demos:
            check_same_game(env.simulator, demo)
        self.demos = list(demos)
        self.sample = sample
        self.onward = onward
        self.again = again
        self.lag = lag
        self.tail = tail
        self.beyond = beyond
        self.end_on_life_loss = end_on_life_loss
        self.forgive = forgive
        self.rewards = rewards
        self._landmarks = {
            (demo, landmark.step): landmark for demo, found in enumerate(landmarks) for landmark in found
        }
        self._scenes = [[landmark.step for landmark in found] for found in landmarks] or [[] for _ in self.demos]
        self._returns = [demo.returns for demo in self.demos]
        self._best = [np.maximum.accumulate(returns) for returns in self._returns]
        self._floors: dict[tuple[int, int], NDArray[np.float64]] = {}
        self._arrivals = Arrivals()
        # Score and demo steps of the best episode from the reset.
        self._record = (0.0, 0)
        # What the next episode begins as where this one had a setback.
        self._following: Start | None = None
        self._begin_episode(Start(0, 0, len(self.demos[0])))

    def _begin_episode(self, start: Start, *, clock: int | None = None, setbacks: int = 0) -> None:
        self._origin, self._setbacks = start, setbacks
        self._earlier_score, self._earlier_length, self._leg = 0.0, 0, 0
        self._begin_leg(start, clock)

    def _begin_leg(self, start: Start, clock: int | None = None) -> None:
        """``clock``: the demo step that the agent is at by its time, as far as it is faster than the demo."""
        self._start = start
        self._landmark = self._landmarks.get((start.demo, start.goal))
        scenes, returns = self._scenes[start.demo], self._returns[start.demo]
        # How many of the landmarks lie behind.
        self._passed = bisect_right(scenes, start.step)
        self._before = float(returns[max(start.step, 0)])
        self._target = float(returns[start.goal]) - self._before
        self._peak = float(self._best[start.demo][max(start.step, 0)])
        # The demo step of the latest score or landmark.
        self._reached = int(np.searchsorted(self._best[start.demo], self._peak))
        if self._passed:
            self._reached = max(self._reached, scenes[self._passed - 1])
        # A walk away takes as long back.
        demo_clock = start.step - len(start.walk) * self.env.frame_skip
        self._clock = demo_clock if clock is None else min(demo_clock, clock)
        self._early = demo_clock - self._clock
        self._score = 0.0
        self._length = 0
        self._tail_left: int | None = None
        self._lives = self.env.simulator.lives
        self._deadline = self._find_deadline()

    def _floor(self, start: Start) -> NDArray[np.float64]:
        key = (start.demo, start.goal)
        if key not in self._floors:
            self._floors[key] = lag_floor(self._returns[start.demo], start.goal, self.lag)
        return self._floors[key]

    def _find_deadline(self) -> int:
        """The demo step at which the lag ends the episode if nothing is gained from now on."""
        floor = self._floor(self._start)
        now = min(max(self._clock, 0), len(floor) - 1)
        late = floor[now:] > self._before + self._score
        deadline = now + int(late.argmax()) if late.any() else len(floor) + MOST_SLACK
        return deadline if self._landmark is None else min(deadline, self._start.goal + self.lag + 1)

    @property
    def slack(self) -> int:
        """Demo steps until the lag ends the episode if nothing is gained; ``MOST_SLACK`` at most, and after a tie."""
        if self._tail_left is not None:
            return MOST_SLACK
        return min(max(self._deadline - self._clock, 0), MOST_SLACK)

    @property
    def began(self) -> tuple[int, int]:
        """The demo and the demo step at which the episode began."""
        return self._origin.demo, self._origin.step

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        if seed is not None:
            self.env.reset(seed=seed)
            self._following = None
        if self._following is not None:
            return self._go_on_from(self._following)
        start = self.sample(self.env.np_random)
        demo = self.demos[start.demo]
        arrival = self._arrivals.draw(start, self.env.np_random)
        if arrival is not None:
            observation = self.env.begin_as(arrival)
        elif start.step <= demo.reset_step:
            observation, _ = self.env.reset()
            if start.walk:
                observation = self.env.wait(start.walk)
        else:
            observation = self.env.begin(demo, start.step, start.demo, start.walk)
        self._begin_episode(start, clock=None if arrival is None else arrival.clock)
        if arrival is not None:
            self._leg = 1
        return observation, {"demo_start": start, "lives": self._lives}

    def _go_on_from(self, start: Start) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begins an episode where the last one had a setback."""
        self._following = None
        self.env.path = None
        self._begin_episode(start, setbacks=self._setbacks + 1)
        return self.env.latest, {"demo_start": start, "lives": self._lives}

    def step(self, action: np.int64 | int) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        observation, reward, over, _, info = self.env.step(action)
        learned = self._learned(reward)
        self._score += reward
        self._length += 1
        self._clock += self.env.frame_skip
        self._notice_score()
        learned += self._passes_landmark(observation[-1])
        if reward:
            self._deadline = self._find_deadline()
        outcomes = []
        tied_before = self._tail_left is not None
        ending = self._ending(observation[-1], over, info["lives"], reward)
        if self._landmark is not None and self._tail_left is not None and not tied_before:
            learned += 1.0
        if ending is None and self._tail_left is not None and not tied_before and self.onward is not None:
            following = self.onward(self._origin, self._start, self.env.np_random)
            if following is not None:
                outcomes.append(self._outcome("tie"))
                self._earlier_score += self._score
                self._earlier_length += self._length
                self._leg += 1
                self._begin_leg(following, clock=self._clock)
                self._arrivals.add(following, self.env.arrive(self._clock))
        self._lives = info["lives"]
        if ending is not None:
            self._following = self._after_setback() if ending in ("life", "lag") else None
            outcome = self._outcome(ending)
            whole = self._whole(outcome)
            if whole is None:
                outcome = self._with_path(outcome)
            outcomes += [outcome] if whole is None else [outcome, self._with_path(whole)]
            info["demo_start"] = outcome
        if outcomes:
            info["outcomes"] = outcomes
        return observation, learned, ending in ("terminated", "life", "lag"), ending == "tie", info

    def _after_setback(self) -> Start | None:
        if self.again is None or self._tail_left is not None:
            return None
        return self.again(self._start, self._reached, self.env.np_random)

    def _learned(self, reward: float) -> float:
        """What ``reward``, not yet in the score, is turned into."""
        if not reward or self.rewards is None:
            return reward
        return self.rewards(self._start.demo, self._before + self._score, reward)

    def _notice_score(self) -> None:
        score = self._before + self._score
        if score > self._peak:
            self._peak = score
            # Where the demo first had as much; beyond its end where it never had.
            self._come_to(int(np.searchsorted(self._best[self._start.demo], score)))

    def _come_to(self, step: int) -> None:
        """The agent is as far as the demo was at ``step``."""
        self._reached = max(self._reached, step)
        if self.forgive:
            self._clock = min(self._clock, step)
        self._early = max(step - self._clock, 0)
        self._passed = max(self._passed, bisect_right(self._scenes[self._start.demo], step))

    def _passes_landmark(self, seen: NDArray[Any]) -> bool:
        """Whether the next landmark before the goal is passed now."""
        demo, goal = self._start.demo, self._start.goal
        scenes = self._scenes[demo]
        if self._tail_left is not None:
            return False
        while self._passed < len(scenes) and self._clock > scenes[self._passed] + self.lag:
            self._passed += 1
        if self._passed == len(scenes) or scenes[self._passed] >= goal:
            return False
        step = scenes[self._passed]
        behind = self._before + self._score < self._returns[demo][step]
        if behind or not self._sees(self._landmarks[demo, step], seen):
            return False
        self._come_to(step)
        return True

    def _outcome(self, ending: Ending) -> Outcome:
        return Outcome(
            self._start, self._score, self._length, self._tail_left is not None, ending, self._leg, self._setbacks
        )

    def _with_path(self, outcome: Outcome) -> Outcome:
        """With the path, if that of an episode from the reset is a new record."""
        path = self.env.path
        if path is None:
            return outcome
        score, steps = self._record
        if outcome.score > score or (outcome.tied and outcome.score == score and len(path) < steps):
            self._record = (outcome.score, len(path))
            return replace(outcome, path=tuple(path))
        return outcome

    def _whole(self, last: Outcome) -> Outcome | None:
        """Of an episode from the game's own reset whose legs were not judged up to the demo's end at once."""
        demo = self.demos[self._origin.demo]
        if self._setbacks or self._origin.step != demo.reset_step or self._origin.goal == len(demo):
            return None
        start = self._origin._replace(goal=len(demo))
        score, length = self._earlier_score + last.score, self._earlier_length + last.length
        return Outcome(start, score, length, last.tied and last.start.goal == len(demo), last.ending)

    @property
    def _tied_the_whole(self) -> bool:
        """Once the goal is tied: whether the episode has played all of the demo, from the game's own reset."""
        demo = self.demos[self._start.demo]
        return not self._setbacks and self._origin.step == demo.reset_step and self._start.goal == len(demo)

    def _reaches_goal(self, seen: NDArray[Any]) -> bool:
        if self._score < self._target:
            return False
        return self._landmark is None or self._sees(self._landmark, seen)

    def _sees(self, landmark: Landmark, seen: NDArray[Any]) -> bool:
        # Earlier than that the scene may be one that the demo came through before. Who was early may come early.
        earliest = landmark.step - landmark.news - self._early
        return self._clock >= earliest and landmark.seen(seen)

    def _ending(self, seen: NDArray[Any], over: bool, lives: int, reward: float) -> Ending | None:
        if self._tail_left is not None:
            self._tail_left -= self.env.frame_skip
            if reward > 0 and self.beyond and self._tied_the_whole:
                self._tail_left = self.beyond
        elif self._reaches_goal(seen):
            tail = int(math.exp(self.tail * self.env.np_random.random()))
            self._tail_left = self.beyond if self.beyond and self._tied_the_whole else tail
        if over:
            return "terminated"
        if self.end_on_life_loss and lives < self._lives:
            return "life"
        if self._tail_left is not None:
            return "tie" if self._tail_left <= 0 else None
        floor = self._floor(self._start)
        step = min(max(self._clock, 0), len(floor) - 1)
        late = self._landmark is not None and self._clock > self._start.goal + self.lag
        return "lag" if late or self._before + self._score < floor[step] else None

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here, in the middle of an episode."""
        return {
            "env": self.env.state_dict(),
            "origin": list(self._origin),
            "start": list(self._start),
            "earlier": [self._earlier_score, self._earlier_length, self._leg],
            "setbacks": self._setbacks,
            "following": None if self._following is None else list(self._following),
            "clock": self._clock,
            "early": self._early,
            "peak": self._peak,
            "passed": self._passed,
            "reached": self._reached,
            "score": self._score,
            "length": self._length,
            "tail_left": self._tail_left,
            "lives": self._lives,
            "arrivals": self._arrivals.state_dict(),
            "record": list(self._record),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.env.load_state_dict(state["env"])
        self._begin_episode(_loaded(state["origin"]), setbacks=state["setbacks"])
        self._begin_leg(_loaded(state["start"]))
        self._following = None if state["following"] is None else _loaded(state["following"])
        self._earlier_score, self._earlier_length, self._leg = state["earlier"]
        self._clock, self._early, self._peak = state["clock"], state["early"], state["peak"]
        self._passed, self._reached = state["passed"], state["reached"]
        self._score, self._length = state["score"], state["length"]
        self._tail_left, self._lives = state["tail_left"], state["lives"]
        self._deadline = self._find_deadline()
        self._arrivals.load_state_dict(state["arrivals"])
        self._record = (state["record"][0], state["record"][1])


def _loaded(values: Sequence[Any]) -> Start:
    """A start as ``state_dict`` gave it, whose walk JSON may have made a list."""
    demo, step, goal, walk = values
    return Start(demo, step, goal, tuple(walk))
