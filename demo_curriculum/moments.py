"""Running statistics as buffers: they travel with ``state_dict``, and only an explicit call changes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

EXACT_BYTES = 256
"""So many squared bytes add up to a whole number that f32 still holds exactly."""


class Sample(NamedTuple):
    """Number (), mean (*shape) and sum of squared differences from the mean (*shape) of some observations, f64."""

    number: Tensor
    mean: Tensor
    squares: Tensor

    @classmethod
    def of(cls, batch: Tensor) -> Sample:
        """``batch`` is (B, *shape)."""
        if batch.dtype == torch.uint8:
            return cls._of_bytes(batch)
        batch = batch.to(torch.float64)
        mean = batch.mean(dim=0) if len(batch) else torch.zeros_like(batch[0:1].sum(dim=0))
        number = torch.tensor(len(batch), dtype=torch.float64, device=batch.device)
        return cls(number, mean, ((batch - mean) ** 2).sum(dim=0))

    @classmethod
    def _of_bytes(cls, batch: Tensor) -> Sample:
        """Screens are many: their sums are taken without a copy of all of them in f64."""
        sums = torch.zeros(batch.shape[1:], dtype=torch.float64, device=batch.device)
        squares = sums.clone()
        for part in torch.split(batch, EXACT_BYTES):
            part = part.float()
            sums += part.sum(dim=0)
            squares += part.square_().sum(dim=0)
        number = torch.tensor(len(batch), dtype=torch.float64, device=batch.device)
        mean = sums / number.clamp_min(1)
        return cls(number, mean, squares - sums * mean)


Pool = Callable[[Sample], Sample]
"""Joins the samples of several processes, which then all have the same statistics."""


class RunningMoments(nn.Module):
    """Mean and standard deviation of everything ever given to ``update``; calling it whitens, and never learns.

    Merging batches follows Chan, Golub & LeVeque (1979). Statistics are f64, results f32.

    Args:
        shape: of one observation.
        clip: whitened values are clipped to ±clip.
        least_std: what constant components are divided by instead of 0.
        seen: i64 (S,), the entries of vectors that are looked at, in their order; the others are left out of all that
            comes of it. None looks at all.

    Attributes:
        std: f32, ``shape`` or (S,); 1 before the first update.
    """

    count: Tensor
    mean: Tensor
    squares: Tensor
    std: Tensor
    seen: Tensor | None

    def __init__(
        self, shape: Sequence[int], *, clip: float = 5.0, least_std: float = 1e-4, seen: Tensor | None = None
    ) -> None:
        super().__init__()
        self.clip = clip
        self.least_std = least_std
        whole = tuple(shape) if seen is None else (len(seen),)
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(whole, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(whole, dtype=torch.float64))
        self.register_buffer("std", torch.ones(whole))
        self.register_buffer("seen", seen)

    def select(self, batch: Tensor) -> Tensor:
        """What is seen of ``batch``, of any shape that ends with that of an observation."""
        return batch if self.seen is None else batch.index_select(-1, self.seen)

    @torch.no_grad()
    def update(self, batch: Tensor, pool: Pool | None = None) -> None:
        """Takes in ``batch`` (B, *shape), and with ``pool`` those of other processes."""
        sample = Sample.of(self.select(batch))
        count, mean, squares = sample if pool is None else pool(sample)
        if count == 0:
            return
        total = self.count + count
        delta = mean - self.mean
        self.squares += squares + delta**2 * self.count * count / total
        self.mean += delta * count / total
        self.count.copy_(total)
        self.std.copy_((self.squares / total).sqrt().clamp_min(self.least_std))

    def forward(self, batch: Tensor) -> Tensor:
        """(B, *shape) of any number type -> f32, (B, *shape) or (B, S), whitened and clipped."""
        return ((self.select(batch).float() - self.mean.float()) / self.std).clamp(-self.clip, self.clip)


class ReturnScale(nn.Module):
    """Divides rewards by the running standard deviation of their discounted sum, as RND's bonuses are scaled.

    ``R <- gamma R + r`` per environment, forward *along time* and never reset; no mean is subtracted (Burda et al.
    2018, section 2.4; openai/random-network-distillation, ``RewardForwardFilter``).

    Args:
        num_envs: N.
        gamma: per step.
    """

    running: Tensor

    def __init__(self, num_envs: int, *, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma
        self.register_buffer("running", torch.zeros(num_envs, dtype=torch.float64))
        self.moments = RunningMoments(())

    @torch.no_grad()
    def update(self, rewards: Tensor, pool: Pool | None = None) -> None:
        """Takes in ``rewards`` (T, N), time first, and with ``pool`` those of other processes."""
        sums = []
        for row in rewards.to(torch.float64):
            self.running = self.gamma * self.running + row
            sums.append(self.running)
        self.moments.update(torch.cat(sums), pool)

    def forward(self, rewards: Tensor) -> Tensor:
        return rewards / self.moments.std
