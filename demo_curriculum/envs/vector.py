"""Many demo-started environments stepped together."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from demo_curriculum.demo import Demo, Outcome
from demo_curriculum.envs.course import Course
from demo_curriculum.envs.demo_start import DemoStart

Step = tuple[NDArray[Any], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]


class StepArrays(NamedTuple):
    """What one step of N environments is written to.

    observations (N, ...) are those after any resets, next_observations (N, ...) those before; rewards f64 (N,),
    terminations and truncations bool (N,); slack and next_slack i32 (N,), ``DemoStart.slack`` after and before; starts
    i64 (N, 2), the demo and the demo step at which the episodes after any resets began; tied bool (N,), whose episode
    ended with its goal tied.
    """

    observations: NDArray[Any]
    next_observations: NDArray[Any]
    rewards: NDArray[Any]
    terminations: NDArray[Any]
    truncations: NDArray[Any]
    slack: NDArray[Any]
    next_slack: NDArray[Any]
    starts: NDArray[Any]
    tied: NDArray[Any]

    @classmethod
    def empty(cls, num_envs: int, space: gym.Space[Any]) -> StepArrays:
        assert space.shape is not None
        observations = np.empty((num_envs, *space.shape), space.dtype)
        flags, slack = np.zeros((3, num_envs), np.bool_), np.zeros((2, num_envs), np.int32)
        starts = np.zeros((num_envs, 2), np.int64)
        rewards = np.zeros(num_envs)
        return cls(observations, observations.copy(), rewards, flags[0], flags[1], slack[0], slack[1], starts, flags[2])

    def rows(self, rows: slice) -> StepArrays:
        """A view of some of the environments."""
        return StepArrays(*(array[rows] for array in self))

    def result(self, outcomes: list[Outcome], valid: NDArray[np.bool_]) -> Step:
        """As ``step`` of the vector environments returns it."""
        infos = {
            "next_observations": self.next_observations,
            "slack": self.slack,
            "next_slack": self.next_slack,
            "starts": self.starts,
            "tied": self.tied,
            "outcomes": outcomes,
            "valid": valid,
        }
        return self.observations, self.rewards, self.terminations, self.truncations, infos


def step_each(envs: Sequence[DemoStart], actions: NDArray[np.int64], into: StepArrays) -> list[Outcome]:
    """Steps each environment once and resets those whose episode ends; returns what outcomes that brought, in order."""
    outcomes: list[Outcome] = []
    for index, (env, action) in enumerate(zip(envs, actions.tolist(), strict=True)):
        observation, into.rewards[index], terminated, truncated, info = env.step(action)
        into.next_observations[index], into.next_slack[index] = observation, env.slack
        outcomes += info.get("outcomes", [])
        ended = terminated or truncated
        into.tied[index] = ended and info["demo_start"].tied
        if ended:
            observation, _ = env.reset()
        into.observations[index], into.slack[index], into.starts[index] = observation, env.slack, env.began
        into.terminations[index], into.truncations[index] = terminated, truncated
    return outcomes


class GroupedVectorEnv(gym.vector.VectorEnv[NDArray[Any], NDArray[np.int64], NDArray[Any]]):
    """N environments of one kind in groups of neighbours; ``step`` steps all of them.

    While one group steps, a policy can act on another: ``send`` a group its actions, ``receive`` what came of them
    later. An episode's end and the next one's first observation share a step. A step gives observations (N, ...) after
    any resets, rewards f64 (N,), terminations and truncations bool (N,), and infos with

    - ``next_observations`` (N, ...): what each step led to, before any reset; the thing to bootstrap from;
    - ``slack``, ``next_slack`` i32 (N,): ``DemoStart.slack`` after any resets, and before them;
    - ``starts`` i64 (N, 2): the demo and the demo step at which the episodes after any resets began;
    - ``tied`` bool (N,): whose episode ended with its goal tied;
    - ``outcomes``: each ``Outcome`` that the step brought, in order of the environments;
    - ``valid`` bool (N,): whether a row is the policy's own doing and may be learned from.

    Attributes:
        groups: the environments of each group.
        demos: what ``Start.demo`` points into; observations may be missing.
        courses: of each of the demos.
        frame_skip: demo steps per agent step.
    """

    metadata = {"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP}  # noqa: RUF012 - Gymnasium's own declaration
    groups: Sequence[slice]

    def __init__(self, one: DemoStart, num_envs: int) -> None:
        self.num_envs = num_envs
        self.demos: Sequence[Demo] = one.demos
        self.courses: Sequence[Course] = one.courses
        self.frame_skip = one.env.frame_skip
        self.single_observation_space = one.observation_space
        self.single_action_space = one.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begins an episode everywhere; from one ``seed`` each environment gets a seed of its own."""
        if isinstance(seed, int):
            seed = [int(word) for word in np.random.SeedSequence(seed).generate_state(self.num_envs)]
        return self._reset(seed if seed is not None else [None] * self.num_envs)

    def step(self, actions: NDArray[np.int64]) -> Step:
        for group, rows in enumerate(self.groups):
            self.send(group, actions[rows])
        steps = [self.receive(group) for group in range(len(self.groups))]
        if len(steps) == 1:
            return steps[0]
        arrays = [np.concatenate([step[part] for step in steps]) for part in range(4)]
        infos: dict[str, Any] = {
            name: np.concatenate([step[4][name] for step in steps])
            for name in ("next_observations", "slack", "next_slack", "starts", "tied", "valid")
        }
        infos["outcomes"] = [outcome for step in steps for outcome in step[4]["outcomes"]]
        return arrays[0], arrays[1], arrays[2], arrays[3], infos

    @abstractmethod
    def _reset(self, seeds: Sequence[int | None]) -> tuple[NDArray[Any], dict[str, Any]]:
        """Seeds and resets each environment; returns the observations (N, ...); ``slack``, ``starts`` in the infos."""

    @abstractmethod
    def send(self, group: int, actions: NDArray[np.int64]) -> None:
        """Gives the environments of ``group`` their actions."""

    @abstractmethod
    def receive(self, group: int) -> Step:
        """What came of the actions last sent to ``group``; the environments of the group alone."""

    @abstractmethod
    def push_starts(self) -> None:
        """Lets the episodes that begin from now on begin where the curriculum now says."""

    @property
    @abstractmethod
    def frames(self) -> int:
        """Demo steps played so far by all environments, replays included."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Everything that changes: ``envs``, one entry each, and ``starts``, those known to each process."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a ``state_dict`` of as many environments, in however many processes they were."""


