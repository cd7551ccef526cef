"""What is imitated: the demos, in the form in which the agent would meet them, and its own rare successes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from demo_curriculum.clocks import find_clocks
from demo_curriculum.curriculum import Curriculum, Span
from demo_curriculum.demo import Demo
from demo_curriculum.training.replay import seen_at
from demo_curriculum.training.successes import Success, Successes
from demo_curriculum.training.warmup import WarmUp


def agent_actions(actions: NDArray[np.int64], frame_skip: int) -> NDArray[np.int64]:
    """For each demo step the action most frequent in the next ``frame_skip``; of equals the first."""
    padded = np.concatenate([actions, np.repeat(actions[-1:], frame_skip - 1)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, frame_skip)
    votes = (windows[:, :, None] == windows[:, None, :]).sum(axis=2)
    return np.asarray(windows[np.arange(len(actions)), votes.argmax(axis=1)])


class Pairs(NamedTuple):
    """Observations (B, stack, ...), actions i64 (B,), and weights f32 (B,), of the span times 1 - success.

    ``places`` i64 (B, 2) says where they are from: demo and demo step.
    """

    observations: Tensor
    actions: Tensor
    weights: Tensor
    places: NDArray[np.int64]


class DemoPairs:
    """Draws pairs from what is trained of the demos, weighted by how badly the agent does from there.

    Clocks are set to any other time. The demonstrator acted on what he saw; who learns his moments from him instead
    waits for them to come again, and stands still if he is late.

    Args:
        demos: with observations of the kind that the policy sees.
        stack, frame_skip: as the environment's.
    """

    def __init__(self, demos: Sequence[Demo], *, stack: int, frame_skip: int) -> None:
        self._observations = [demo.observations for demo in demos]
        self._actions = [agent_actions(demo.actions, frame_skip) for demo in demos]
        self._clocks = np.flatnonzero(find_clocks(self._observations)).tolist()
        self._stack, self._frame_skip = stack, frame_skip

    def sample(self, count: int, spans: Sequence[Span], success: Success, rng: np.random.Generator) -> Pairs:
        """``count`` pairs from ``spans`` of demos, uniformly."""
        lengths = np.array([span.end - span.first for span in spans])
        chosen = rng.choice(len(spans), size=count, p=lengths / lengths.sum())
        observations: list[NDArray[Any]] = []
        actions, weights, places = [], [], []
        for index, (demo, first, end, share) in enumerate(spans):
            steps = rng.integers(first, end, size=int((chosen == index).sum()))
            seen = seen_at(self._observations[demo], steps, stack=self._stack, frame_skip=self._frame_skip)
            for clock in self._clocks:
                seen[:, :, clock] += rng.integers(256, size=(len(seen), 1), dtype=np.uint8)
            observations.append(seen)
            actions.append(self._actions[demo][steps])
            weights.append(share * (1.0 - success(demo, steps)))
            places.append(np.stack([np.full_like(steps, demo), steps], axis=1))
        return Pairs(
            torch.from_numpy(np.concatenate(observations)),
            torch.from_numpy(np.concatenate(actions)),
            torch.from_numpy(np.concatenate(weights)).float(),
            np.concatenate(places),
        )


class Lesson(NamedTuple):
    """Observations (B, stack, ...), actions i64 (B,) and their weights f32 (B,), and hidden states (B, memory)."""

    observations: Tensor
    actions: Tensor
    weights: Tensor
    hidden: Tensor


class Teachers:
    """The demos, and beside them the agent itself where it is known to have succeeded.

    Args:
        pairs: of the demos.
        warm_up: what a policy remembers at them.
        successes: the agent's own; None has only the demos imitated.
    """

    def __init__(self, pairs: DemoPairs, warm_up: WarmUp, successes: Successes | None) -> None:
        self.pairs, self.warm_up, self.successes = pairs, warm_up, successes

    def lessons(
        self,
        count: int,
        size: int,
        curriculum: Curriculum,
        rng: np.random.Generator,
        device: torch.device,
        *,
        self_imitation: float = 1.0,
    ) -> Iterator[Lesson]:
        """``count`` lessons: each of ``size`` pairs and as many successes once there are any, of ``self_imitation``
        times their weight, all drawn at once, which takes less time; none where ``size`` is 0.
        """
        if not size:
            return
        drawn = self.pairs.sample(count * size, curriculum.spans, curriculum.success, rng)
        # They come in the order of the spans.
        mixed = np.split(rng.permutation(count * size), count)
        own = None
        if self.successes is not None and len(self.successes):
            own = Lesson(*self.successes.sample(count * size, curriculum.success, rng))
            own = own._replace(weights=self_imitation * own.weights)
        for index, chosen in enumerate(mixed):
            rows = torch.from_numpy(chosen)
            observations, actions, weights = (part[rows].to(device) for part in drawn[:3])
            lesson = Lesson(observations, actions, weights, self.warm_up.states(drawn.places[chosen]))
            if own is not None:
                mine = (part[index * size : (index + 1) * size].to(device) for part in own)
                lesson = Lesson(*(torch.cat(parts) for parts in zip(lesson, mine, strict=True)))
                # The loss is a mean over all: the demos count as much as without successes, and these beside them.
                lesson = lesson._replace(weights=2 * lesson.weights)
            yield lesson
