"""Keeps a stalled policy from freezing: a collapsed one cannot climb out by itself."""

from __future__ import annotations


class EntropyControl:
    """The weight of the entropy in the loss.

    While the frontier moves it is ``base``. Once it has stood still for ``patience`` updates and the policy's entropy
    has fallen under ``floor``, the weight grows by ``rate`` an update up to ``most * base``; it shrinks back as soon
    as either no longer holds.

    Args:
        base: the weight while all goes well.
        floor: nats; a policy under it hardly explores.
        patience: updates.
    """

    def __init__(
        self, base: float, *, floor: float = 0.3, patience: int = 20, rate: float = 1.1, most: float = 10.0
    ) -> None:
        self.base, self.floor, self.patience, self.rate, self.most = base, floor, patience, rate, most
        self.weight = base
        self.still = 0

    def update(self, entropy: float, moved: bool) -> None:
        """Once per training update: the policy's mean entropy, and whether the frontier has just moved."""
        self.still = 0 if moved else self.still + 1
        if self.still >= self.patience and entropy < self.floor:
            self.weight = min(self.weight * self.rate, self.base * self.most)
        else:
            self.weight = max(self.weight / self.rate, self.base)

    def state_dict(self) -> dict[str, float]:
        return {"weight": self.weight, "still": self.still}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.weight, self.still = float(state["weight"]), int(state["still"])
