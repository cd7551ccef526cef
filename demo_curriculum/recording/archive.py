"""What a search knows: the best way to every cell, kept in memory and in a file beside the demo."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.recording.explore import SearchError
from demo_curriculum.store.files import StoreError, write_file
from demo_curriculum.store.npz import MAX_NPZ_BYTES, read_arrays

TOP = 0.5
"""Share of draws among the cells of the highest scores, so that a search goes on where it came furthest."""
TOP_DECAY = 0.3
"""By the geometric distribution of the number of distinct scores that such a draw looks down from the highest."""


@dataclass(frozen=True, eq=False)
class Way:
    """A way from the reset: the way before, then ``actions``.

    A way stays as it is when the archive replaces it, so those that go on from it stay whole.

    Attributes:
        before: None for the reset itself.
        actions: one for each block.
        score: return on the way.
        length: blocks on the way.
    """

    before: Way | None
    actions: tuple[int, ...]
    score: float
    length: int

    def whole(self) -> list[int]:
        """The action of every block from the reset to here."""
        parts = []
        way: Way | None = self
        while way is not None:
            parts.append(way.actions)
            way = way.before
        return [action for part in reversed(parts) for action in part]


RESET = Way(before=None, actions=(), score=0.0, length=0)


class Archive:
    """The best way known to every cell: the one with the higher score, then the shorter one.

    Attributes:
        cells: what they are called, in the order in which they were found.
        ways: one a cell.
        states: one a cell: the simulator's at the end of the way, packed; empty for the reset.
    """

    def __init__(self) -> None:
        self.cells: list[bytes] = []
        self.ways: list[Way] = []
        self.states: list[bytes] = []
        self._index: dict[bytes, int] = {}
        # Parallel to the lists and doubled when full, because they are read whole at every draw.
        self._columns = {name: np.zeros(1024) for name in ("visits", "lengths", "scores")}

    def __len__(self) -> int:
        return len(self.cells)

    def wants(self, cell: bytes, score: float, length: int) -> bool:
        """Whether a way with this score and length is better than the one known to the cell."""
        if cell not in self._index:
            return True
        known = self.ways[self._index[cell]]
        return (score, -length) > (known.score, -known.length)

    def put(self, cell: bytes, way: Way, state: bytes, visits: float = 0) -> None:
        """Makes ``way`` the one of ``cell``, by default as yet unvisited."""
        index = self._index.setdefault(cell, len(self))
        if index < len(self):
            self.ways[index], self.states[index] = way, state
        else:
            self.cells.append(cell)
            self.ways.append(way)
            self.states.append(state)
        if len(self) > len(self._columns["visits"]):
            for name, column in self._columns.items():
                self._columns[name] = np.concatenate([column, np.zeros_like(column)])
        for name, value in (("visits", visits), ("lengths", way.length), ("scores", way.score)):
            self._columns[name][index] = value

    def draw(self, rng: np.random.Generator, count: int, shorter_than: float = np.inf) -> list[int]:
        """Indices of cells whose ways are shorter than so many blocks, with weight 1/sqrt(visits + 1); of a share
        ``TOP`` of them only cells with a score among the highest count. Where no way is shorter, the shortest count.
        """
        visits, lengths, scores = (column[: len(self)] for column in self._columns.values())
        open_ = lengths < shorter_than
        if not open_.any():
            open_ = lengths == lengths.min()
        levels = np.unique(scores[open_])[::-1]
        drawn = []
        for _ in range(count):
            allowed = open_
            if rng.random() < TOP:
                allowed = open_ & (scores >= levels[min(int(rng.geometric(TOP_DECAY)), len(levels)) - 1])
            sums = np.cumsum(allowed / np.sqrt(visits + 1))
            index = int(np.searchsorted(sums, rng.random() * sums[-1], side="right"))
            visits[index] += 1
            drawn.append(index)
        return drawn

    @property
    def visits(self) -> NDArray[np.float64]:
        return self._columns["visits"][: len(self)]


def save_archive(path: Path, archive: Archive, best: Way | None, about: Mapping[str, Any]) -> None:
    """Writes an archive, the best way, and what the search is about (JSON values) as one file, whole or not at all.

    Raises:
        StoreError: the disk refused, or it is more than ``load_archive`` reads; what was there is as before.
    """
    numbers: dict[int, int] = {}
    ways: list[Way] = []
    for end in [*archive.ways, *([best] if best is not None else [])]:
        chain = []
        way: Way | None = end
        while way is not None and id(way) not in numbers:
            chain.append(way)
            way = way.before
        for link in reversed(chain):
            numbers[id(link)] = len(ways)
            ways.append(link)
    columns: dict[str, Any] = {
        "about": np.frombuffer(json.dumps(dict(about), allow_nan=False).encode(), np.uint8),
        "before": np.array([-1 if way.before is None else numbers[id(way.before)] for way in ways], np.int64),
        "score": np.array([way.score for way in ways], np.float64),
        "actions": np.array([action for way in ways for action in way.actions], np.int64),
        "actions/counts": np.array([len(way.actions) for way in ways], np.int64),
        "at": np.array([numbers[id(way)] for way in archive.ways], np.int64),
        "best": np.array([-1 if best is None else numbers[id(best)]], np.int64),
        "visits": archive.visits,
    }
    for name, parts in (("cells", archive.cells), ("states", archive.states)):
        columns[name] = np.frombuffer(b"".join(parts), np.uint8)
        columns[f"{name}/sizes"] = np.array([len(part) for part in parts], np.int64)
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **columns)
    if (size := len(content.getbuffer())) > MAX_NPZ_BYTES:
        raise StoreError(f"{path}: would have {size:,} bytes, more than the {MAX_NPZ_BYTES:,} that are read")
    write_file(path, content.getvalue(), overwrite=True)


def load_archive(path: Path) -> tuple[Archive, Way | None, dict[str, Any]]:
    """Archive, best way, and what the search is about, as they were saved.

    Raises:
        StoreError: there is no such file, or it is damaged.
        SearchError: it is something else.
    """
    columns = read_arrays(path)
    try:
        about = json.loads(columns["about"].tobytes())
        ends = np.cumsum(columns["actions/counts"])
        ways: list[Way] = []
        for number, (before, score, count, end) in enumerate(
            zip(
                columns["before"].tolist(),
                columns["score"].tolist(),
                columns["actions/counts"].tolist(),
                ends.tolist(),
                strict=True,
            )
        ):
            if not -1 <= before < number or not 0 <= count <= end <= len(columns["actions"]):
                raise ValueError(f"way {number} is none")
            actions = tuple(columns["actions"][end - count : end].tolist())
            if before < 0:
                ways.append(Way(None, actions, score, len(actions)))
            else:
                ways.append(Way(ways[before], actions, score, ways[before].length + len(actions)))
        archive = Archive()
        for cell, at, state, visits in zip(
            _parted("cells", columns),
            columns["at"].tolist(),
            _parted("states", columns),
            columns["visits"].tolist(),
            strict=True,
        ):
            archive.put(cell, ways[at], state, visits)
        best = int(columns["best"][0])
        if not len(archive) or not isinstance(about, dict):
            raise ValueError("it is empty")
        return archive, ways[best] if best >= 0 else None, about
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise SearchError(f"{path}: not a search that can be gone on with: {error}") from error


def _parted(name: str, columns: Mapping[str, NDArray[Any]]) -> list[bytes]:
    joined, sizes = columns[name].tobytes(), columns[f"{name}/sizes"]
    if (sizes < 0).any() or sizes.sum() != len(joined):
        raise ValueError(f"the sizes of its {name} are wrong")
    ends = np.cumsum(sizes)
    return [joined[end - size : end] for size, end in zip(sizes.tolist(), ends.tolist(), strict=True)]
