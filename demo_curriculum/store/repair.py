"""Damaged demo file -> what of it can still be read.

Actions are the record: where they can be read and the simulator is installed, everything else can be made again.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from demo_curriculum.demo import Demo, InvalidDemoError, Origin, SimulatorSpec, Snapshot
from demo_curriculum.store import schema
from demo_curriculum.store.checked import (
    DAMAGE,
    RefusalError,
    first_line,
    link_names,
    open_column,
    open_group,
    read_rows,
    refuse,
)
from demo_curriculum.store.files import StoreError, check_regular_file
from demo_curriculum.store.reader import (
    SIGNATURE,
    allowed_bytes,
    check_version,
    declared_bytes,
    open_snapshots,
    read_episode,
    read_episode_attributes,
    read_simulator,
    snapshots_of,
)

MAX_REPAIR_BYTES = 1 << 30
"""A damaged file is held in memory."""
_SUPERBLOCK_BYTES = 48


@dataclass(frozen=True, eq=False)
class Remains:
    """What can be read of one demo that is not whole.

    Attributes:
        simulator: what it was recorded on.
        actions: i64 (n,): those before the first that cannot be read.
        rewards: f64 (m,): likewise.
        begin: the snapshot at step 0; None where the demo begins at the reset, or the snapshot cannot be read.
    """

    simulator: SimulatorSpec
    actions: NDArray[np.int64]
    rewards: NDArray[np.float64]
    begin: Snapshot | None
    origin: Origin
    seed: int
    offset: int
    note: str
    total_steps: int


@dataclass(frozen=True)
class Finding:
    """One demo of a damaged file.

    Attributes:
        id: its name in the file.
        found: the demo where it is whole, what remains where something does, else None.
        problem: what is wrong with it; empty where it is whole.
    """

    id: str
    found: Demo | Remains | None
    problem: str = ""


def salvage(path: Path | str) -> list[Finding]:
    """Everything that can be read of a file, demo by demo, whether or not the rest of it can.

    Raises:
        StoreError: it is no demo file, or nothing can be read of it at all.
    """
    path = Path(path)
    check_regular_file(path, max_bytes=MAX_REPAIR_BYTES)
    try:
        with h5py.File(io.BytesIO(_padded(path.read_bytes())), "r") as file:
            lax = check_version(file)
            simulator = read_simulator(file)
            names = sorted((name for name in link_names(file) if re.fullmatch(r"episode_\d{1,5}", name)), key=_number)
            if not names:
                refuse("no demo can be read of it")
            budget = _Budget(allowed_bytes(file))
            return [_examine(file, name, simulator, lax, budget) for name in names]
    except (RefusalError, InvalidDemoError) as error:
        raise StoreError(f"{path}: nothing can be saved: {first_line(error)}") from error
    except DAMAGE as error:
        raise StoreError(f"{path}: nothing can be saved: {first_line(error)}") from error


def _number(name: str) -> int:
    return int(name.removeprefix("episode_"))


def _padded(content: bytes) -> bytes:
    """Zeros in place of what is cut off the end: the library refuses a file that is shorter than it says."""
    if content[: len(SIGNATURE)] != SIGNATURE:
        refuse("it is not an HDF5 file, or damaged from its first bytes on")
    # Version 2 and 3 of the superblock: signature, version, sizes, flags; base, extension and end addresses.
    if len(content) >= _SUPERBLOCK_BYTES and content[8] in (2, 3):
        end = int.from_bytes(content[28:36], "little")
        if len(content) < end <= MAX_REPAIR_BYTES:
            content += bytes(end - len(content))
    return content


class _Budget:
    """The bytes that may still be read of a file; more would not be in proportion to it."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, what: str, size: int) -> None:
        if size > self.left:
            refuse(f"{what}: declares {size:,} bytes, more than a file of its size may expand to")
        self.left -= size


def _examine(file: h5py.File, name: str, simulator: SimulatorSpec, lax: bool, budget: _Budget) -> Finding:
    try:
        budget.take(name, declared_bytes(file, [name]))
        return Finding(name, read_episode(file, name, simulator, lax))
    except (RefusalError, InvalidDemoError, *DAMAGE) as error:
        problem = first_line(error)
    try:
        return Finding(name, _remains(file, name, simulator, lax, budget), problem)
    except (RefusalError, InvalidDemoError, *DAMAGE) as error:
        return Finding(name, None, f"{problem}; {first_line(error)}")


def _remains(file: h5py.File, name: str, simulator: SimulatorSpec, lax: bool, budget: _Budget) -> Remains:
    group = open_group(file, name)
    attributes = read_episode_attributes(group)
    actions = _readable_rows(group, "actions", budget)
    if not len(actions):
        refuse("none of its actions can be read")
    begin = _first_snapshot(group, lax)
    if attributes["offset"] > 0 and begin is None:
        refuse("the snapshot that it begins at cannot be read")
    try:
        rewards = _readable_rows(group, "rewards", budget)
    except (RefusalError, *DAMAGE):
        rewards = np.zeros(0)
    return Remains(
        simulator=simulator,
        actions=actions,
        rewards=rewards,
        begin=begin if attributes["offset"] > 0 else None,
        origin=cast(Origin, attributes["source"]),
        seed=attributes["seed"],
        offset=attributes["offset"],
        note=attributes["note"],
        total_steps=attributes["total_steps"],
    )


def _readable_rows(group: h5py.Group, name: str, budget: _Budget) -> NDArray[Any]:
    """The rows of a column before the first chunk that cannot be read."""
    column = schema.EPISODE_COLUMNS[name]
    dataset = open_column(group, name, column)
    budget.take(f"{group.name}/{name}", len(dataset) * dataset.dtype.itemsize)
    parts = [np.zeros(0, column.dtype)]
    for begin in range(0, len(dataset), dataset.chunks[0]):
        try:
            parts.append(read_rows(dataset, begin, min(begin + dataset.chunks[0], len(dataset))))
        except RefusalError:
            break
    return np.concatenate(parts)


def _first_snapshot(group: h5py.Group, lax: bool) -> Snapshot | None:
    try:
        snapshots = open_snapshots(group, lax)
        columns = {
            name: read_rows(open_column(snapshots, name, kind), 0, 1) for name, kind in schema.SNAPSHOT_COLUMNS.items()
        }
        first = snapshots_of(columns)[0]
    except (RefusalError, *DAMAGE):
        return None
    return first if first.step == 0 else None
