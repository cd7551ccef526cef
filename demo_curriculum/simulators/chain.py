"""The locked chain: the smallest game that random play cannot solve."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.demo import SimulatorSpec
from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.simulators.protocol import SnapshotError

ACTIONS = 4


class LockedChain:
    """A corridor of ``length`` locked doors, each opened by one of four actions; a wrong one ends the game.

    Reward 1 behind the last door. Random play finds it with probability 4**-length. Implements ``Simulator``.

    Args:
        env_id: ``LockedChain-20`` has 20 doors.
    """

    action_count = ACTIONS
    action_meanings: Sequence[str] = ("NOOP", "RED", "GREEN", "BLUE")

    def __init__(self, env_id: str) -> None:
        try:
            self.length = int(env_id.removeprefix("LockedChain-"))
        except ValueError:
            self.length = 0
        if not 1 <= self.length <= 10_000:
            raise DemoCurriculumError(f"{env_id!r}: expected LockedChain-N with N from 1 to 10000")
        self.spec = SimulatorSpec(env_id=env_id, kwargs={}, adapter="chain/1")
        self.keys = np.random.default_rng(self.length).integers(ACTIONS, size=self.length)
        self.observation_shape = (self.length + 1,)
        self.observation_dtype: np.dtype[Any] = np.dtype(np.uint8)
        self.reset()

    def reset(self) -> None:
        self.position = 0
        self.game_over = False

    @property
    def lives(self) -> int:
        return 0

    def play(self, actions: Sequence[int]) -> float:
        reward = 0.0
        for action in actions:
            if not 0 <= action < ACTIONS:
                raise ValueError(f"action {action} is not within 0..{ACTIONS - 1}")
            if self.game_over:
                break
            if action == self.keys[self.position]:
                self.position += 1
                if self.position == self.length:
                    reward = 1.0
                    self.game_over = True
            else:
                self.game_over = True
        return reward

    def observe(self) -> NDArray[Any]:
        seen = np.zeros(self.observation_shape, np.uint8)
        seen[self.position] = 1
        return seen

    def save(self) -> bytes:
        return self.position.to_bytes(2, "little") + bytes([self.game_over])

    def restore(self, data: bytes) -> None:
        if len(data) != 3 or int.from_bytes(data[:2], "little") > self.length or data[2] > 1:
            raise SnapshotError(f"not a state of a chain of {self.length} doors: {data[:8]!r}")
        self.position = int.from_bytes(data[:2], "little")
        self.game_over = bool(data[2])

    def fingerprint(self) -> int:
        return int.from_bytes(hashlib.sha256(self.save()).digest()[:8], "little")

    def render(self) -> NDArray[np.uint8]:
        picture = np.zeros((8, 8 * (self.length + 1), 3), np.uint8)
        picture[:, 8 * self.position : 8 * self.position + 8] = 255
        return picture
