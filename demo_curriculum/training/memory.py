"""A bounded memory of observations for the predictor to learn from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ObservationMemory(nn.Module):
    """The latest ``capacity`` observations, oldest overwritten first; buffers, so that a resumed run has them.

    RND for vectors trains its predictor from here; old observations in it keep the predictor from forgetting them.
    """

    frames: Tensor
    added: Tensor

    def __init__(self, capacity: int, shape: Sequence[int], dtype: torch.dtype) -> None:
        super().__init__()
        self.capacity = capacity
        self.register_buffer("frames", torch.zeros((capacity, *shape), dtype=dtype))
        self.register_buffer("added", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        return min(int(self.added), self.capacity)

    def add(self, frames: Tensor) -> None:
        """Takes in ``frames`` (B, *shape)."""
        frames = frames[-self.capacity :]
        places = (int(self.added) + torch.arange(len(frames))) % self.capacity
        self.frames[places] = frames
        self.added += len(frames)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, *shape), drawn uniformly with replacement."""
        return self.frames[torch.randint(len(self), (count,), generator=generator)]
