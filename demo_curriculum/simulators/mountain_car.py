"""Mountain car with a reward at the flag alone, which random play does not find."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.classic_control import MountainCarEnv
from numpy.typing import NDArray

from demo_curriculum.demo import SimulatorSpec
from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.simulators.protocol import SnapshotError

ENV_ID = "SparseMountainCar-v0"
SEED = 0
"""Of the reset, which is thereby always the same; the car begins at rest near the valley's floor."""
_CODES = (1, 0, 2)
MOST_STEPS = 200
"""Gymnasium's own limit for MountainCar-v0."""
# Steps played, position, velocity.
_STATE = struct.Struct("<H2d")


class SparseMountainCar:
    """Gymnasium's mountain car (Moore 1990): an engine too weak for the hill, so that the car has to swing itself up.

    Reward 1 at the flag and nothing else; the game ends there, and after 200 steps. Observations are position and
    velocity, f32 (2,), each from 0 to 255 over its range: what is seen is whitened in units of a byte. Implements
    ``Simulator``.

    Args:
        env_id: ``SparseMountainCar-v0``.
    """

    action_count = 3
    action_meanings: Sequence[str] = ("NOOP", "LEFT", "RIGHT")
    observation_shape = (2,)
    observation_dtype: np.dtype[Any] = np.dtype(np.float32)
    lives = 0

    def __init__(self, env_id: str) -> None:
        if env_id != ENV_ID:
            raise DemoCurriculumError(f"{env_id!r}: the only mountain car is {ENV_ID}")
        self.spec = SimulatorSpec(
            env_id=env_id, kwargs={}, adapter="mountain-car/1", versions={"gymnasium": gymnasium.__version__}
        )
        self._env = MountainCarEnv(render_mode="rgb_array")
        self.reset()

    def reset(self) -> None:
        self._env.reset(seed=SEED)
        self._steps = 0

    @property
    def _state(self) -> tuple[float, float]:
        position, velocity = self._env.state
        return float(position), float(velocity)

    @property
    def game_over(self) -> bool:
        return self._at_flag or self._steps >= MOST_STEPS

    @property
    def _at_flag(self) -> bool:
        return self._state[0] >= self._env.goal_position

    def play(self, actions: Sequence[int]) -> float:
        reward = 0.0
        for action in actions:
            if not 0 <= action < self.action_count:
                raise ValueError(f"action {action} is not within 0..{self.action_count - 1}")
            if self.game_over:
                break
            self._env.step(_CODES[action])
            self._steps += 1
            reward += self._at_flag
        return reward

    def observe(self) -> NDArray[np.float32]:
        low, high = self._env.low, self._env.high
        return ((np.array(self._state) - low) / (high - low) * 255).astype(np.float32)

    def save(self) -> bytes:
        return _STATE.pack(self._steps, *self._state)

    def restore(self, data: bytes) -> None:
        if len(data) != _STATE.size:
            raise SnapshotError(f"a mountain car's state has {_STATE.size} bytes, not {len(data)}")
        steps, position, velocity = _STATE.unpack(data)
        env = self._env
        # False for NaN too.
        possible = env.min_position <= position <= env.max_position and abs(velocity) <= env.max_speed
        if not possible or steps > MOST_STEPS:
            raise SnapshotError(
                f"not a state of a mountain car: step {steps}, position {position}, velocity {velocity}"
            )
        env.state = (position, velocity)
        self._steps = steps

    def fingerprint(self) -> int:
        seen = struct.pack("<2d", *self._state)
        return int.from_bytes(hashlib.sha256(seen).digest()[:8], "little")

    def render(self) -> NDArray[np.uint8]:
        """Raises DemoCurriculumError where pygame-ce is missing."""
        try:
            return np.array(self._env.render(), np.uint8)  # type: ignore[no-untyped-call]
        except gymnasium.error.DependencyNotInstalled as missing:
            raise DemoCurriculumError("a picture needs pygame-ce: pip install 'demo-curriculum[play]'") from missing
