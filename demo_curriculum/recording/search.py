"""Finding a demo without a human: an archive of snapshots, explored at random.

The first phase of Go-Explore (Ecoffet et al. 2021, "First return, then explore", Nature 590): return to a cell by
restoring its snapshot, explore from it, keep the better way to every cell seen.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from demo_curriculum.demo import Demo
from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.recording.cells import Cell
from demo_curriculum.simulators import Simulator
from demo_curriculum.simulators.playback import play_demo, replay_demo

NOOP = 0
TAIL = 20
"""Demo steps without action that a demo goes on, alive, behind the score it was made for."""
ROLLOUT = 100
"""Blocks explored from one snapshot, as many as Go-Explore's actions."""
HOLD = 8
"""Mean number of blocks for which exploration holds an action."""


class SearchError(DemoCurriculumError):
    """The search found nothing that can be recorded."""


@dataclass(frozen=True)
class Node:
    """A way from the reset to a state: the way to the node before, then ``actions``.

    A node stays as it is when the archive replaces it, so the ways of those behind it stay whole.

    Attributes:
        before: None for the reset itself.
        actions: one for each block.
        state: what the simulator saved at the end of the way; None where it is reached by resetting.
        score: return on the way.
        length: blocks on the way.
    """

    before: Node | None
    actions: tuple[int, ...]
    state: bytes | None
    score: float
    length: int

    def way(self) -> list[int]:
        """The action of every block from the reset to here."""
        parts = []
        node: Node | None = self
        while node is not None:
            parts.append(node.actions)
            node = node.before
        return [action for part in reversed(parts) for action in part]


RESET = Node(before=None, actions=(), state=None, score=0.0, length=0)


