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
    """Some rows of the columns, as indices (B,).

    ``begins`` bool (B,) says which go on from the hidden state that they were met with; each of the others goes on from
    the row before it. ``learned`` bool (B,) says from which is learned.
    """

    rows: Tensor
    begins: Tensor
    learned: Tensor


class Sequences:
    """Makes minibatches, for a memory of sequences.

    A sequence begins with the hidden state stored at its first step, and again with each episode in it (Kapturowski et
    al. 2019). With ``burn_in`` the steps before it come first, those of the rollout before included, from which nothing
    is learned: 64 before 128 in openai/atari-reset. Over the ones of the rollout before, the policy of now finds its
    hidden state anew before it goes on acting.

    Args:
        num_envs, steps: N environments, T steps of each in a rollout.
        length: steps of a sequence; 0 for a policy without a memory, whose minibatches are of single rows.
        burn_in: steps before them.

    Attributes:
        earlier: columns (burn_in, N, ...) of the rollout before; None while there are none.
    """

    def __init__(self, num_envs: int, steps: int, *, length: int, burn_in: int) -> None:
        self.num_envs, self.steps, self.length, self.burn_in = num_envs, steps, length, burn_in
        self.earlier: Columns | None = None

    @torch.no_grad()
    def refresh(self, policy: Policy, standing: Standing) -> Standing:
        """``standing`` with the hidden states that the policy of now comes to over the burn-in."""
        if self.earlier is None:
            return standing
        observations, hidden, age = (self.earlier[name] for name in ("observations", "hidden", "age"))
        rows = self._rows(torch.arange(self.num_envs), torch.zeros(1, dtype=torch.int64), self.burn_in)
        begins = age.flatten()[rows] == 0
        begins[:, 0] = True
        order = rows.flatten()
        after = policy.follow(observations.flatten(0, 1)[order], hidden.flatten(0, 1)[order], begins.flatten())
        after = after.view(self.num_envs, self.burn_in, -1).transpose(0, 1)
        hidden[1:] = torch.where(age[1:, :, None] > 0, after[:-1], hidden[1:])
        return standing._replace(hidden=torch.where(standing.age[:, None] > 0, after[-1], standing.hidden))

    def behind_earlier(self, columns: Columns) -> Columns:
        """``columns`` (T, N, ...) behind those of the burn-in; keeps the next burn-in."""
        if not self.burn_in:
            return columns
        joined = columns
        if self.earlier is not None:
            joined = {name: torch.cat([self.earlier[name], values]) for name, values in columns.items()}
        self.earlier = {name: values[-self.burn_in :].clone() for name, values in columns.items()}
        return joined

    def minibatches(self, age: Tensor, count: int, generator: torch.Generator) -> Iterator[Minibatch]:
        """All that is learned from, once, in ``count`` minibatches; ``age`` is a column of ``behind_earlier``."""
        if not self.length:
            for rows in torch.split(torch.randperm(age.numel(), generator=generator), age.numel() // count):
                all_of_them = torch.ones(len(rows), dtype=torch.bool, device=age.device)
                yield Minibatch(rows, all_of_them, all_of_them)
            return
        lead = len(age) - self.steps
        sequences = self.num_envs * self.steps // self.length
        for chosen in torch.split(torch.randperm(sequences, generator=generator), sequences // count):
            rows = self._rows(chosen % self.num_envs, chosen // self.num_envs * self.length, lead + self.length)
            begins = age.flatten()[rows] == 0
            begins[:, 0] = True
            learned = (torch.arange(lead + self.length, device=age.device) >= lead).expand_as(begins)
            yield Minibatch(rows.flatten(), begins.flatten(), learned.flatten())

    def _rows(self, envs: Tensor, first: Tensor, steps: int) -> Tensor:
        """(S, steps): the rows from step ``first`` (S,) on of each of ``envs`` (S,)."""
        return (first[:, None] + torch.arange(steps)) * self.num_envs + envs[:, None]
