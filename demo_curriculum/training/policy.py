"""Actor-critics: an MLP for vectors, a CNN for pixels, each with two value heads and, where asked for, a memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from demo_curriculum.moments import Pool, RunningMoments
from demo_curriculum.training.precision import fast_products, product_dtype

# Bytes that never changed in the demo say nothing of their scale; one unit is the smallest change there can be.
LEAST_STD = 1.0
SLACKS = (20.0, 100.0, 400.0)
"""Demo steps; the slack is seen through exponentials that fall off over these."""
CRITIC_WIDTH = 64
PERIODS = (64, 16)
"""Of the waves as which a byte is seen besides: a step of 1 is a small one of its 256 and a large one of these."""

CnnSize = Literal["small", "nature", "large"]
"""Mnih et al. (2013); Mnih et al. (2015); Salimans & Chen (2018)."""


class _Convolutions(NamedTuple):
    """(channels, size of the filters, stride) of each layer, the width after them, and whether that is normalised."""

    layers: Sequence[tuple[int, int, int]]
    width: int
    normalised: bool = False


SIZES: dict[CnnSize, _Convolutions] = {
    "small": _Convolutions([(16, 8, 4), (32, 4, 2)], 256),
    "nature": _Convolutions([(32, 8, 4), (64, 4, 2), (64, 3, 1)], 512),
    "large": _Convolutions([(64, 8, 4), (128, 4, 2), (128, 3, 1)], 800, normalised=True),
}


class Prediction(NamedTuple):
    """What a policy makes of B observations: logits (B, A), value_ext (B,), value_int (B,)."""

    logits: Tensor
    value_ext: Tensor
    value_int: Tensor

    def split(self, rows: int) -> tuple[Prediction, Prediction]:
        """Of the first ``rows`` observations, and of the others."""
        return Prediction(*(part[:rows] for part in self)), Prediction(*(part[rows:] for part in self))


class Decision(NamedTuple):
    """Sampled actions i64 (B,), their log probabilities (B,), the hidden states (B, memory) after them, and, where a
    slack was given, the values (B, 2), external and internal, of what they were chosen from.
    """

    action: Tensor
    log_prob: Tensor
    hidden: Tensor
    values: Tensor | None = None


class Policy(nn.Module):
    """An actor and two streams of value over one body.

    The values also know the slack, the demo steps until the episode is ended for being behind the demo; the actor does
    not (an asymmetric critic, Pinto et al. 2018). To a value that does not know it, waiting costs nothing but the
    discount until the very end.

    With a memory, a GRU reads what the body makes of one observation after the other, and actor and values see both
    (Salimans & Chen 2018). What it remembers is a hidden state (B, memory): zeros at the game's own reset. Without one
    hidden states are of width 0.

    How sure it is on the whole is a weight of its own, the scale of the logits (Radford et al. 2021 have one, for other
    ends). It is learned from all states at once; without it being surer is learned state by state, and drowns in the
    noise of the single states.

    Args:
        observation_shape: (stack, features) or (stack, height, width).
        action_count: A.
        hidden: width of the two hidden layers of the MLP.
        cnn: size of the CNN.
        memory: width of the GRU; 0 for none.
        seen: i64 (S,), which of the features it sees; None for all, and for pixels.
        stages: how many stages of a demo the last feature tells apart; 0 where it tells none.
        relevant: bool (stages, S), which of those it sees at each stage, and zeros instead of the others; None for all.
        wide: i64 (W,), which features are bytes that take values far apart, and are seen as waves too (Vaswani et al.
            2017 tell positions so): a pixel or two decide, and a network finds such edges late (Tancik et al. 2020).
    """

    def __init__(
        self,
        observation_shape: Sequence[int],
        action_count: int,
        *,
        hidden: int = 256,
        cnn: CnnSize = "nature",
        memory: int = 0,
        seen: Tensor | None = None,
        wide: Tensor | None = None,
        stages: int = 0,
        relevant: Tensor | None = None,
    ) -> None:
        super().__init__()
        stack, *frame = observation_shape
        if len(frame) == 1:
            self.body: nn.Module = VectorBody(stack, frame[0], hidden, seen, wide, stages, relevant)
            width = hidden
        elif len(frame) == 2:
            self.body = PixelBody(stack, frame[0], frame[1], cnn)
            width = SIZES[cnn].width
        else:
            raise ValueError(f"observations of shape {tuple(frame)}: expected (features,) or (height, width)")
        self.memory = memory
        if memory:
            self.remember = Memory(width, memory)
            width += memory
        self.actor = orthogonal(nn.Linear(width, action_count), 0.01)
        self.log_scale = nn.Parameter(torch.zeros(()))
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

    @property
    def seen(self) -> Tensor | None:
        """i64 (S,), which of the features it sees; None for all, and for pixels."""
        return self.body.moments.seen if isinstance(self.body, VectorBody) else None

    @property
    def stages(self) -> int:
        """How many stages of a demo it tells apart; 0 where it is told none."""
        told = self.body.stage if isinstance(self.body, VectorBody) else None
        return 0 if told is None else told.num_embeddings

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.parameters()).device

    def at_reset(self, rows: int) -> Tensor:
        """The hidden states (rows, memory) at the game's own reset."""
        return torch.zeros(rows, self.memory, device=self.device)

    def read(self, observations: Tensor) -> Tensor:
        """(B, width): what the body makes of ``observations`` (B, stack, ...)."""
        with fast_products(observations.device):
            features: Tensor = self.body(observations)
        return features.float()

    def _features(self, observations: Tensor, hidden: Tensor, begins: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What actor and values see, and the hidden states after; arguments as ``forward``'s."""
        features = self.read(observations)
        if not self.memory:
            return features, hidden
        following: Tensor = self.remember(features, hidden, begins)
        return torch.cat([features, following], dim=1), following

    def follow(self, observations: Tensor, hidden: Tensor, begins: Tensor) -> Tensor:
        """The hidden states (B, memory) after each row; arguments as ``forward``'s."""
        return self.remember(self.read(observations), hidden, begins)  # type: ignore[no-any-return]

    def _logits(self, features: Tensor) -> Tensor:
        logits: Tensor = self.actor(features) * self.log_scale.exp()
        return logits

    def at_fixed_scale(self, logits: Tensor) -> Tensor:
        """The same logits as this policy's, from which their scale learns nothing."""
        scale = self.log_scale.exp()
        return logits / scale * scale.detach()

    def forward(self, observations: Tensor, slack: Tensor, hidden: Tensor, begins: Tensor | None = None) -> Prediction:
        """A prediction for each of B rows.

        Args:
            observations: (B, stack, ...).
            slack: (B,), in demo steps.
            hidden: (B, memory), before each row.
            begins: bool (B,), the first row always; a row that does not begin follows the one before it, whose hidden
                state it goes on from whatever ``hidden`` says there. By default all begin.
        """
        features, _ = self._features(observations, hidden, begins)
        return Prediction(self._logits(features), *self._values(features, slack).unbind(dim=1))

    def _values(self, features: Tensor, slack: Tensor) -> Tensor:
        known = torch.exp(-slack[:, None] / features.new_tensor(SLACKS))
        values: Tensor = self.critic(torch.cat([features, known], dim=1))
        return values

    @torch.no_grad()
    def act(
        self,
        observations: Tensor,
        hidden: Tensor,
        generator: torch.Generator,
        temperature: Tensor | None = None,
        slack: Tensor | None = None,
    ) -> Decision:
        """Samples an action for each of B ``observations``; the logits are divided by ``temperature`` (B,) if given.

        Actions are on the CPU, where the generator is and where the simulators wait.
        """
        features, following = self._features(observations, hidden)
        logits = self._logits(features)
        if temperature is not None:
            logits = logits / temperature[:, None]
        log_probs = logits.log_softmax(dim=1).cpu()
        action = torch.multinomial(log_probs.exp(), 1, generator=generator)
        values = None if slack is None else self._values(features, slack)
        return Decision(action[:, 0], log_probs.gather(1, action)[:, 0], following, values)


class Memory(nn.Module):
    """A GRU over rows that are either steps on their own or, one after the other, sequences."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.gru = nn.GRU(inputs, width)
        for parameter in self.gru.parameters():
            if parameter.dim() == 1:
                nn.init.zeros_(parameter)
            else:
                for gate in parameter.detach().chunk(3):
                    nn.init.orthogonal_(gate)

    def forward(self, features: Tensor, hidden: Tensor, begins: Tensor | None = None) -> Tensor:
        """The hidden states (B, width) after each row of ``features`` (B, inputs); the rest as ``Policy.forward``'s.

        Gradients flow back to where a sequence begins and no further.
        """
        if begins is None:
            return self.gru(features[None], hidden[None])[0][0]  # type: ignore[no-any-return]
        # Where sequences begin is needed on the CPU, and may index tensors on any device.
        first = begins.cpu().nonzero()[:, 0]
        lengths, order = first.diff(append=first.new_tensor([len(begins)])).sort(descending=True, stable=True)
        first = first[order]
        # All first steps, then all second ones of the sequences that have one, and so on.
        step = torch.arange(int(lengths[0]), device=first.device)[:, None]
        going_on = step < lengths
        rows = (first + step)[going_on]
        sequences = nn.utils.rnn.PackedSequence(features[rows], going_on.sum(dim=1).cpu())
        states, _ = self.gru(sequences, hidden[first][None])
        return states.data[rows.argsort()]  # type: ignore[no-any-return]


class VectorBody(nn.Module):
    """Whitens the latest vector, adds its difference to the one before (a velocity), and the sines and cosines of
    wide entries; of these at each stage of the demo what matters there; then two tanh layers, of which the first has a
    bias of its own for each stage."""

    table: Tensor
    wide: Tensor | None
    shown: Tensor | None

    def __init__(
        self,
        stack: int,
        features: int,
        hidden: int,
        seen: Tensor | None = None,
        wide: Tensor | None = None,
        stages: int = 0,
        relevant: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.moments = RunningMoments((features,), clip=5.0, least_std=LEAST_STD, seen=seen)
        turns = torch.outer(torch.arange(256), 2 * torch.pi / torch.tensor(PERIODS))
        self.register_buffer("table", torch.cat([turns.sin(), turns.cos()], dim=1), persistent=False)
        self.register_buffer("wide", wide)
        entries = torch.arange(features) if seen is None else seen
        # The entry that each input is made of.
        origins = entries.repeat(min(stack, 2))
        if wide is not None:
            origins = torch.cat([origins, wide.repeat_interleave(self.table.shape[1])])
        shown = None
        if relevant is not None:
            shown = relevant[:, (origins[:, None] == entries).int().argmax(dim=1)]
        self.register_buffer("shown", shown)
        self.first = orthogonal(nn.Linear(len(origins), hidden), 2**0.5)
        self.stage = nn.Embedding(stages, hidden) if stages else None
        if self.stage is not None:
            nn.init.orthogonal_(self.stage.weight, 2**0.5)
        self.second = orthogonal(nn.Linear(hidden, hidden), 2**0.5)

    def forward(self, observations: Tensor) -> Tensor:
        parts = [self.moments(observations[:, -1])]
        if observations.shape[1] > 1:
            now, before = self.moments.select(observations[:, -1]), self.moments.select(observations[:, -2])
            change = (now.float() - before.float()) / self.moments.std
            parts.append(change.clamp(-self.moments.clip, self.moments.clip))
        if self.wide is not None:
            parts.append(self.table[observations[:, -1].index_select(1, self.wide).long()].flatten(1))
        inputs = torch.cat(parts, dim=1)
        if self.stage is None:
            sums = self.first(inputs)
        else:
            stage = observations[:, -1, -1].long()
            sums = self.first(inputs if self.shown is None else inputs * self.shown[stage]) + self.stage(stage)
        return self.second(sums.tanh()).tanh()  # type: ignore[no-any-return]


class PixelBody(nn.Module):
    """Convolutions on stacked grey frames, of one of three published sizes."""

    def __init__(self, stack: int, height: int, width: int, cnn: CnnSize) -> None:
        super().__init__()
        size = SIZES[cnn]
        convolutions, channels = nn.Sequential(), stack
        for filters, kernel, stride in size.layers:
            convolutions.append(orthogonal(nn.Conv2d(channels, filters, kernel, stride), 2**0.5)).append(nn.ReLU())
            channels = filters
        convolutions.append(nn.Flatten())
        with torch.no_grad():
            flat = convolutions(torch.zeros(1, stack, height, width)).shape[1]
        normalisation = [nn.LayerNorm(size.width, elementwise_affine=False)] if size.normalised else []
        layers = nn.Sequential(convolutions, orthogonal(nn.Linear(flat, size.width), 2**0.5), *normalisation, nn.ReLU())
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
