"""Keeps the policy's steps of a size at which success grows steadily."""

from __future__ import annotations

from typing import Any

STEP = 1.5
MEMORY = 50
HASTE = 0.03


class LearningRateControl:
    """The learning rate by what it comes to (Schulman et al. 2017 adapt the penalty so; rsl_rl the rate).

    An update that moves the policy by more than twice the target divides the rate by 1.5; one that moves it by less
    than half multiplies it, up to ``most``. While the frontiers move fast, haste pays. After that, before hard spots
    and once all is climbed, it throws away as much as it finds: the surer a policy, the further the same rate moves it.

    Args:
        most: the rate at the beginning, and at most.
        climbing, settling: targets while frontiers move fast, by 3 % of what is left in 50 updates, and else: nats of
            approximate KL divergence, the mean over an update's minibatches.
    """

    def __init__(self, most: float, *, climbing: float = 0.02, settling: float = 0.001) -> None:
        self.most, self.climbing, self.settling = most, climbing, settling
        self.rate = most
        self.left_lately: float | None = None

    def update(self, kl: float, left: int, climbs: bool) -> None:
        """Once per training update; ``left`` and ``climbs`` are the curriculum's."""
        if self.left_lately is None:
            self.left_lately = 2.0 * left
        self.left_lately += (left - self.left_lately) / MEMORY
        hastens = climbs and self.left_lately - left >= HASTE * left
        target = self.climbing if hastens else self.settling
        if kl > 2 * target:
            self.rate /= STEP
        elif kl < target / 2:
            self.rate = min(self.rate * STEP, self.most)

    def state_dict(self) -> dict[str, Any]:
        return {"rate": self.rate, "left_lately": self.left_lately}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rate, self.left_lately = state["rate"], state["left_lately"]
