"""How agents came to the beginnings of segments, and by scores and landmarks on the way."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.demo import Start

CAPACITY = 4
"""Of one environment at one start; many environments together have enough to choose from."""


class Arrival(NamedTuple):
    """An environment at the moment when its agent tied a segment or came by a stage; ``stack`` as observed then.

    ``clock`` is the demo step that the agent was at by its time; before the segment's end where it was faster.
    """

    state: bytes
    stack: NDArray[Any]
    previous_action: int
    clock: int


class Arrivals:
    """An environment's latest ``CAPACITY`` arrivals at each start, from which further episodes can begin.

    An agent does not come to a segment as the demo did: other things have moved, time has passed. What begins here
    learns from where agents really are, without having to play there first. Each environment has its own, so that what
    it does is the same in whichever process it lives.
    """

    def __init__(self) -> None:
        self._arrivals: dict[Start, deque[Arrival]] = {}

    def add(self, start: Start, arrival: Arrival) -> None:
        """Those at the same step that were to reach another goal, before segments became one, are dropped."""
        outdated = [known for known in self._arrivals if known[:2] == start[:2] and known != start]
        for known in outdated:
            del self._arrivals[known]
        self._arrivals.setdefault(start, deque(maxlen=CAPACITY)).append(arrival)

    def draw(self, start: Start, rng: np.random.Generator) -> Arrival | None:
        """Any one of those at ``start``; None without one."""
        there = self._arrivals.get(start)
        return there[int(rng.integers(len(there)))] if there else None

    def state_dict(self) -> list[dict[str, Any]]:
        return [
            {"start": [start.demo, start.step, start.goal], "arrivals": [arrival._asdict() for arrival in there]}
            for start, there in self._arrivals.items()
        ]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        self._arrivals = {
            Start(*entry["start"]): deque((Arrival(**arrival) for arrival in entry["arrivals"]), maxlen=CAPACITY)
            for entry in state
        }
