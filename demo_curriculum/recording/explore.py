"""What a search does with a simulator: return to a cell, explore from it, say what was met. One process's work."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.recording.cells import Cell
from demo_curriculum.simulators import Simulator

NOOP = 0
TAIL = 20
"""Demo steps without action that a demo goes on, alive, behind the score it was made for."""
ROLLOUT = 100
"""Blocks explored from one cell, as many as Go-Explore's actions."""
HOLD = 8
"""Mean number of blocks for which exploration holds an action."""
MAX_STATE_BYTES = 16 << 20


class SearchError(DemoCurriculumError):
    """The search found nothing that can be recorded, or cannot go on."""


@dataclass(frozen=True)
class Job:
    """Where to explore from.

    Attributes:
        state: packed; empty for the reset.
        score: return on the way there.
        length: blocks on the way there.
        limit: blocks that a way may have to be of interest.
        best: rank of the best way known; see ``Explorer.rank``.
        seed: of the exploration.
    """

    state: bytes
    score: float
    length: int
    limit: float
    best: tuple[float, float]
    seed: tuple[int, ...]


@dataclass(frozen=True)
class Visit:
    """A situation met on a trip.

    Attributes:
        taken: blocks from the trip's beginning.
        cell: None where a score was reached from which the game goes on alive, and which is better than the best.
        score: return from the reset.
        state: packed.
    """

    taken: int
    cell: bytes | None
    score: float
    state: bytes


@dataclass(frozen=True)
class Trip:
    """The actions taken, one a block, what was met on the way, and the demo steps that were played for it."""

    actions: tuple[int, ...]
    visits: tuple[Visit, ...]
    frames: int


class Explorer:
    """Explores with a simulator of its own.

    Args:
        cell: which situations count as one.
        block: demo steps for which an action is held at least.
        until_score: return that is enough.
    """

    def __init__(self, simulator: Simulator, *, cell: Cell, block: int, until_score: float) -> None:
        self.simulator = simulator
        self.cell = cell
        self.block = block
        self.until_score = until_score
        self.frames = 0
        simulator.reset()
        self.lives = simulator.lives
        # States of one game differ in a few hundred bytes of thousands: the first is the dictionary for the others.
        self._first = simulator.save()

    def pack(self, state: bytes) -> bytes:
        packer = zlib.compressobj(1, zdict=self._first)
        return packer.compress(state) + packer.flush()

    def unpack(self, packed: bytes) -> bytes:
        try:
            return zlib.decompressobj(zdict=self._first).decompress(packed, MAX_STATE_BYTES)
        except zlib.error as error:
            raise SearchError(f"a state of the search cannot be unpacked: {error}") from error

    def rank(self, score: float, length: int) -> tuple[float, float]:
        """What makes one way better than another: the score as far as it counts, then being shorter."""
        return min(score, self.until_score), -length

    def go(self, packed: bytes) -> None:
        if packed:
            self.simulator.restore(self.unpack(packed))
        else:
            self.simulator.reset()

    def play(self, action: int) -> float:
        self.frames += self.block
        return self.simulator.play([action] * self.block)

    def survives(self) -> bool:
        """Whether the game goes on alive without action, or ended without costing a life."""
        if not self.simulator.game_over:
            self.frames += TAIL
            self.simulator.play([NOOP] * TAIL)
            if self.simulator.game_over:
                return False
        return self.simulator.lives >= self.lives

    def trip(self, job: Job) -> Trip:
        """Explores until a life is lost or the way becomes too long to matter; the same for the same job."""
        rng = np.random.default_rng(job.seed)
        simulator, score, best = self.simulator, job.score, job.best
        action, hold, begun = NOOP, 0, self.frames
        actions: list[int] = []
        visits: list[Visit] = []
        seen: dict[bytes, float] = {}
        self.go(job.state)
        for length in range(job.length + 1, job.length + ROLLOUT + 1):
            if hold == 0:
                action, hold = int(rng.integers(simulator.action_count)), int(rng.geometric(1 / HOLD))
            hold -= 1
            reward = self.play(action)
            score += reward
            actions.append(action)
            if simulator.lives < self.lives or length >= job.limit:
                break
            if reward > 0 and self.rank(score, length) > best:
                state = simulator.save()
                if self.survives():
                    best = self.rank(score, length)
                    visits.append(Visit(len(actions), None, score, self.pack(state)))
                if score >= self.until_score:
                    break
                simulator.restore(state)
            if simulator.game_over:
                break
            cell = self.cell(simulator)
            if score > seen.get(cell, -np.inf):
                seen[cell] = score
                visits.append(Visit(len(actions), cell, score, self.pack(simulator.save())))
        return Trip(tuple(actions), tuple(visits), self.frames - begun)

    def reach(self, state: bytes, score: float, way: Sequence[int], needed: float) -> int | None:
        """After how many blocks of ``way``, played from the packed ``state`` with ``score``, ``needed`` is reached,
        alive; None if it never is.
        """
        self.go(state)
        for length, action in enumerate(way, 1):
            score += self.play(action)
            if score >= needed:
                return length if self.survives() else None
            if self.simulator.game_over or self.simulator.lives < self.lives:
                return None
        return None
