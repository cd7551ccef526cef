"""The stage of a demo that an agent has come to, told with each observation.

In many games one sees where one is, and not what one has done: a room is passed through twice, the second time with
another aim. What an agent has got, and which landmarks it has seen in their turn, the environment knows in training and
in play alike.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from demo_curriculum.envs.course import Course, Headway
from demo_curriculum.envs.simulator_env import SimulatorEnv
from demo_curriculum.simulators.protocol import Simulator

MOST_STAGES = 255
"""That are told apart, the most that a byte can tell."""


def append_stage(observations: NDArray[Any], stage: int | NDArray[np.int64]) -> NDArray[Any]:
    """``observations`` (..., features) with one entry more, (..., features + 1): the stage, ``MOST_STAGES`` at most.

    Args:
        stage: of each observation, (...,), or of all.
    """
    told = np.empty((*observations.shape[:-1], observations.shape[-1] + 1), observations.dtype)
    told[..., :-1] = observations
    told[..., -1] = np.minimum(stage, MOST_STAGES)
    return told


def space_with_stage(space: gym.Space[NDArray[Any]]) -> gym.Space[NDArray[Any]]:
    """That of observations (stack, features) with the stage appended."""
    assert isinstance(space, gym.spaces.Box)
    low, high = append_stage(space.low, 0), append_stage(space.high, MOST_STAGES)
    return gym.spaces.Box(low, high, dtype=low.dtype.type)


class StageObservation(gym.Wrapper[NDArray[Any], np.int64, NDArray[Any], np.int64]):
    """Tells the stage in play from the game's own reset, as ``DemoStart`` does in training.

    After a lost life, and where the agent falls behind, it goes on as an episode after a setback does.

    Args:
        env: plays the game.
        course: of the demo that is followed.
        reset_step: the demo step at which the game's own reset is.
        lag: demo steps that the agent may be behind the demo.
    """

    env: SimulatorEnv

    def __init__(self, env: SimulatorEnv, course: Course, *, reset_step: int, lag: int) -> None:
        super().__init__(env)
        self.observation_space = space_with_stage(env.observation_space)
        self._course, self._reset_step, self._lag = course, reset_step, lag

    @property
    def simulator(self) -> Simulator:
        return self.env.simulator

    @property
    def frames(self) -> int:
        """As ``SimulatorEnv``'s."""
        return self.env.frames

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        self._lives = info["lives"]
        self._set_out(self._reset_step)
        return append_stage(observation, self._headway.stage), info

    def _set_out(self, step: int) -> None:
        self._headway = Headway(self._course, step, len(self._course), lag=self._lag)

    def step(self, action: np.int64 | int) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        observation, reward, over, truncated, info = self.env.step(action)
        self._headway.move(self.env.frame_skip, reward, observation[-1])
        if info["lives"] < self._lives or self._headway.late:
            self._set_out(self._headway.reached)
        self._lives = info["lives"]
        return append_stage(observation, self._headway.stage), reward, over, truncated, info
