"""What a simulator must be able to do to be trained on from demos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.demo import SimulatorSpec
from demo_curriculum.errors import DemoCurriculumError


class SnapshotError(DemoCurriculumError):
    """Bytes that are not a state of this simulator."""


class Simulator(Protocol):
    """A deterministic game that can be saved and restored exactly.

    All randomness of training (sticky actions, no-ops) is added outside, so that the same actions from the same state
    always give the same future.
    """

    @property
    def spec(self) -> SimulatorSpec:
        """What is recorded with a demo and compared before a snapshot is restored."""

    @property
    def action_count(self) -> int:
        """Actions are 0..action_count-1; 0 is the one that does nothing, where there is one."""

    @property
    def action_meanings(self) -> Sequence[str]: ...

    @property
    def observation_shape(self) -> tuple[int, ...]: ...

    @property
    def observation_dtype(self) -> np.dtype[Any]: ...

    def reset(self) -> None:
        """To the game's own beginning."""

    def play(self, actions: Sequence[int]) -> float:
        """Plays one action per demo step, stopping early at the game's end; returns the summed reward.

        Raises:
            ValueError: an action is not within 0..action_count-1.
        """

    def observe(self) -> NDArray[Any]:
        """What the player sees now: ``observation_shape``, ``observation_dtype``; a fresh array."""

    @property
    def game_over(self) -> bool: ...

    @property
    def lives(self) -> int:
        """0 where the game has none."""

    def save(self) -> bytes:
        """The state, without any random generator."""

    def restore(self, data: bytes) -> None:
        """Back to a saved state; what ``observe`` shows right after it is only right once an action was played,
        where the simulator draws its picture while playing.

        Raises:
            SnapshotError: the bytes are not a state of this simulator; the simulator is then as before.
        """

    def fingerprint(self) -> int:
        """64 bits that two simulators share when the player could not tell them apart; stable across versions."""

    def render(self) -> NDArray[np.uint8]:
        """RGB picture, (height, width, 3)."""
