"""What T steps of N environments gave, as (T, N, ...) tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from demo_curriculum.demo import Outcome
from demo_curriculum.training.machine import place
from demo_curriculum.training.policy import Decision


class Standing(NamedTuple):
    """What the next decisions in N environments are made from, between two steps.

    observations (N, stack, ...); slack i32 (N,); hidden (N, memory), the policy's hidden states; age i32 (N,), agent
    steps since the episode began; began i64 (N, 2), the demo and the demo step where it did.
    """

    observations: Tensor
    slack: Tensor
    hidden: Tensor
    age: Tensor
    began: Tensor

    def rows(self, envs: slice) -> Standing:
        """Of some of the environments."""
        return Standing(*(part[envs] for part in self))

    @classmethod
    def join(cls, parts: Sequence[Standing]) -> Standing:
        """Of the environments of all ``parts``."""
        return cls(*(torch.cat(column) for column in zip(*parts, strict=True)))


@dataclass
class Rollout:
    """Filled with ``add``, row by row and within a row by groups of environments, read once it is full.

    Attributes:
        observations: (T, N, stack, ...), what each action was chosen from.
        slack: i32 (T, N), demo steps until the lag ends the episode, which the value may know.
        hidden: (T, N, memory), the policy's hidden states before each step.
        age: i32 (T, N), agent steps since the episode began.
        began: i64 (T, N, 2), the demo and the demo step where it did.
        values_ext, values_int: (T, N), of ``observations``.
        next_frames: (T, N, ...), the latest frame that each step led to, before any reset.
        rewards: f32 (T, N), as they are learned from.
        terminated, ended: bool (T, N); ended is terminated or truncated.
        tied: bool (T, N), ended with the goal tied.
        valid: bool (T, N), rows to learn from.
        final_observations: (E, stack, ...), where the E ended episodes stopped, in order of ``ended.nonzero()``.
        final_slack: i32 (E,).
        final_hidden: (E, memory).
        outcomes: of the episodes that ended, and of those that went on after a tie.
    """

    observations: Tensor
    slack: Tensor
    hidden: Tensor
    age: Tensor
    began: Tensor
    next_frames: Tensor
    actions: Tensor
    log_probs: Tensor
    values_ext: Tensor
    values_int: Tensor
    rewards: Tensor
    terminated: Tensor
    ended: Tensor
    tied: Tensor
    valid: Tensor
    outcomes: list[Outcome] = field(default_factory=list)
    _final: list[NDArray[Any]] = field(default_factory=list)
    _final_slack: list[NDArray[np.int32]] = field(default_factory=list)
    _final_hidden: list[Tensor] = field(default_factory=list)

    @classmethod
    def empty(cls, steps: int, standing: Standing) -> Rollout:
        """For so many steps of the environments that stand there, on the same device."""
        first = standing.observations
        num_envs, *observation_shape = first.shape

        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros((steps, num_envs, *shape), dtype=dtype, device=first.device)

        return cls(
            observations=zeros(*observation_shape, dtype=first.dtype),
            slack=zeros(dtype=torch.int32),
            hidden=zeros(standing.hidden.shape[1]),
            age=zeros(dtype=torch.int32),
            began=zeros(2, dtype=torch.int64),
            next_frames=zeros(*observation_shape[1:], dtype=first.dtype),
            actions=zeros(dtype=torch.int64),
            log_probs=zeros(),
            values_ext=zeros(),
            values_int=zeros(),
            rewards=zeros(),
            terminated=zeros(dtype=torch.bool),
            ended=zeros(dtype=torch.bool),
            tied=zeros(dtype=torch.bool),
            valid=zeros(dtype=torch.bool),
        )

    def add(
        self,
        row: int,
        envs: slice,
        standing: Standing,
        decision: Decision,
        rewards: NDArray[np.float64],
        terminations: NDArray[np.bool_],
        truncations: NDArray[np.bool_],
        infos: dict[str, Any],
    ) -> None:
        """Takes one step of one group, ``envs``, with what the decision was made from."""
        next_observations: NDArray[Any] = infos["next_observations"]
        ended = terminations | truncations
        self.observations[row, envs], self.slack[row, envs] = standing.observations, standing.slack
        self.hidden[row, envs], self.age[row, envs] = standing.hidden, standing.age
        self.began[row, envs] = standing.began
        self.next_frames[row, envs] = torch.from_numpy(next_observations[:, -1])
        self.actions[row, envs], self.log_probs[row, envs] = decision.action, decision.log_prob
        assert decision.values is not None, "decisions to learn from know the slack"
        self.values_ext[row, envs], self.values_int[row, envs] = decision.values.unbind(dim=1)
        self.rewards[row, envs] = torch.from_numpy(rewards)
        self.terminated[row, envs] = torch.from_numpy(terminations)
        self.ended[row, envs] = torch.from_numpy(ended)
        self.tied[row, envs] = torch.from_numpy(infos["tied"])
        self.valid[row, envs] = torch.from_numpy(infos["valid"])
        self.outcomes.extend(infos["outcomes"])
        self._final.extend(next_observations[ended])
        self._final_slack.append(infos["next_slack"][ended])
        self._final_hidden.append(decision.hidden[torch.from_numpy(ended)])

    @property
    def final_slack(self) -> Tensor:
        return place(np.concatenate(self._final_slack), self.slack.device)

    @property
    def final_hidden(self) -> Tensor:
        return torch.cat(self._final_hidden)

    @property
    def final_observations(self) -> Tensor:
        if not self._final:
            return self.observations[:0, 0]
        return place(np.stack(self._final), self.observations.device)
