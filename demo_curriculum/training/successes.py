"""What the agent did where it mostly fails, the times that it succeeded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from demo_curriculum.training.rollout import Rollout

Success = Callable[[int, NDArray[np.int64]], NDArray[np.float64]]

LEAD = 64
"""Agent steps from the start on that are kept of an episode: what comes later is learnt from later starts."""
CAPACITY = 8192
HARD = 0.5
"""Starts tied less often than this are hard: elsewhere rewards teach enough."""


class Successes(nn.Module):
    """The beginnings of the latest tied episodes from hard starts, to be imitated like the demos.

    A demonstrator knew no sticky actions, and where the manoeuvre does not survive them there is nobody to imitate but
    the agent itself. Rewards teach the same, but a rare success is gone after one update; here it is learned from while
    its start is hard (self-imitation, Oh et al. 2018, with the tie instead of their condition on the value). Buffers,
    so that a resumed run has them.

    Args:
        num_envs: N.
        shape, dtype: of an observation, the stack included.
        memory: width of the policy's hidden states.
    """

    observations: Tensor
    actions: Tensor
    hidden: Tensor
    starts: Tensor
    added: Tensor
    trail_observations: Tensor
    trail_actions: Tensor
    trail_hidden: Tensor

    def __init__(self, num_envs: int, shape: Sequence[int], dtype: torch.dtype, memory: int) -> None:
        super().__init__()
        for prefix, size in (("", (CAPACITY,)), ("trail_", (num_envs, LEAD))):
            self.register_buffer(f"{prefix}observations", torch.zeros((*size, *shape), dtype=dtype))
            self.register_buffer(f"{prefix}actions", torch.zeros(size, dtype=torch.int64))
            self.register_buffer(f"{prefix}hidden", torch.zeros((*size, memory)))
        self.register_buffer("starts", torch.zeros((CAPACITY, 2), dtype=torch.int64))
        self.register_buffer("added", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        return min(int(self.added), CAPACITY)

    def take(self, rollout: Rollout, success: Success) -> None:
        """Takes in a full rollout; ``success`` says how often a start is tied."""
        tied = rollout.tied & rollout.valid
        for step, age in enumerate(rollout.age):
            early = (age < LEAD).nonzero()[:, 0]
            places = early, age[early].long()
            self.trail_observations[places] = rollout.observations[step, early]
            self.trail_actions[places] = rollout.actions[step, early]
            self.trail_hidden[places] = rollout.hidden[step, early]
            for env in tied[step].nonzero()[:, 0].tolist():
                demo, start = rollout.began[step, env].tolist()
                if success(demo, np.array([start]))[0] < HARD:
                    self._keep(env, min(int(age[env]) + 1, LEAD), rollout.began[step, env])

    def _keep(self, env: int, length: int, start: Tensor) -> None:
        places = (int(self.added) + torch.arange(length)) % CAPACITY
        self.observations[places] = self.trail_observations[env, :length]
        self.actions[places] = self.trail_actions[env, :length]
        self.hidden[places] = self.trail_hidden[env, :length]
        self.starts[places] = start
        self.added += length

    def sample(self, count: int, success: Success, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """``count`` of them, uniformly: observations (B, stack, ...), actions i64 (B,), weights f32 (B,), hidden states
        (B, memory). The weights are 1 - success, as it is now, where their episodes began.
        """
        rows = torch.from_numpy(rng.integers(len(self), size=count))
        starts = self.starts[rows].cpu().numpy()
        weights = np.zeros(count)
        for demo in np.unique(starts[:, 0]).tolist():
            there = starts[:, 0] == demo
            weights[there] = 1.0 - success(demo, starts[there, 1])
        return self.observations[rows], self.actions[rows], torch.from_numpy(weights).float(), self.hidden[rows]
