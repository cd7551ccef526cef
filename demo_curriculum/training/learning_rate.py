"""Keeps the policy's steps of a size at which success grows steadily."""

from __future__ import annotations

from typing import Any

STEP = 1.5


class LearningRateControl:
    """The learning rate by what it comes to (Schulman et al. 2017 adapt the penalty so; rsl_rl the rate).

    An update that moves the policy by more than twice the target divides the rate by 1.5; one that moves it by less
    than half multiplies it, up to ``most``. While there are frontiers to move, haste pays. After that it throws away as
    much as it finds: the surer a policy, the further the same rate moves it.

    Args:
        most: the rate at the beginning, and at most.
        climbing, settling: targets while frontiers move, and once none does: nats of approximate KL divergence, the
            mean over an update's minibatches.
    """

    def __init__(self, most: float, *, climbing: float = 0.02, settling: float = 0.004) -> None:
        self.most, self.climbing, self.settling = most, climbing, settling
        self.rate = most

    def update(self, kl: float, climbs: bool) -> None:
        """Once per training update; ``climbs`` says whether there are frontiers to move."""
        target = self.climbing if climbs else self.settling
        if kl > 2 * target:
            self.rate /= STEP
        elif kl < target / 2:
            self.rate = min(self.rate * STEP, self.most)

    def state_dict(self) -> dict[str, Any]:
        return {"rate": self.rate}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rate = state["rate"]
