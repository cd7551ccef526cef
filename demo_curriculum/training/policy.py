"""Actor-critics: an MLP for vectors, a CNN for pixels, each with two value heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from demo_curriculum.moments import Pool, RunningMoments
from demo_curriculum.training.precision import fast_products, product_dtype

# Bytes that never changed in the demo say nothing of their scale; one unit is the smallest change there can be.
LEAST_STD = 1.0
SLACKS = (20.0, 100.0, 400.0)
"""Demo steps; the slack is seen through exponentials that fall off over these."""
CRITIC_WIDTH = 64


class Prediction(NamedTuple):
    """What a policy makes of B observations: logits (B, A), value_ext (B,), value_int (B,)."""

    logits: Tensor
    value_ext: Tensor
    value_int: Tensor

    def split(self, rows: int) -> tuple[Prediction, Prediction]:
        """Of the first ``rows`` observations, and of the others."""
        return Prediction(*(part[:rows] for part in self)), Prediction(*(part[rows:] for part in self))


class Decision(NamedTuple):
    """Sampled actions i64 (B,) and their log probabilities (B,)."""

    action: Tensor
    log_prob: Tensor


class Policy(nn.Module):
    """An actor and two streams of value over one body.

    The values also know the slack, the demo steps until the episode is ended for being behind the demo; the actor does
    not (an asymmetric critic, Pinto et al. 2018). To a value that does not know it, waiting costs nothing but the
    discount until the very end.

    Args:
        observation_shape: (stack, features) or (stack, height, width).
        action_count: A.
        hidden: width of the two hidden layers of the MLP.
    """

    def __init__(self, observation_shape: Sequence[int], action_count: int, *, hidden: int = 256) -> None:
        super().__init__()
        stack, *frame = observation_shape
        if len(frame) == 1:
            self.body: nn.Module = VectorBody(stack, frame[0], hidden)
            width = hidden
        elif len(frame) == 2:
            self.body = PixelBody(stack, frame[0], frame[1])
            width = PixelBody.WIDTH
        else:
            raise ValueError(f"observations of shape {tuple(frame)}: expected (features,) or (height, width)")
        self.actor = orthogonal(nn.Linear(width, action_count), 0.01)
        self.critic = nn.Sequential(
            orthogonal(nn.Linear(width + len(SLACKS), CRITIC_WIDTH), 2**0.5),
            nn.Tanh(),
            orthogonal(nn.Linear(CRITIC_WIDTH, 2), 1.0),
        )

    @torch.no_grad()
    def observe(self, frames: Tensor, pool: Pool | None = None) -> None:
        """Takes single frames (B, ...) into the statistics that observations are whitened with."""
        if isinstance(self.body, VectorBody):
            self.body.moments.update(frames, pool)

    def _features(self, observations: Tensor) -> Tensor:
        with fast_products(observations.device):
            features: Tensor = self.body(observations)
        return features.float()

    def logits(self, observations: Tensor) -> Tensor:
        """(B, A) of ``observations`` (B, stack, ...)."""
        return self.actor(self._features(observations))  # type: ignore[no-any-return]

    def forward(self, observations: Tensor, slack: Tensor) -> Prediction:
        """``observations`` (B, stack, ...), ``slack`` (B,) in demo steps."""
        features = self._features(observations)
        known = torch.exp(-slack[:, None] / features.new_tensor(SLACKS))
        values = self.critic(torch.cat([features, known], dim=1))
        return Prediction(self.actor(features), values[:, 0], values[:, 1])

    @torch.no_grad()
    def act(self, observations: Tensor, generator: torch.Generator) -> Decision:
        """On the CPU, where the generator is and where the simulators wait."""
        log_probs = self.logits(observations).log_softmax(dim=1).cpu()
        action = torch.multinomial(log_probs.exp(), 1, generator=generator)
        return Decision(action[:, 0], log_probs.gather(1, action)[:, 0])


class VectorBody(nn.Module):
    """Whitens the latest vector, adds its difference to the one before (a velocity), then two tanh layers."""

    def __init__(self, stack: int, features: int, hidden: int) -> None:
        super().__init__()
        self.moments = RunningMoments((features,), clip=5.0, least_std=LEAST_STD)
        inputs = features * min(stack, 2)
        self.layers = nn.Sequential(
            orthogonal(nn.Linear(inputs, hidden), 2**0.5),
            nn.Tanh(),
            orthogonal(nn.Linear(hidden, hidden), 2**0.5),
            nn.Tanh(),
        )

    def forward(self, observations: Tensor) -> Tensor:
        latest = self.moments(observations[:, -1])
        if observations.shape[1] > 1:
            change = (observations[:, -1].float() - observations[:, -2].float()) / self.moments.std
            latest = torch.cat([latest, change.clamp(-self.moments.clip, self.moments.clip)], dim=1)
        return self.layers(latest)  # type: ignore[no-any-return]


class PixelBody(nn.Module):
    """The convolutions of Mnih et al. (2015) on stacked grey frames."""

    WIDTH = 512

    def __init__(self, stack: int, height: int, width: int) -> None:
        super().__init__()
        convolutions = nn.Sequential(
            orthogonal(nn.Conv2d(stack, 32, 8, 4), 2**0.5),
            nn.ReLU(),
            orthogonal(nn.Conv2d(32, 64, 4, 2), 2**0.5),
            nn.ReLU(),
            orthogonal(nn.Conv2d(64, 64, 3, 1), 2**0.5),
            nn.ReLU(),
            nn.Flatten(),
        )
        with torch.no_grad():
            flat = convolutions(torch.zeros(1, stack, height, width)).shape[1]
        layers = nn.Sequential(convolutions, orthogonal(nn.Linear(flat, self.WIDTH), 2**0.5), nn.ReLU())
        # The order in which convolutions are fastest.
        self.layers = layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, observations: Tensor) -> Tensor:
        # Bytes are exact in bfloat16 too, and half as much to move; reordered while they are still bytes.
        ordered = observations.contiguous(memory_format=torch.channels_last)
        return self.layers(ordered.to(product_dtype(ordered.device)) / 255.0)  # type: ignore[no-any-return]


def orthogonal(layer: nn.Linear | nn.Conv2d, gain: float) -> nn.Module:
    """Orthogonal weights and no bias, the usual beginning of a PPO network (Huang et al. 2022, detail 2)."""
    nn.init.orthogonal_(layer.weight, gain)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
