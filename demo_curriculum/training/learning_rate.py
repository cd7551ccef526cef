"""Keeps the policy's steps of a size at which success grows steadily."""

from __future__ import annotations

from typing import Any

STEP = 1.5


class LearningRateControl:
    """The learning rate by what it comes to (Schulman et al. 2017 adapt the penalty so; rsl_rl the rate).

    An update that moves the policy by more than twice ``target`` divides the rate by 1.5; one that moves it by less
    than half multiplies it, up to ``most``. The surer a policy, the further the same rate moves it: late in a climb
    what suited its beginning throws away as much as it finds.

    Args:
        most: the rate at the beginning, and at most.
        target: nats of approximate KL divergence, the mean over an update's minibatches.
    """

    def __init__(self, most: float, *, target: float = 0.005) -> None:
        self.most, self.target = most, target
        self.rate = most

    def update(self, kl: float) -> None:
        """Once per training update."""
        if kl > 2 * self.target:
            self.rate /= STEP
        elif kl < self.target / 2:
            self.rate = min(self.rate * STEP, self.most)

    def state_dict(self) -> dict[str, Any]:
        return {"rate": self.rate}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rate = state["rate"]
