"""Keeps a stalled policy from freezing: a collapsed one cannot climb out by itself."""

from __future__ import annotations

from typing import Any

from demo_curriculum.training.stall import Left


class EntropyControl:
    """The weight of the entropy in the loss.

    While less and less is left to climb it is ``base``. Once it has not been less than ever before for ``patience``
    updates, and the policy's entropy is under ``floor``, the weight grows by ``rate`` an update up to ``most * base``;
    it shrinks back as soon as either no longer holds. Moves to and fro before a hard spot count as standing still. A
    policy that is sure of itself where nothing is left to climb has not collapsed.

    A demonstrator is sure of every action, and who imitates too much is too, before knowing what the actions are worth.
    ``imitation_share`` bounds that: it falls with the entropy below ``enough``.

    Args:
        base: the weight while all goes well.
        floor: nats; a policy under it hardly explores.
        patience: updates.
        enough: nats.
    """

    def __init__(
        self,
        base: float,
        *,
        floor: float = 0.1,
        patience: int = 20,
        rate: float = 1.1,
        most: float = 10.0,
        enough: float = 0.3,
    ) -> None:
        self.base, self.floor, self.patience, self.rate, self.most = base, floor, patience, rate, most
        self.enough = enough
        self.weight = base
        self.imitation_share = 1.0
        self.least: Left | None = None
        self.still = 0

    def update(self, entropy: float, left: Left, climbing: float) -> None:
        """Once per training update: the policy's mean entropy; ``left`` and ``climbing`` are the curriculum's."""
        self.imitation_share = min(entropy / self.enough, 1.0)
        if self.least is None or left < self.least:
            self.least = left
            self.still = 0
        else:
            self.still += 1
        if self.still >= self.patience and entropy < self.floor and climbing:
            self.weight = min(self.weight * self.rate, self.base * self.most)
        else:
            self.weight = max(self.weight / self.rate, self.base)

    def begin_anew(self) -> None:
        """Where what is left was counted anew."""
        self.least, self.still = None, 0

    def state_dict(self) -> dict[str, Any]:
        return {
            "weight": self.weight,
            "least": self.least and list(self.least),
            "still": self.still,
            "imitation_share": self.imitation_share,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weight, self.still = state["weight"], state["still"]
        self.least = state["least"] and Left(*state["least"])
        self.imitation_share = state["imitation_share"]
