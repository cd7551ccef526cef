"""Episodes that begin inside a demo and end when they tie it, fall behind it, or fail."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from demo_curriculum.demo import Demo, Ending, Outcome, Start
from demo_curriculum.envs.arrivals import Arrivals
from demo_curriculum.envs.course import MOST_SLACK, Course, Headway
from demo_curriculum.envs.rewards import Rewards
from demo_curriculum.envs.simulator_env import SimulatorEnv
from demo_curriculum.envs.stage import append_stage, space_with_stage
from demo_curriculum.landmarks import Landmark
from demo_curriculum.simulators.playback import check_same_game

Sample = Callable[[np.random.Generator], Start]
Onward = Callable[[Start, Start, np.random.Generator], Start | None]
Again = Callable[[Start, int, np.random.Generator], Start | None]


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
    begins as one of them arrived, no longer as the demo did; such an episode begins with its second leg. So does one at
    a score or a landmark that an agent came to by itself: from the game's own reset, from another leg, or from where an
    agent had come by itself.

    After a setback, which is a lost life or having fallen behind, as far as the game is not over, ``again`` may let the
    next episode begin right there instead of at a drawn start: as if at the demo step of the latest score or landmark.
    Points lost since then are forgiven, as they may never come back.

    What it is late by, and when it passes a landmark, is ``Headway``'s to say. A landmark passed is worth a reward of
    1, as the next score is by default. A goal that is a landmark is tied by passing it.

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
        forgive: as ``Headway``'s.
        rewards: what the game's rewards are turned into; None leaves them as they are.
        landmarks: of each demo; none by default.
        stages: tell the stage, as ``append_stage`` does.

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
        stages: bool = False,
    ) -> None:
        super().__init__(env)
        self._stages = stages
        if stages:
            self.observation_space = space_with_stage(env.observation_space)
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
        found = landmarks or [()] * len(self.demos)
        self.courses = [Course(demo.returns, its) for demo, its in zip(self.demos, found, strict=True)]
        self._arrivals = Arrivals()
        # Score and demo steps of the best episode from the reset.
        self._record = (0.0, 0)
        # What the next episode begins as where this one had a setback.
        self._following: Start | None = None
        # Whether the agent came here by itself, and not by the demo.
        self._by_itself = False
        self._begin_episode(Start(0, 0, len(self.demos[0])))

    def _begin_episode(self, start: Start, *, clock: int | None = None, setbacks: int = 0) -> None:
        self._origin, self._setbacks = start, setbacks
        self._earlier_score, self._earlier_length, self._leg = 0.0, 0, 0
        self._begin_leg(start, clock)

    def _begin_leg(self, start: Start, clock: int | None = None) -> None:
        """``clock`` as ``Headway``'s."""
        self._start = start
        self._headway = Headway(
            self.courses[start.demo],
            start.step,
            start.goal,
            lag=self.lag,
            forgive=self.forgive,
            clock=clock,
            walked=len(start.walk) * self.env.frame_skip,
        )
        self._length = 0
        self._tail_left: int | None = None
        self._lives = self.env.simulator.lives

    @property
    def slack(self) -> int:
        """Demo steps until the lag ends the episode if nothing is gained; ``MOST_SLACK`` at most, and after a tie."""
        return MOST_SLACK if self._tail_left is not None else self._headway.slack

    def _told(self, observation: NDArray[Any]) -> NDArray[Any]:
        return append_stage(observation, self._headway.stage) if self._stages else observation

    @property
    def latest(self) -> NDArray[Any]:
        """The observation last returned."""
        return self._told(self.env.latest)

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
        arrival = None if start.walk else self._arrivals.draw(start.demo, start.step, self.env.np_random)
        if arrival is not None:
            observation = self.env.begin_as(arrival)
        elif start.step <= demo.reset_step:
            observation, _ = self.env.reset()
            if start.walk:
                observation = self.env.wait(start.walk)
        else:
            observation = self.env.begin(demo, start.step, start.demo, start.walk)
        self._begin_episode(start, clock=None if arrival is None else arrival.clock)
        self._by_itself = arrival is not None or start.step <= demo.reset_step
        if arrival is not None:
            self._leg = 1
        return self._told(observation), {"demo_start": start, "lives": self._lives}

    def _go_on_from(self, start: Start) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begins an episode where the last one had a setback."""
        self._following = None
        self.env.path = None
        self._begin_episode(start, setbacks=self._setbacks + 1)
        return self.latest, {"demo_start": start, "lives": self._lives}

    def step(self, action: np.int64 | int) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        observation, reward, over, _, info = self.env.step(action)
        learned = self._learned(reward)
        self._length += 1
        tied_before = self._tail_left is not None
        reached = self._headway.reached
        learned += self._headway.move(self.env.frame_skip, reward, observation[-1], looking=not tied_before)
        if self._headway.reached > reached and self._headway.reached < self._start.goal:
            self._arrive_at(self._headway.reached)
        outcomes = []
        ending = self._ending(observation[-1], over, info["lives"], reward)
        ties = self._tail_left is not None and not tied_before
        if self._start.goal in self.courses[self._start.demo].landmarks:
            learned += ties
        if ending is None and ties:
            following = None
            if self.onward is not None:
                following = self.onward(self._origin, self._start, self.env.np_random)
            self._by_itself |= following is not None
            self._arrive_at(self._start.goal)
            if following is not None:
                outcomes.append(self._outcome("tie"))
                self._earlier_score += self._headway.score
                self._earlier_length += self._length
                self._leg += 1
                self._begin_leg(following, clock=self._headway.clock)
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
        return self._told(observation), learned, ending in ("terminated", "life", "lag"), ending == "tie", info

    def _after_setback(self) -> Start | None:
        if self.again is None or self._tail_left is not None:
            return None
        return self.again(self._start, self._headway.reached, self.env.np_random)

    def _arrive_at(self, step: int) -> None:
        """Keeps what is here, if the agent came by itself, for episodes to begin at ``step``."""
        if self._by_itself and step < len(self.demos[self._start.demo]):
            self._arrivals.add(self._start.demo, step, self.env.arrive(self._headway.clock))

    def _learned(self, reward: float) -> float:
        """What ``reward``, not yet in the score, is turned into."""
        if not reward or self.rewards is None:
            return reward
        return self.rewards(self._start.demo, self._headway.before + self._headway.score, reward)

    def _outcome(self, ending: Ending) -> Outcome:
        score, tied = self._headway.score, self._tail_left is not None
        return Outcome(self._start, score, self._length, tied, ending, self._leg, self._setbacks)

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

    def _ending(self, seen: NDArray[Any], over: bool, lives: int, reward: float) -> Ending | None:
        if self._tail_left is not None:
            self._tail_left -= self.env.frame_skip
            if reward > 0 and self.beyond and self._tied_the_whole:
                self._tail_left = self.beyond
        elif self._headway.reach_goal(seen):
            tail = int(math.exp(self.tail * self.env.np_random.random()))
            self._tail_left = self.beyond if self.beyond and self._tied_the_whole else tail
        if over:
            return "terminated"
        if self.end_on_life_loss and lives < self._lives:
            return "life"
        if self._tail_left is not None:
            return "tie" if self._tail_left <= 0 else None
        return "lag" if self._headway.late else None

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here, in the middle of an episode."""
        return {
            "env": self.env.state_dict(),
            "origin": list(self._origin),
            "start": list(self._start),
            "earlier": [self._earlier_score, self._earlier_length, self._leg],
            "setbacks": self._setbacks,
            "by_itself": self._by_itself,
            "following": None if self._following is None else list(self._following),
            "headway": self._headway.state_dict(),
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
        self._by_itself = state["by_itself"]
        self._following = None if state["following"] is None else _loaded(state["following"])
        self._earlier_score, self._earlier_length, self._leg = state["earlier"]
        self._headway.load_state_dict(state["headway"])
        self._length, self._tail_left, self._lives = state["length"], state["tail_left"], state["lives"]
        self._arrivals.load_state_dict(state["arrivals"])
        self._record = (state["record"][0], state["record"][1])


def _loaded(values: Sequence[Any]) -> Start:
    """A start as ``state_dict`` gave it, whose walk JSON may have made a list."""
    demo, step, goal, walk = values
    return Start(demo, step, goal, tuple(walk))
