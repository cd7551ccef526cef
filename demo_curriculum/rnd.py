"""Random network distillation: a bonus for observations that a network has not yet learned to predict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from demo_curriculum.moments import RunningMoments

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)


class RandomNetworkDistillation(nn.Module):
    """Pays for surprise: how badly a trained predictor matches a fixed, randomly initialised target network.

    Pixels, observation shape (height, width), as published (Burda et al. 2018; openai/random-network-distillation,
    ``policies/cnn_policy_param_matched.py``): target conv 32/64/64 with LeakyReLU -> 512, the predictor with two
    ReLU layers of 512 more; bonus = *mean* squared error.

    Vectors, shape (features,): target and predictor features -> 256 -> 256 -> 256 -> 2; bonus = *sum* of squared
    errors clamped to [-1, 1].

    Observations are one frame each, whitened by ``moments`` and clipped to ±5. Nothing is learned unless asked for:
    call ``moments.update`` with observations, ``loss(...).backward()`` and step an optimizer over
    ``predictor.parameters()``.

    Args:
        observation_shape: of one frame.
        least_std: for ``moments``; components that were constant so far are divided by it.
        seen: i64 (S,), of vectors the entries that count; None for all.
    """

    def __init__(
        self, observation_shape: Sequence[int], *, least_std: float = 1e-4, seen: Tensor | None = None
    ) -> None:
        super().__init__()
        self.moments = RunningMoments(observation_shape, clip=5.0, least_std=least_std, seen=seen)
        self.pixels = len(observation_shape) == 2
        if self.pixels:
            height, width = observation_shape
            self.target: nn.Module = _conv_features(height, width)
            self.predictor: nn.Module = nn.Sequential(
                _conv_features(height, width),
                nn.ReLU(),
                _orthogonal(nn.Linear(512, 512), 2**0.5),
                nn.ReLU(),
                _orthogonal(nn.Linear(512, 512), 2**0.5),
            )
        elif len(observation_shape) == 1:
            self.target = _vector_features(len(self.moments.std))
            self.predictor = _vector_features(len(self.moments.std))
        else:
            raise ValueError(
                f"observations of shape {tuple(observation_shape)}: expected (features,) or (height, width)"
            )
        self.target.requires_grad_(False)

    def _errors(self, next_observations: Tensor) -> Tensor:
        whitened = self.moments(next_observations)
        if self.pixels:
            whitened = whitened.unsqueeze(1)
        # Under autocast the difference of two nearly equal outputs must not be rounded once more.
        return cast(Tensor, (self.predictor(whitened).float() - self.target(whitened).float()) ** 2)

    @torch.no_grad()
    def bonus(self, next_observations: Tensor) -> Tensor:
        """(B, *observation_shape) -> (B,), not yet scaled."""
        errors = self._errors(next_observations)
        return errors.mean(dim=1) if self.pixels else errors.sum(dim=1).clamp(-1.0, 1.0)

    def loss(self, next_observations: Tensor) -> Tensor:
        """What the predictor minimises on (B, *observation_shape): the mean bonus, unclamped."""
        errors = self._errors(next_observations)
        return (errors.mean(dim=1) if self.pixels else errors.sum(dim=1)).mean()


def _orthogonal(layer: Layer, gain: float) -> Layer:
    nn.init.orthogonal_(layer.weight, gain)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def _conv_features(height: int, width: int) -> nn.Sequential:
    convolutions = nn.Sequential(
        _orthogonal(nn.Conv2d(1, 32, 8, 4), 2**0.5),
        nn.LeakyReLU(),
        _orthogonal(nn.Conv2d(32, 64, 4, 2), 2**0.5),
        nn.LeakyReLU(),
        _orthogonal(nn.Conv2d(64, 64, 3, 1), 2**0.5),
        nn.LeakyReLU(),
        nn.Flatten(),
    )
    with torch.no_grad():
        width_out = convolutions(torch.zeros(1, 1, height, width)).shape[1]
    features = nn.Sequential(convolutions, _orthogonal(nn.Linear(width_out, 512), 2**0.5))
    # The order in which convolutions are fastest.
    return features.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _vector_features(features: int) -> nn.Sequential:
    return nn.Sequential(
        _orthogonal(nn.Linear(features, 256), 2**0.5),
        nn.ReLU(),
        _orthogonal(nn.Linear(256, 256), 2**0.5),
        nn.ReLU(),
        _orthogonal(nn.Linear(256, 256), 2**0.5),
        nn.ReLU(),
        _orthogonal(nn.Linear(256, 2), 2**0.5),
    )
