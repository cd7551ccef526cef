"""How agents came by a demo's scores and landmarks."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

CAPACITY = 4
"""Of one environment at one place; many environments together have enough to choose from."""


class Arrival(NamedTuple):
    """An environment at the moment when its agent came by a score or a landmark; ``stack`` as observed then.

    ``clock`` is the demo step that the agent was at by its time; before the place's where it was faster.
    """

    state: bytes
    stack: NDArray[Any]
    previous_action: int
    clock: int


class Arrivals:
    """An environment's latest ``CAPACITY`` arrivals at each demo step, from which further episodes can begin.

    An agent does not come there as the demo did: other things have moved, time has passed. What begins here
    learns from where agents really are, without having to play there first. Each environment has its own, so that what
    it does is the same in whichever process it lives.
    """

    def __init__(self) -> None:
        self._arrivals: dict[tuple[int, int], deque[Arrival]] = {}

    def add(self, demo: int, step: int, arrival: Arrival) -> None:
        """One more at demo step ``step`` of demo number ``demo``."""
        self._arrivals.setdefault((demo, step), deque(maxlen=CAPACITY)).append(arrival)

    def draw(self, demo: int, step: int, rng: np.random.Generator) -> Arrival | None:
        """Any one of those there; None without one."""
        there = self._arrivals.get((demo, step))
        return there[int(rng.integers(len(there)))] if there else None

    def state_dict(self) -> list[dict[str, Any]]:
        return [
            {"demo": demo, "step": step, "arrivals": [arrival._asdict() for arrival in there]}
            for (demo, step), there in self._arrivals.items()
        ]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        self._arrivals = {
            (entry["demo"], entry["step"]): deque(
                (Arrival(**arrival) for arrival in entry["arrivals"]), maxlen=CAPACITY
            )
            for entry in state
        }
