"""Two games of MiniGrid (Chevalier-Boisvert et al. 2023) in which a key has to be found before a door opens."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from demo_curriculum.demo import SimulatorSpec
from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.simulators.protocol import SnapshotError

# minigrid imports pygame, which greets on standard output; that is the command's.
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
try:
    import minigrid
    from minigrid.core.actions import Actions
    from minigrid.core.constants import OBJECT_TO_IDX
    from minigrid.core.grid import Grid
    from minigrid.core.world_object import WorldObj
except ImportError as missing:
    raise DemoCurriculumError("MiniGrid's games need minigrid: pip install 'demo-curriculum[minigrid]'") from missing

GAMES = ("MiniGrid-DoorKey-", "MiniGrid-KeyCorridor")
SEED = 0
"""Of the one layout that each game has here."""
ACTIONS = (
    Actions.done,
    Actions.left,
    Actions.right,
    Actions.forward,
    Actions.pickup,
    Actions.drop,
    Actions.toggle,
)
EMPTY, DOOR, GOAL, AGENT = (OBJECT_TO_IDX[name] for name in ("empty", "door", "goal", "agent"))
MOVABLE = [OBJECT_TO_IDX[name] for name in ("key", "ball")]
LOCKED = 2
NOTHING = (0, 0)
# Steps played; the agent's column, row and direction; type and colour of what it carries. The grid's cells follow.
_HEADER = struct.Struct("<H5B")


class MiniGridSimulator:
    """DoorKey or KeyCorridor in one fixed layout; a demo step is one action. Implements ``Simulator``.

    Reward 1 when the mission is done, where MiniGrid pays less the longer it took: an agent that is a step slower than
    a demo shall tie it all the same. The game ends there, and at MiniGrid's own time limit. Observations, u8
    (3 · cells + 2,): type, colour and state of every cell with the agent in its own, then type and colour of what it
    carries. ``ACTIONS`` is MiniGrid's with ``done``, which does nothing in these games, first.

    Args:
        env_id: for instance ``MiniGrid-DoorKey-8x8-v0`` or ``MiniGrid-KeyCorridorS3R3-v0``.
    """

    action_count = len(ACTIONS)
    action_meanings: Sequence[str] = ("NOOP", *(action.name.upper() for action in ACTIONS[1:]))
    observation_dtype: np.dtype[Any] = np.dtype(np.uint8)
    lives = 0

    def __init__(self, env_id: str) -> None:
        if not env_id.startswith(GAMES) or env_id not in gym.registry:
            known = ", ".join(sorted(name for name in gym.registry if name.startswith(GAMES)))
            raise DemoCurriculumError(f"{env_id!r} is none of MiniGrid's games that can be restored here: {known}")
        self.spec = SimulatorSpec(
            env_id=env_id, kwargs={}, adapter="minigrid/1", versions={"minigrid": minigrid.__version__}
        )
        self._env = self._make(env_id)
        # The partial view that every step would make and nobody here sees takes most of a step's time.
        self._env.gen_obs = dict
        self._shape = (self._env.width, self._env.height, 3)
        self._layout = self._cells()
        self._movable = np.isin(self._layout[..., 0], MOVABLE)
        self.observation_shape = (self._layout.size + len(NOTHING),)
        self._target: tuple[int, int] | None = self._env.obj.encode()[:2] if hasattr(self._env, "obj") else None
        self._game_over = False
        self._begin = self.save()

    @staticmethod
    def _make(env_id: str) -> Any:
        env = gym.make(env_id, disable_env_checker=True).unwrapped
        env.reset(seed=SEED)
        return env

    @property
    def game_over(self) -> bool:
        return self._game_over

    def reset(self) -> None:
        self.restore(self._begin)

    def play(self, actions: Sequence[int]) -> float:
        reward = 0.0
        for action in actions:
            if not 0 <= action < self.action_count:
                raise ValueError(f"action {action} is not within 0..{self.action_count - 1}")
            if self._game_over:
                break
            _, _, done, late, _ = self._env.step(ACTIONS[action])
            reward += done
            self._game_over = done or late
        return reward

    @property
    def _carried(self) -> tuple[int, int]:
        carrying = self._env.carrying
        return carrying.encode()[:2] if carrying is not None else NOTHING

    def _cells(self) -> NDArray[np.uint8]:
        """What ``Grid.encode`` gives, (width, height, 3), in a quarter of its time."""
        width, height, _ = self._shape
        rows = [(EMPTY, 0, 0) if cell is None else cell.encode() for cell in self._env.grid.grid]
        return np.array(rows, np.uint8).reshape(height, width, 3).swapaxes(0, 1)

    def observe(self) -> NDArray[np.uint8]:
        cells = self._cells()
        cells[tuple(self._env.agent_pos)] = (AGENT, 0, self._env.agent_dir)
        return np.append(cells.ravel(), np.array(self._carried, np.uint8))

    def save(self) -> bytes:
        env = self._env
        header = _HEADER.pack(env.step_count, *env.agent_pos, env.agent_dir, *self._carried)
        return header + self._cells().tobytes()

    def restore(self, data: bytes) -> None:
        if len(data) != _HEADER.size + self._layout.size:
            raise SnapshotError(
                f"a state of {self.spec.env_id} has {_HEADER.size + self._layout.size} bytes, not {len(data)}"
            )
        step_count, column, row, direction, kind, color = _HEADER.unpack_from(data)
        carried = (kind, color)
        cells = np.frombuffer(data, np.uint8, offset=_HEADER.size).reshape(self._shape)
        self._check(step_count, column, row, direction, carried, cells)
        env = self._env
        env.step_count, env.agent_pos, env.agent_dir = step_count, (column, row), direction
        env.grid, _ = Grid.decode(cells)
        env.carrying = WorldObj.decode(kind, color, 0) if carried != NOTHING else None
        if self._target is not None:
            # KeyCorridor knows what to pick up by the object's identity.
            objects = [*env.grid.grid, env.carrying]
            env.obj = next(entry for entry in objects if entry is not None and entry.encode()[:2] == self._target)
        done = cells[column, row, 0] == GOAL or carried == self._target
        self._game_over = bool(done or step_count >= env.max_steps)

    def _check(
        self, step_count: int, column: int, row: int, direction: int, carried: tuple[int, int], cells: NDArray[np.uint8]
    ) -> None:
        """Refuses what playing cannot lead to and MiniGrid might not survive, as a gap in the outer wall.

        Raises:
            SnapshotError: says what.
        """
        if step_count > self._env.max_steps or direction > 3:
            raise SnapshotError(f"the state is of step {step_count}, direction {direction}: out of range")
        # Walls, goal and doors stay where they are; only keys and balls move, and only doors change.
        stays = ~self._movable & (self._layout[..., 0] != EMPTY)
        doors = cells[..., 0] == DOOR
        kept = (cells[..., :2] == self._layout[..., :2]).all(axis=2)
        moved = np.isin(cells[..., 0], MOVABLE)
        empty = (cells == (EMPTY, 0, 0)).all(axis=2)
        if not np.where(stays, kept, moved | empty).all() or (cells[..., 2] > np.where(doors, LOCKED, 0)).any():
            raise SnapshotError(f"the state's walls, doors or goal are not those of {self.spec.env_id}")
        found = [tuple(cell) for cell in cells[moved][:, :2].tolist()]
        found += [carried] if carried != NOTHING else []
        if sorted(found) != sorted(tuple(cell) for cell in self._layout[self._movable][:, :2].tolist()):
            raise SnapshotError(f"the state's keys and balls are not those of {self.spec.env_id}")
        width, height, _ = self._shape
        if column >= width or row >= height or not self._can_stand(cells[column, row]):
            raise SnapshotError(f"the state's agent is in a wall or an object at column {column}, row {row}")

    @staticmethod
    def _can_stand(cell: NDArray[np.uint8]) -> bool:
        kind, _, state = cell.tolist()
        return kind in (EMPTY, GOAL) or (kind == DOOR and state == 0)

    def fingerprint(self) -> int:
        return int.from_bytes(hashlib.sha256(self.observe().tobytes()).digest()[:8], "little")

    def render(self) -> NDArray[np.uint8]:
        return np.array(self._env.get_full_render(highlight=False, tile_size=16), np.uint8)
