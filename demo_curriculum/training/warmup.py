"""What a policy with a memory remembers where an episode begins inside a demo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from demo_curriculum.demo import Demo
from demo_curriculum.training.machine import place
from demo_curriculum.training.policy import Policy
from demo_curriculum.training.replay import seen_at

STRETCH = 512
# More at once are slower: what a convolution gives no longer fits into the processor's cache.
BATCH = 256


class WarmUp:
    """The hidden states that a policy has at the demos' steps after watching the demonstrator.

    The backward algorithm feeds the policy the 512 demo steps before each start (openai/atari-reset,
    ``ReplayResetEnv``). Here all starts of a stretch of 512 demo steps share one pass that begins, with zeros, at the
    stretch before: a start has at least 512 demo steps of history, or all there are. The policy meets every
    ``frame_skip``-th of them, as it would if it had chosen the demonstrator's actions. A pass is made when it is asked
    for, and kept until ``forget``.

    Args:
        demos: with observations of the kind that the policy sees.
        stack, frame_skip: as the environment's.
    """

    def __init__(self, policy: Policy, demos: Sequence[Demo], *, stack: int, frame_skip: int) -> None:
        self._policy, self._demos = policy, demos
        self._stack, self._frame_skip = stack, frame_skip
        self._passes: dict[tuple[int, int], Tensor] = {}

    def forget(self) -> None:
        """To be called when the policy has changed."""
        self._passes.clear()

    @torch.no_grad()
    def states(self, starts: NDArray[np.integer[Any]]) -> Tensor:
        """(B, memory), at ``starts`` (B, 2): demo and demo step. Zeros at the game's own reset."""
        found = self._policy.at_reset(len(starts))
        if not self._policy.memory:
            return found
        for row, (demo, step) in enumerate(starts.tolist()):
            if step >= self._frame_skip:
                key = (demo, step // STRETCH)
                if key not in self._passes:
                    self._passes[key] = self._pass(*key)
                found[row] = self._passes[key][step % STRETCH]
        return found

    def _pass(self, demo: int, stretch: int) -> Tensor:
        """(STRETCH, memory): the hidden states at the steps of one stretch, or at those that the demo has of it."""
        skip, observations = self._frame_skip, self._demos[demo].observations
        begin = max(stretch - 1, 0) * STRETCH
        end = min((stretch + 1) * STRETCH, len(observations))
        rounds = -(-(end - begin) // skip)
        # Every skip-th step makes a sequence; there are as many as a round has steps.
        steps = (begin + np.arange(rounds * skip).reshape(rounds, skip)).T.flatten()
        nothing = self._policy.at_reset(len(steps))
        batches = np.split(np.minimum(steps, len(observations) - 1), np.arange(BATCH, len(steps), BATCH))
        seen = (seen_at(observations, part, stack=self._stack, frame_skip=skip) for part in batches)
        features = torch.cat([self._policy.read(place(batch, self._policy.device)) for batch in seen])
        begins = torch.from_numpy(steps < begin + skip)
        after = self._policy.remember(features, nothing, begins)
        by_step = after.view(skip, rounds, -1).transpose(0, 1).flatten(0, 1)
        # What is remembered at a step comes from the one a round before.
        at = torch.cat([nothing[:skip], by_step])
        return at[stretch * STRETCH - begin : end - begin]