class Archive:
    """The best node known of every cell: the one with the higher score, then with the shorter way."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._index: dict[Hashable, int] = {}
        # Parallel to ``nodes`` and doubled when full, because they are read whole at every draw.
        self._visits = np.zeros(1024)
        self._lengths = np.zeros(1024)

    def __len__(self) -> int:
        return len(self.nodes)

    def wants(self, cell: Hashable, score: float, length: int) -> bool:
        """Whether a way with this score and length is better than the one known to the cell."""
        if cell not in self._index:
            return True
        known = self.nodes[self._index[cell]]
        return (score, -length) > (known.score, -known.length)

    def put(self, cell: Hashable, node: Node) -> None:
        """Makes ``node`` the one of ``cell``, as yet unvisited."""
        index = self._index.setdefault(cell, len(self.nodes))
        if index < len(self.nodes):
            self.nodes[index] = node
        else:
            self.nodes.append(node)
        if len(self.nodes) > len(self._visits):
            self._visits = np.concatenate([self._visits, np.zeros_like(self._visits)])
            self._lengths = np.concatenate([self._lengths, np.zeros_like(self._lengths)])
        self._visits[index] = 0
        self._lengths[index] = node.length

    def draw(self, rng: np.random.Generator, shorter_than: float = np.inf) -> Node:
        """A node whose way is shorter than so many blocks, with weight 1/sqrt(visits + 1)."""
        count = len(self.nodes)
        weights = (self._lengths[:count] < shorter_than) / np.sqrt(self._visits[:count] + 1)
        sums = np.cumsum(weights)
        index = int(np.searchsorted(sums, rng.random() * sums[-1], side="right"))
        self._visits[index] += 1
        return self.nodes[index]


@dataclass(frozen=True)
class SearchProgress:
    """How far a search is.

    Attributes:
        frames: demo steps played.
        cells: in the archive.
        score: of the best way on which no life is lost; 0 as long as there is none.
        length: its demo steps.
    """

    frames: int
    cells: int
    score: float
    length: int


class Search:
    """The state of a search for ``until_score``.

    Attributes:
        best: the best way from which the game goes on alive: the higher score up to ``until_score``, then the shorter.
        frames: demo steps played.
    """

    def __init__(
        self, simulator: Simulator, *, cell: Cell, until_score: float, block: int, rng: np.random.Generator
    ) -> None:
        self.simulator = simulator
        self.cell = cell
        self.until_score = until_score
        self.block = block
        self.rng = rng
        self.frames = 0
        self.best: Node | None = None
        self.archive = Archive()
        simulator.reset()
        self._lives = simulator.lives
        self.archive.put(cell(simulator), RESET)

    @property
    def done(self) -> bool:
        return self.best is not None and self.best.score >= self.until_score

    @property
    def progress(self) -> SearchProgress:
        score, length = (self.best.score, self.best.length) if self.best is not None else (0.0, 0)
        return SearchProgress(self.frames, len(self.archive), score, length * self.block)

    def rollout(self) -> None:
        """Returns to a cell and explores from it, until a life is lost or the way becomes too long to matter."""
        limit = self.best.length if self.best is not None and self.done else np.inf
        node = self.archive.draw(self.rng, limit)
        self._restore(node)
        score, action, hold = node.score, NOOP, 0
        actions: list[int] = []
        for length in range(node.length + 1, node.length + ROLLOUT + 1):
            if hold == 0:
                action, hold = int(self.rng.integers(self.simulator.action_count)), int(self.rng.geometric(1 / HOLD))
            hold -= 1
            reward = self._play(action)
            score += reward
            actions.append(action)
            if self.simulator.lives < self._lives or length >= limit:
                return
            if reward > 0 and self._better(score, length):
                found = Node(node, tuple(actions), self.simulator.save(), score, length)
                if self._survives():
                    self.best = found
                if score >= self.until_score:
                    return
                self._restore(found)
            if self.simulator.game_over:
                return
            cell = self.cell(self.simulator)
            if self.archive.wants(cell, score, length):
                node = Node(node, tuple(actions), self.simulator.save(), score, length)
                self.archive.put(cell, node)
                actions = []

    def tidy(self) -> None:
        """One pass along the best way: leaves blocks out, or plays the action before them instead of their own,
        wherever the score is then still reached alive. What remains is no longer and changes action less often.
        """
        if self.best is None:
            return
        needed = min(self.best.score, self.until_score)
        way = self.best.way()
        node = RESET
        while node.length < len(way):
            done, rest = way[: node.length], way[node.length + 1 :]
            if (length := self._reach(node, rest, needed)) is not None:
                way = done + rest[:length]
                continue
            if done and done[-1] != way[node.length]:
                changed = [done[-1], *rest]
                if (length := self._reach(node, changed, needed)) is not None:
                    way = done + changed[:length]
            self._restore(node)
            action = way[node.length]
            score = node.score + self._play(action)
            node = Node(node, (action,), self.simulator.save(), score, node.length + 1)
        self.best = node

    def demo(self) -> Demo:
        """The best way as a demo, played from the reset and verified by playing it again.

        Raises:
            SearchError: there is none with any reward, or it leads elsewhere when played from the reset.
        """
        if self.best is None:
            raise SearchError(f"no reward found in {self.frames:,} frames; search longer or with another seed")
        actions = [action for action in self.best.way() for _ in range(self.block)]
        self.simulator.reset()
        self.simulator.play(actions)
        if not self.simulator.game_over:
            actions += [NOOP] * TAIL
        demo = play_demo(self.simulator, actions, origin="search")
        if demo.score < min(self.best.score, self.until_score) or not replay_demo(self.simulator, demo).matched:
            raise SearchError(
                f"the way found has {self.best.score:.12g} points in the search but {demo.score:.12g} when played from "
                "the reset: the simulator does not restore its snapshots exactly"
            )
        return demo

    def _better(self, score: float, length: int) -> bool:
        if self.best is None:
            return True
        capped, known = min(score, self.until_score), min(self.best.score, self.until_score)
        return (capped, -length) > (known, -self.best.length)

    def _play(self, action: int) -> float:
        self.frames += self.block
        return self.simulator.play([action] * self.block)

    def _restore(self, node: Node) -> None:
        if node.state is None:
            self.simulator.reset()
        else:
            self.simulator.restore(node.state)

    def _survives(self) -> bool:
        """Whether the game goes on alive without action, or ended without costing a life."""
        if not self.simulator.game_over:
            self.frames += TAIL
            self.simulator.play([NOOP] * TAIL)
            if self.simulator.game_over:
                return False
        return self.simulator.lives >= self._lives

    def _reach(self, node: Node, way: Sequence[int], needed: float) -> int | None:
        """After how many blocks of ``way``, played from ``node``, the score is there, alive; None if it never is."""
        self._restore(node)
        score = node.score
        for length, action in enumerate(way, 1):
            score += self._play(action)
            if score >= needed:
                return length if self._survives() else None
            if self.simulator.game_over or self.simulator.lives < self._lives:
                return None
        return None


def search_demo(
    simulator: Simulator,
    *,
    cell: Cell,
    until_score: float,
    rng: np.random.Generator,
    block: int,
    polish_frames: int,
    max_frames: int | None = None,
    on_progress: Callable[[SearchProgress], bool] | None = None,
) -> Demo:
    """Searches for a way to ``until_score`` without losing a life; the same for the same seed of ``rng``.

    Args:
        cell: which situations count as one.
        block: demo steps for which an action is held at least; a policy with this frame skip can copy the demo.
        polish_frames: demo steps to go on after the first way was found, for shorter ones.
        max_frames: demo steps to play at most.
        on_progress: called before every rollout; the search ends when it returns False.

    Returns:
        The best demo found: its score is below ``until_score`` if the search ended early.

    Raises:
        SearchError: no reward was found, or the simulator does not restore exactly.
        ValueError: ``until_score`` is not above 0.
    """
    if not until_score > 0:
        raise ValueError(f"until_score {until_score} is not above 0")
    search = Search(simulator, cell=cell, until_score=until_score, block=block, rng=rng)
    stop = np.inf if max_frames is None else max_frames
    while search.frames < stop:
        if on_progress is not None and not on_progress(search.progress):
            break
        found = search.done
        search.rollout()
        if search.done and not found:
            stop = min(stop, search.frames + polish_frames)
    search.tidy()
    return search.demo()