class DemoStartVectorEnv(GroupedVectorEnv):
    """N environments in this process, in one group.

    Args:
        make_env: called N times.
    """

    def __init__(self, make_env: Callable[[], DemoStart], num_envs: int) -> None:
        self.envs: Sequence[DemoStart] = [make_env() for _ in range(num_envs)]
        super().__init__(self.envs[0], num_envs)
        self.groups = [slice(0, num_envs)]

    def _reset(self, seeds: Sequence[int | None]) -> tuple[NDArray[Any], dict[str, Any]]:
        observations = [env.reset(seed=own)[0] for env, own in zip(self.envs, seeds, strict=True)]
        slack, starts = [env.slack for env in self.envs], [env.began for env in self.envs]
        return np.stack(observations), {"slack": np.array(slack, np.int32), "starts": np.array(starts, np.int64)}

    def send(self, group: int, actions: NDArray[np.int64]) -> None:
        self._actions = actions

    def receive(self, group: int) -> Step:
        into = StepArrays.empty(self.num_envs, self.single_observation_space)
        outcomes = step_each(self.envs, self._actions, into)
        return into.result(outcomes, np.ones(self.num_envs, np.bool_))

    def push_starts(self) -> None:
        """Nothing to do: the environments ask the curriculum itself."""

    @property
    def frames(self) -> int:
        return sum(env.env.frames for env in self.envs)

    def state_dict(self) -> dict[str, Any]:
        return {"envs": [env.state_dict() for env in self.envs], "starts": [self.envs[0].env.cache.state_dict()]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for env, own in zip(self.envs, state["envs"], strict=True):
            env.load_state_dict(own)
        self.envs[0].env.cache.load_state_dict(state["starts"][0])
