"""A rollout's rows as minibatches: one by one, or for a policy with a memory in the order in which they came."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from demo_curriculum.training.policy import Policy
from demo_curriculum.training.rollout import Standing

Columns = dict[str, Tensor]


class Minibatch(NamedTuple):
    """Some rows of T steps of N environments, as indices (B,) into T * N.

    ``begins`` bool (B,) says which of them go on from the hidden state they were met with; each of the others goes on
    from the row before it.
    """

    rows: Tensor
    begins: Tensor


class Sequences:
    """Makes minibatches, for a memory of whole environments' sequences behind the steps before them.

    A sequence begins with the hidden state that the environment had there, and again with each episode in it. With
    ``burn_in`` the last steps of the rollout before come first, from which nothing is learned any more (64 steps before
    128 in openai/atari-reset): the policy of now finds its own way from the hidden state stored there to the rollout's
    first step, and the gradient a longer one back.

    Args:
        num_envs: N.
        memory: whether the policy has one.
        burn_in: steps of the rollout before.

    Attributes:
        earlier: columns (burn_in, N, ...) of the rollout before; None while there are none.
    """

    def __init__(self, num_envs: int, *, memory: bool, burn_in: int) -> None:
        self.num_envs, self.memory, self.burn_in = num_envs, memory, burn_in
        self.earlier: Columns | None = None

    @torch.no_grad()
    def refresh(self, policy: Policy, standing: Standing) -> Standing:
        """``standing`` with the hidden states that the policy of now comes to over the burn-in."""
        if self.earlier is None:
            return standing
        rows, begins = self._whole(torch.arange(self.num_envs), self.earlier["age"])
        observations, hidden = (self.earlier[name].flatten(0, 1)[rows] for name in ("observations", "hidden"))
        latest = policy.follow(observations, hidden, begins).view(self.num_envs, self.burn_in, -1)[:, -1]
        going_on = standing.age[:, None] > 0
        return standing._replace(hidden=torch.where(going_on, latest, standing.hidden))

    def behind_earlier(self, columns: Columns) -> Columns:
        """``columns`` (T, N, ...) behind those of the burn-in, which are never ``valid``; keeps the next burn-in."""
        if not self.burn_in:
            return columns
        joined = columns
        if self.earlier is not None:
            joined = {name: torch.cat([self.earlier[name], values]) for name, values in columns.items()}
        self.earlier = {name: values[-self.burn_in :].clone() for name, values in columns.items()}
        self.earlier["valid"] = torch.zeros_like(self.earlier["valid"])
        return joined

    def minibatches(self, age: Tensor, count: int, generator: torch.Generator) -> Iterator[Minibatch]:
        """Every row once, in ``count`` minibatches; ``age`` (T, N) as a rollout's."""
        if self.memory:
            for envs in torch.split(torch.randperm(self.num_envs, generator=generator), self.num_envs // count):
                yield self._whole(envs, age)
        else:
            for rows in torch.split(torch.randperm(age.numel(), generator=generator), age.numel() // count):
                yield Minibatch(rows, torch.ones(len(rows), dtype=torch.bool))

    def _whole(self, envs: Tensor, age: Tensor) -> Minibatch:
        """All rows of these environments, one environment after the other."""
        rows = torch.arange(len(age)) * self.num_envs + envs[:, None]
        begins = age.flatten()[rows] == 0
        begins[:, 0] = True
        return Minibatch(rows.flatten(), begins.flatten())
