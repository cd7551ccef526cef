"""Episodes that begin inside a demo and end when they tie it, fall behind it, or fail."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from demo_curriculum.demo import Demo, Ending, Outcome, Start
from demo_curriculum.envs.simulator_env import SimulatorEnv
from demo_curriculum.simulators.playback import check_same_game

Sample = Callable[[np.random.Generator], Start]


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
      u uniform in [0, 1): nothing in the game ends there, so a value should be bootstrapped;
    - as a *termination* when its score falls below the demo's of ``lag`` demo steps earlier (``lag_floor``), as
      published, so that dawdling has no future to hope for; or when a life is lost, if ``end_on_life_loss``;
    - as the game itself says.

    ``info["demo_start"]`` is the ``Start`` after a reset and the ``Outcome`` with an episode's last step.

    Args:
        env: plays the game.
        demos: what ``Start.demo`` points into.
        sample: draws a start from the environment's generator, usually ``curriculum.sample``.
        lag: demo steps that the agent may be behind the demo; 50 in the paper.
        tail: 7 in the paper (157 demo steps in the mean).
        end_on_life_loss: as the paper does; Go-Explore does not.

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
        lag: int = 100,
        tail: float = 7.0,
        end_on_life_loss: bool = True,
    ) -> None:
        super().__init__(env)
        for demo in demos:
            check_same_game(env.simulator, demo)
        self.demos = list(demos)
        self.sample = sample
        self.lag = lag
        self.tail = tail
        self.end_on_life_loss = end_on_life_loss
        self._returns = [demo.returns for demo in self.demos]
        self._floors: dict[tuple[int, int], NDArray[np.float64]] = {}
        self._begin_account(Start(0, 0, len(self.demos[0])))

    def _begin_account(self, start: Start) -> None:
        self._start = start
        returns = self._returns[start.demo]
        self._before = float(returns[max(start.step, 0)])
        self._target = float(returns[start.goal]) - self._before
        self._clock = start.step
        self._score = 0.0
        self._length = 0
        self._tail_left: int | None = None
        self._lives = self.env.simulator.lives

    def _floor(self, start: Start) -> NDArray[np.float64]:
        key = (start.demo, start.goal)
        if key not in self._floors:
            self._floors[key] = lag_floor(self._returns[start.demo], start.goal, self.lag)
        return self._floors[key]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        if seed is not None:
            self.env.reset(seed=seed)
        start = self.sample(self.env.np_random)
        demo = self.demos[start.demo]
        if start.step <= demo.reset_step:
            observation, _ = self.env.reset()
        else:
            observation = self.env.begin(demo, start.step, start.demo)
        self._begin_account(start)
        return observation, {"demo_start": start, "lives": self._lives}

    def step(self, action: np.int64 | int) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        observation, reward, over, _, info = self.env.step(action)
        self._score += reward
        self._length += 1
        self._clock += self.env.frame_skip
        ending = self._ending(over, info["lives"])
        self._lives = info["lives"]
        if ending is not None:
            tied = self._tail_left is not None
            info["demo_start"] = Outcome(self._start, self._score, self._length, tied, ending)
        return observation, reward, ending in ("terminated", "life", "lag"), ending == "tie", info

    def _ending(self, over: bool, lives: int) -> Ending | None:
        if self._tail_left is not None:
            self._tail_left -= self.env.frame_skip
        elif self._score >= self._target:
            self._tail_left = int(math.exp(self.tail * self.env.np_random.random()))
        if over:
            return "terminated"
        if self.end_on_life_loss and lives < self._lives:
            return "life"
        if self._tail_left is not None:
            return "tie" if self._tail_left <= 0 else None
        floor = self._floor(self._start)
        step = min(max(self._clock, 0), len(floor) - 1)
        return "lag" if self._before + self._score < floor[step] else None

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here, in the middle of an episode."""
        return {
            "env": self.env.state_dict(),
            "start": list(self._start),
            "clock": self._clock,
            "score": self._score,
            "length": self._length,
            "tail_left": self._tail_left,
            "lives": self._lives,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.env.load_state_dict(state["env"])
        self._begin_account(Start(*state["start"]))
        self._clock, self._score, self._length = state["clock"], state["score"], state["length"]
        self._tail_left, self._lives = state["tail_left"], state["lives"]
