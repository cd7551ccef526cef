"""Many demo-started environments stepped together in one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from demo_curriculum.envs.demo_start import DemoStart


class DemoStartVectorEnv(gym.vector.VectorEnv[NDArray[Any], NDArray[np.int64], NDArray[Any]]):
    """N environments of one kind; an episode's end and the next one's first observation share a step.

    ``step`` returns observations (N, ...) after any resets, rewards f64 (N,), terminations and truncations bool (N,),
    and infos with

    - ``next_observations`` (N, ...): what each step led to, before any reset; the thing to bootstrap from;
    - ``slack``, ``next_slack`` i32 (N,): ``DemoStart.slack`` after any resets, and before them;
    - ``outcomes``: each ``Outcome`` that the step brought, in order of the environments;
    - ``valid`` bool (N,): whether a row is the policy's own doing and may be learned from.

    Args:
        make_env: called N times.
    """

    metadata = {"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP}  # noqa: RUF012 - Gymnasium's own declaration

    def __init__(self, make_env: Callable[[], DemoStart], num_envs: int) -> None:
        self.envs: Sequence[DemoStart] = [make_env() for _ in range(num_envs)]
        self.num_envs = num_envs
        self.single_observation_space = self.envs[0].observation_space
        self.single_action_space = self.envs[0].action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.frame_skip = self.envs[0].env.frame_skip

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begins an episode everywhere; from one ``seed`` each environment gets a seed of its own."""
        if isinstance(seed, int):
            seed = [int(word) for word in np.random.SeedSequence(seed).generate_state(self.num_envs)]
        seeds = seed if seed is not None else [None] * self.num_envs
        observations = [env.reset(seed=own)[0] for env, own in zip(self.envs, seeds, strict=True)]
        return np.stack(observations), {"slack": np.array([env.slack for env in self.envs], np.int32)}

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        shape, dtype = self.observation_space.shape, self.observation_space.dtype
        assert shape is not None
        observations, next_observations = np.empty(shape, dtype), np.empty(shape, dtype)
        rewards = np.zeros(self.num_envs)
        terminations, truncations = np.zeros(self.num_envs, np.bool_), np.zeros(self.num_envs, np.bool_)
        slack, next_slack = np.zeros((2, self.num_envs), np.int32)
        outcomes = []
        for index, (env, action) in enumerate(zip(self.envs, actions.tolist(), strict=True)):
            observation, reward, terminated, truncated, info = env.step(action)
            next_observations[index], next_slack[index] = observation, env.slack
            outcomes += info.get("outcomes", [])
            if terminated or truncated:
                observation, _ = env.reset()
            observations[index], slack[index] = observation, env.slack
            rewards[index], terminations[index], truncations[index] = reward, terminated, truncated
        infos = {
            "next_observations": next_observations,
            "slack": slack,
            "next_slack": next_slack,
            "outcomes": outcomes,
            "valid": np.ones(self.num_envs, np.bool_),
        }
        return observations, rewards, terminations, truncations, infos

    @property
    def frames(self) -> int:
        """Demo steps played so far by all environments, replays included."""
        return sum(env.env.frames for env in self.envs)

    def state_dict(self) -> dict[str, Any]:
        return {"envs": [env.state_dict() for env in self.envs], "starts": self.envs[0].env.cache.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for env, own in zip(self.envs, state["envs"], strict=True):
            env.load_state_dict(own)
        self.envs[0].env.cache.load_state_dict(state["starts"])
