"""Demo file -> demos, whole or just as much of one as an episode needs to begin.

A file may come from a stranger or from a torn disk, so it is read through ``checked`` alone, and is open for the length
of a call.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from demo_curriculum.demo import ORIGINS, Demo, InvalidDemoError, Origin, SimulatorSpec, Snapshot, demo_fingerprint
from demo_curriculum.store import schema
from demo_curriculum.store.checked import (
    DAMAGE,
    RefusalError,
    check_names,
    first_line,
    link_names,
    open_column,
    open_group,
    read_attribute,
    read_column,
    read_json,
    read_rows,
    read_text,
    refuse,
)
from demo_curriculum.store.files import StoreError, check_regular_file

SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class DemoSummary:
    """What there is to say about a demo without loading its observations and snapshots.

    Attributes:
        id: the name of its group in the file.
        rewards: (demo step, points) of every reward that is not 0.
        lives: (demo step, lives) at the beginning and wherever they change.
        snapshots: the steps of all there are.
        fingerprint: as in ``Demo``.

    The others are as in ``Demo``.
    """

    id: str
    simulator: SimulatorSpec
    steps: int
    score: float
    rewards: tuple[tuple[int, float], ...]
    lives: tuple[tuple[int, int], ...]
    snapshots: tuple[int, ...]
    fingerprint: str
    origin: Origin
    seed: int
    complete: bool
    offset: int
    note: str


class StoredStart(NamedTuple):
    """A way to a demo step: restore ``snapshot``, or reset where it is None, and play ``actions``, i64 (n,)."""

    snapshot: Snapshot | None
    actions: NDArray[np.int64]


def read_demos(path: Path | str) -> list[Demo]:
    """All demos of a file.

    Raises:
        StoreError: the file is not a demo file of a version that can be read, or it is damaged.
    """
    with open_demo_file(Path(path)) as (file, lax):
        simulator = read_simulator(file)
        names = _episode_names(file)
        check_expansion(file, names)
        return [read_episode(file, name, simulator, lax) for name in names]


def read_demo(path: Path | str, id: str = "episode_0") -> Demo:
    """One demo of a file.

    Raises:
        StoreError: as ``read_demos``, or there is no such demo.
    """
    with open_demo_file(Path(path)) as (file, lax):
        names = _episode_names(file)
        if id not in names:
            refuse(f"there is no demo {id!r}; there are {', '.join(names[:20])}")
        check_expansion(file, [id])
        return read_episode(file, id, read_simulator(file), lax)


def summarise(path: Path | str) -> list[DemoSummary]:
    """What a file holds, without loading observations and snapshots.

    Raises:
        StoreError: as ``read_demos``.
    """
    with open_demo_file(Path(path)) as (file, lax):
        simulator = read_simulator(file)
        check_expansion(file, _episode_names(file))
        return [_summarise(file, name, simulator, lax) for name in _episode_names(file)]


def read_start(path: Path | str, step: int, id: str = "episode_0") -> StoredStart:
    """What it takes to begin at demo step ``step``, read without the rest of the file.

    Raises:
        StoreError: as ``read_demo``, or ``step`` is not within 0..T.
    """
    with open_demo_file(Path(path)) as (file, lax):
        if id not in _episode_names(file):
            refuse(f"there is no demo {id!r}")
        group = _open_episode(file, id, lax)
        actions = open_column(group, "actions", schema.EPISODE_COLUMNS["actions"])
        if not 0 <= step <= len(actions):
            refuse(f"{id}: step {step} is not within 0..{len(actions)}")
        snapshot = _read_snapshot_before(group, step, lax) if "snapshots" in link_names(group) else None
        return StoredStart(snapshot, read_rows(actions, snapshot.step if snapshot else 0, step))


@contextmanager
def open_demo_file(path: Path) -> Iterator[tuple[h5py.File, bool]]:
    """The open file, and whether names that this version does not know are to be passed over."""
    check_regular_file(path, max_bytes=schema.MAX_FILE_BYTES)
    try:
        with path.open("rb") as start:
            if start.read(len(SIGNATURE)) != SIGNATURE:
                refuse("is not a demo file: it is not an HDF5 file")
        try:
            file = h5py.File(path, "r", locking=False)
        except DAMAGE as error:
            raise RefusalError(f"cannot be opened, it is cut short or damaged: {first_line(error)}") from error
        with file:
            lax = check_version(file)
            check_names(file, schema.ROOT_ATTRIBUTES, _episode_names(file), lax)
            yield file, lax
    except (RefusalError, InvalidDemoError) as error:
        raise StoreError(f"{path}: {first_line(error)}") from error
    except DAMAGE as error:
        raise StoreError(f"{path}: is damaged: {first_line(error)}") from error


def check_version(file: h5py.File) -> bool:
    """Returns whether the file is of a later minor version, which may hold names unknown here."""
    return _version(file)[1] > schema.VERSION[1]


def _version(file: h5py.File) -> tuple[int, int]:
    if not h5py.h5a.exists(file.id, b"format") or read_text(file, "format") != schema.FORMAT:
        refuse("is an HDF5 file, but not a demo file")
    version = read_text(file, "format_version")
    match = re.fullmatch(r"(\d{1,4})\.(\d{1,4})", version, re.ASCII)
    if match is None:
        refuse(f"has the format version {version!r}, which is none")
    major, minor = int(match[1]), int(match[2])
    if major != schema.VERSION[0]:
        refuse(f"has format version {version}; this program reads {schema.VERSION[0]}.x, get one that reads {major}.x")
    return major, minor


def read_simulator(file: h5py.File) -> SimulatorSpec:
    spec = read_json(file, "env_spec")
    versions = read_json(file, "simulator_versions")
    if spec.keys() != {"id", "kwargs"} or not isinstance(spec["id"], str) or not isinstance(spec["kwargs"], dict):
        refuse("env_spec: is not an id and keyword arguments")
    if not all(isinstance(version, str) for version in versions.values()):
        refuse("simulator_versions: are not all texts")
    return SimulatorSpec(
        env_id=spec["id"],
        kwargs=spec["kwargs"],
        adapter=read_text(file, "simulator"),
        versions=versions,
        rom_md5=read_text(file, "rom_md5"),
    )


def _episode_names(file: h5py.File) -> list[str]:
    found = [name for name in link_names(file) if name.startswith("episode_")]
    names = [schema.episode_name(index) for index in range(len(found))]
    if not names or set(found) != set(names):
        refuse(f"does not hold demos episode_0 to episode_N, but {', '.join(sorted(found)[:8]) or 'nothing'}")
    return names


def check_expansion(file: h5py.File, names: Sequence[str]) -> None:
    """What is declared for these episodes must be in proportion to the file: else a few kB would fill the memory."""
    declared, allowed = declared_bytes(file, names), allowed_bytes(file)
    if declared > allowed:
        refuse(f"declares {declared:,} bytes, more than the {allowed:,} that a file of its size may expand to")


def allowed_bytes(file: h5py.File) -> int:
    """What everything that is read of a file may come to."""
    return int(max(schema.FREE_BYTES, schema.FAIR_EXPANSION * file.id.get_filesize()))


def declared_bytes(file: h5py.File, names: Sequence[str]) -> int:
    declared = 0
    for name in names:
        group = open_group(file, name)
        tables = [(group, schema.EPISODE_COLUMNS)]
        tables += [(open_group(group, sub), table) for sub, table in schema.EPISODE_GROUPS.items() if sub in group]
        for parent, table in tables:
            for column, kind in table.items():
                dataset = open_column(parent, column, kind)
                declared += math.prod(dataset.shape) * dataset.dtype.itemsize
    return declared


def read_episode(file: h5py.File, name: str, simulator: SimulatorSpec, lax: bool) -> Demo:
    group = _open_episode(file, name, lax)
    attributes = read_episode_attributes(group)
    columns = {column: read_column(group, column, kind) for column, kind in schema.EPISODE_COLUMNS.items()}
    infos = open_group(group, "infos")
    check_names(infos, {}, schema.INFO_COLUMNS.keys(), lax)
    try:
        demo = Demo(
            simulator=simulator,
            **columns,
            lives=read_column(infos, "lives", schema.INFO_COLUMNS["lives"]),
            snapshots=_read_snapshots(group, lax),
            origin=attributes["source"],
            seed=attributes["seed"],
            complete=bool(attributes["complete"]),
            offset=attributes["offset"],
            note=attributes["note"],
        )
    except InvalidDemoError as error:
        raise RefusalError(f"{name}: {error}") from error
    _check_totals(name, attributes, demo.rewards)
    _check_seal(name, attributes, demo.fingerprint)
    return demo


def _summarise(file: h5py.File, name: str, simulator: SimulatorSpec, lax: bool) -> DemoSummary:
    group = _open_episode(file, name, lax)
    attributes = read_episode_attributes(group)
    actions, rewards = (read_column(group, column, schema.EPISODE_COLUMNS[column]) for column in ("actions", "rewards"))
    _check_totals(name, attributes, rewards)
    lives = read_column(open_group(group, "infos"), "lives", schema.INFO_COLUMNS["lives"])
    if len(actions) != len(rewards) or len(lives) != len(rewards) + 1:
        refuse(f"{name}: {len(actions)} actions, {len(rewards)} rewards and {len(lives)} lives do not go together")
    changes = [0, *(np.flatnonzero(np.diff(lives)) + 1).tolist()]
    snapshots, begin = (), b""
    if "snapshots" in link_names(group):
        steps = read_column(open_snapshots(group, lax), "step", schema.SNAPSHOT_COLUMNS["step"])
        snapshots = tuple(steps.tolist())
    if attributes["offset"]:
        first = _read_snapshot_before(group, 0, lax) if snapshots else None
        if first is None:
            refuse(f"{name}: begins after the reset, but has no snapshot at step 0")
        begin = first.data
    fingerprint = demo_fingerprint(simulator, attributes["seed"], attributes["offset"], actions, rewards, begin)
    _check_seal(name, attributes, fingerprint)
    return DemoSummary(
        id=name,
        simulator=simulator,
        steps=len(rewards),
        score=float(rewards.sum()),
        rewards=tuple((int(step), float(rewards[step])) for step in np.flatnonzero(rewards)),
        lives=tuple((step, int(lives[step])) for step in changes),
        snapshots=snapshots,
        fingerprint=fingerprint,
        origin=attributes["source"],
        seed=attributes["seed"],
        complete=bool(attributes["complete"]),
        offset=attributes["offset"],
        note=attributes["note"],
    )


def _open_episode(file: h5py.File, name: str, lax: bool) -> h5py.Group:
    group = open_group(file, name)
    check_names(group, _attributes(group), schema.EPISODE_COLUMNS.keys() | schema.EPISODE_GROUPS.keys(), lax)
    return group


def _attributes(group: h5py.Group) -> dict[str, schema.Kind]:
    return schema.EPISODE_ATTRIBUTES | (schema.SEAL if _version(group.file) >= (1, 1) else {})


def read_episode_attributes(group: h5py.Group) -> dict[str, Any]:
    attributes = {name: read_attribute(group, name, kind) for name, kind in _attributes(group).items()}
    if attributes["source"] not in ORIGINS:
        refuse(f"{group.name}: source {attributes['source']!r} is not one of {', '.join(ORIGINS)}")
    if attributes["complete"] not in (0, 1) or attributes["offset"] < 0:
        refuse(f"{group.name}: complete is not 0 or 1, or offset is negative")
    return attributes


def _check_totals(name: str, attributes: Mapping[str, Any], rewards: NDArray[np.float64]) -> None:
    if not np.isfinite(rewards).all():
        refuse(f"{name}: rewards: holds NaN or infinite values")
    if attributes["total_steps"] != len(rewards):
        refuse(f"{name}: total_steps is {attributes['total_steps']}, there are {len(rewards)} rewards")
    total = float(rewards.sum())
    if not math.isclose(attributes["return"], total, rel_tol=1e-9, abs_tol=1e-9):
        refuse(f"{name}: return is {attributes['return']:g}, the rewards sum to {total:g}")


def _check_seal(name: str, attributes: Mapping[str, Any], fingerprint: str) -> None:
    if attributes.get("fingerprint", fingerprint) != fingerprint:
        refuse(
            f"{name}: its actions, its rewards or the state it begins in were changed after it was written: its "
            "fingerprint is another"
        )


def _read_snapshots(episode: h5py.Group, lax: bool) -> tuple[Snapshot, ...]:
    if "snapshots" not in link_names(episode):
        return ()
    group = open_snapshots(episode, lax)
    columns = {name: read_column(group, name, kind) for name, kind in schema.SNAPSHOT_COLUMNS.items()}
    return snapshots_of(columns)


def _read_snapshot_before(episode: h5py.Group, step: int, lax: bool) -> Snapshot | None:
    group = open_snapshots(episode, lax)
    steps = read_column(group, "step", schema.SNAPSHOT_COLUMNS["step"])
    if (np.diff(steps, prepend=-1) <= 0).any():
        refuse(f"{group.name}: steps do not increase from 0")
    row = int(np.searchsorted(steps, step, side="right")) - 1
    if row < 0:
        return None
    columns = {
        name: read_rows(open_column(group, name, kind), row, row + 1) for name, kind in schema.SNAPSHOT_COLUMNS.items()
    }
    return snapshots_of(columns)[0]


def open_snapshots(episode: h5py.Group, lax: bool) -> h5py.Group:
    group = open_group(episode, "snapshots")
    check_names(group, {}, schema.SNAPSHOT_COLUMNS.keys(), lax)
    lengths = {len(open_column(group, name, kind)) for name, kind in schema.SNAPSHOT_COLUMNS.items()}
    if len(lengths) != 1:
        refuse(f"{group.name}: data, nbytes, step and fingerprint have different lengths")
    return group


def snapshots_of(columns: Mapping[str, NDArray[Any]]) -> tuple[Snapshot, ...]:
    data, sizes = columns["data"], columns["nbytes"]
    if not ((sizes >= 0) & (sizes <= data.shape[1])).all():
        refuse(f"snapshots: nbytes is not always within 0..{data.shape[1]}")
    return tuple(
        Snapshot(int(step), row[:size].tobytes(), int(fingerprint))
        for row, size, step, fingerprint in zip(data, sizes, columns["step"], columns["fingerprint"], strict=True)
    )
