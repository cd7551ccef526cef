"""Demo file -> demos.

A file may come from a stranger or from a torn disk, and the HDF5 library is not made for that: reading some types ends
the process, links lead to other files, and 2 kB can declare terabytes. So nothing is read before its kind of link,
type, shape, filters and size have been looked at. Files are opened for the length of a call.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from demo_curriculum.demo import ORIGINS, Demo, InvalidDemoError, Origin, SimulatorSpec, Snapshot
from demo_curriculum.store import schema
from demo_curriculum.store.files import StoreError, check_regular_file

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_FILTERS = {h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_FLETCHER32}
_TYPE_CLASSES = {"text": h5py.h5t.STRING, "integer": h5py.h5t.INTEGER, "float": h5py.h5t.FLOAT}
# Everything that h5py was seen to raise on damaged files.
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError, RecursionError)


@dataclass(frozen=True)
class DemoSummary:
    """What there is to say about a demo without loading its observations and snapshots.

    Attributes:
        id: the name of its group in the file.
        rewards: (demo step, points) of every reward that is not 0.
        snapshots: how many there are.

    The others are as in ``Demo``.
    """

    id: str
    simulator: SimulatorSpec
    steps: int
    score: float
    rewards: tuple[tuple[int, float], ...]
    snapshots: int
    origin: Origin
    seed: int
    complete: bool
    offset: int
    note: str


def read_demos(path: Path | str) -> list[Demo]:
    """All demos of a file.

    Raises:
        StoreError: the file is not a demo file of a version that can be read, or it is damaged.
    """
    with _open(Path(path)) as (file, lax):
        simulator = _read_simulator(file)
        return [_read_demo(file, name, simulator, lax) for name in _episode_names(file)]


def read_demo(path: Path | str, id: str = "episode_0") -> Demo:
    """One demo of a file.

    Raises:
        StoreError: as ``read_demos``, or there is no such demo.
    """
    with _open(Path(path)) as (file, lax):
        names = _episode_names(file)
        if id not in names:
            _refuse(f"there is no demo {id!r}; there are {', '.join(names)}")
        return _read_demo(file, id, _read_simulator(file), lax)


def summarise(path: Path | str) -> list[DemoSummary]:
    """What a file holds, without loading observations and snapshots.

    Raises:
        StoreError: as ``read_demos``.
    """
    with _open(Path(path)) as (file, lax):
        simulator = _read_simulator(file)
        return [_summarise(file, name, simulator, lax) for name in _episode_names(file)]


class _RefusalError(Exception):
    """What is wrong with a file; the path is added where it is known."""


def _refuse(reason: str) -> NoReturn:
    raise _RefusalError(reason)


@contextmanager
def _open(path: Path) -> Iterator[tuple[h5py.File, bool]]:
    """The open file, and whether names that this version does not know are to be passed over."""
    check_regular_file(path, max_bytes=schema.MAX_FILE_BYTES)
    try:
        with path.open("rb") as start:
            if start.read(len(SIGNATURE)) != SIGNATURE:
                _refuse("is not a demo file: it is not an HDF5 file")
        try:
            file = h5py.File(path, "r", locking=False)
        except _DAMAGE as error:
            raise _RefusalError(f"cannot be opened, it is cut short or damaged: {_first_line(error)}") from error
        with file:
            lax = _check_version(file)
            _check_names(file, schema.ROOT_ATTRIBUTES, _episode_names(file), lax)
            yield file, lax
    except (_RefusalError, InvalidDemoError) as error:
        raise StoreError(f"{path}: {error}") from error
    except _DAMAGE as error:
        raise StoreError(f"{path}: is damaged: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _check_version(file: h5py.File) -> bool:
    """Returns whether the file is of a later minor version, which may hold names unknown here."""
    if not h5py.h5a.exists(file.id, b"format") or _read_text(file, "format") != schema.FORMAT:
        _refuse("is an HDF5 file, but not a demo file")
    version = _read_text(file, "format_version")
    match = re.fullmatch(r"(\d{1,4})\.(\d{1,4})", version, re.ASCII)
    if match is None:
        _refuse(f"has the format version {version!r}, which is none")
    major, minor = int(match[1]), int(match[2])
    if major != schema.VERSION[0]:
        _refuse(f"has format version {version}; this program reads {schema.VERSION[0]}.x, get one that reads {major}.x")
    return minor > schema.VERSION[1]


def _read_simulator(file: h5py.File) -> SimulatorSpec:
    spec = _read_json(file, "env_spec")
    versions = _read_json(file, "simulator_versions")
    if spec.keys() != {"id", "kwargs"} or not isinstance(spec["id"], str) or not isinstance(spec["kwargs"], dict):
        _refuse("env_spec: is not an id and keyword arguments")
    if not all(isinstance(version, str) for version in versions.values()):
        _refuse("simulator_versions: are not all texts")
    return SimulatorSpec(
        env_id=spec["id"],
        kwargs=spec["kwargs"],
        adapter=_read_text(file, "simulator"),
        versions=versions,
        rom_md5=_read_text(file, "rom_md5"),
    )


def _episode_names(file: h5py.File) -> list[str]:
    found = [name for name in _link_names(file) if name.startswith("episode_")]
    names = [schema.episode_name(index) for index in range(len(found))]
    if not names or set(found) != set(names):
        _refuse(f"does not hold demos episode_0 to episode_N, but {', '.join(sorted(found)[:8]) or 'nothing'}")
    return names


def _read_demo(file: h5py.File, name: str, simulator: SimulatorSpec, lax: bool) -> Demo:
    group = _open_episode(file, name, lax)
    attributes = _read_attributes(group)
    columns = {column: _read_column(group, column, kind) for column, kind in schema.EPISODE_COLUMNS.items()}
    infos = _open_group(group, "infos")
    _check_names(infos, {}, schema.INFO_COLUMNS.keys(), lax)
    try:
        demo = Demo(
            simulator=simulator,
            **columns,
            lives=_read_column(infos, "lives", schema.INFO_COLUMNS["lives"]),
            snapshots=_read_snapshots(group, lax),
            origin=attributes["source"],
            seed=attributes["seed"],
            complete=bool(attributes["complete"]),
            offset=attributes["offset"],
            note=attributes["note"],
        )
    except InvalidDemoError as error:
        raise _RefusalError(f"{name}: {error}") from error
    _check_totals(name, attributes, demo.rewards)
    return demo


def _summarise(file: h5py.File, name: str, simulator: SimulatorSpec, lax: bool) -> DemoSummary:
    group = _open_episode(file, name, lax)
    attributes = _read_attributes(group)
    rewards = _read_column(group, "rewards", schema.EPISODE_COLUMNS["rewards"])
    _check_totals(name, attributes, rewards)
    snapshots = 0
    if "snapshots" in _link_names(group):
        snapshots = len(_open_column(_open_group(group, "snapshots"), "step", schema.SNAPSHOT_COLUMNS["step"]))
    return DemoSummary(
        id=name,
        simulator=simulator,
        steps=len(rewards),
        score=float(rewards.sum()),
        rewards=tuple((int(step), float(rewards[step])) for step in np.flatnonzero(rewards)),
        snapshots=snapshots,
        origin=attributes["source"],
        seed=attributes["seed"],
        complete=bool(attributes["complete"]),
        offset=attributes["offset"],
        note=attributes["note"],
    )


def _open_episode(file: h5py.File, name: str, lax: bool) -> h5py.Group:
    group = _open_group(file, name)
    _check_names(group, schema.EPISODE_ATTRIBUTES, schema.EPISODE_COLUMNS.keys() | schema.EPISODE_GROUPS.keys(), lax)
    return group


def _read_attributes(group: h5py.Group) -> dict[str, Any]:
    attributes = {name: _read_attribute(group, name, kind) for name, kind in schema.EPISODE_ATTRIBUTES.items()}
    if attributes["source"] not in ORIGINS:
        _refuse(f"{group.name}: source {attributes['source']!r} is not one of {', '.join(ORIGINS)}")
    if attributes["complete"] not in (0, 1) or attributes["offset"] < 0:
        _refuse(f"{group.name}: complete is not 0 or 1, or offset is negative")
    return attributes


def _check_totals(name: str, attributes: Mapping[str, Any], rewards: NDArray[np.float64]) -> None:
    if not np.isfinite(rewards).all():
        _refuse(f"{name}: rewards: holds NaN or infinite values")
    if attributes["total_steps"] != len(rewards):
        _refuse(f"{name}: total_steps is {attributes['total_steps']}, there are {len(rewards)} rewards")
    total = float(rewards.sum())
    if not math.isclose(attributes["return"], total, rel_tol=1e-9, abs_tol=1e-9):
        _refuse(f"{name}: return is {attributes['return']:g}, the rewards sum to {total:g}")


def _read_snapshots(episode: h5py.Group, lax: bool) -> tuple[Snapshot, ...]:
    if "snapshots" not in _link_names(episode):
        return ()
    group = _open_group(episode, "snapshots")
    _check_names(group, {}, schema.SNAPSHOT_COLUMNS.keys(), lax)
    columns = {name: _read_column(group, name, kind) for name, kind in schema.SNAPSHOT_COLUMNS.items()}
    data, sizes = columns["data"], columns["nbytes"]
    if len({len(column) for column in columns.values()}) != 1:
        _refuse(f"{group.name}: data, nbytes, step and fingerprint have different lengths")
    if not ((sizes >= 0) & (sizes <= data.shape[1])).all():
        _refuse(f"{group.name}: nbytes is not always within 0..{data.shape[1]}")
    return tuple(
        Snapshot(int(step), row[:size].tobytes(), int(fingerprint))
        for row, size, step, fingerprint in zip(data, sizes, columns["step"], columns["fingerprint"], strict=True)
    )


def _link_names(group: h5py.Group) -> list[str]:
    count = group.id.get_num_objs()
    if count > schema.MAX_EPISODES:
        _refuse(f"{group.name}: holds {count} things, more than {schema.MAX_EPISODES}")
    return list(group)


def _check_names(group: h5py.Group, attributes: Collection[str], links: Collection[str], lax: bool) -> None:
    """Every attribute must be there and, in a file of this version, nothing that it does not know."""
    for name in attributes:
        if not h5py.h5a.exists(group.id, name.encode()):
            _refuse(f"{group.name}: has no attribute {name}")
    if lax:
        return
    if h5py.h5a.get_num_attrs(group.id) != len(attributes):
        _refuse(f"{group.name}: has other attributes besides {', '.join(attributes) or 'none'}")
    for name in _link_names(group):
        if name not in links:
            _refuse(f"{group.name}: holds {name!r}, which its format version does not know")


def _open_link(group: h5py.Group, name: str) -> Any:
    link = group.get(name, getlink=True)
    if link is None:
        _refuse(f"{group.name}: has no {name}")
    if not isinstance(link, h5py.HardLink):
        _refuse(f"{group.name}: {name} is a link to elsewhere")
    return group[name]


def _open_group(parent: h5py.Group, name: str) -> h5py.Group:
    group = _open_link(parent, name)
    if not isinstance(group, h5py.Group):
        _refuse(f"{parent.name}: {name} is not a group")
    return group


def _open_column(group: h5py.Group, name: str, column: schema.Column) -> h5py.Dataset:
    """A dataset of which everything has been checked that can be without reading it."""
    if name not in _link_names(group):
        _refuse(f"{group.name}: has no {name}")
    dataset = _open_link(group, name)
    where = f"{group.name}/{name}"
    if not isinstance(dataset, h5py.Dataset):
        _refuse(f"{where}: is not a dataset")
    _check_type(dataset.id.get_type(), column, where)
    space = dataset.id.get_space()
    rank = space.get_simple_extent_ndims()
    if space.get_simple_extent_type() != h5py.h5s.SIMPLE or not 1 <= rank <= schema.MAX_RANK:
        _refuse(f"{where}: has {rank} axes")
    if column.rank not in (None, rank):
        _refuse(f"{where}: has {rank} axes instead of {column.rank}")
    creation = dataset.id.get_create_plist()
    if creation.get_layout() != h5py.h5d.CHUNKED:
        _refuse(f"{where}: is not stored in chunks of this file")
    if any(creation.get_filter(index)[0] not in _FILTERS for index in range(creation.get_nfilters())):
        _refuse(f"{where}: uses another filter than shuffle, gzip and fletcher32")
    item_bytes = dataset.id.get_type().get_size()
    declared = math.prod(space.get_simple_extent_dims()) * item_bytes
    if declared == 0:
        _refuse(f"{where}: is empty")
    if declared > min(schema.MAX_DATASET_BYTES, schema.MAX_EXPANSION * dataset.id.get_storage_size()):
        _refuse(f"{where}: declares {declared:,} bytes, more than it can hold")
    if math.prod(creation.get_chunk()) * item_bytes > schema.MAX_CHUNK_BYTES:
        _refuse(f"{where}: has chunks larger than {schema.MAX_CHUNK_BYTES:,} bytes")
    return dataset


def _check_type(type_id: Any, column: schema.Column, where: str) -> None:
    kind = type_id.get_class()
    if column.dtype == np.bool_:
        # HDF5 has no booleans; h5py writes them as an enumeration.
        good = kind == h5py.h5t.ENUM and type_id.get_nmembers() == 2 and type_id.get_size() == 1
        if not good or (type_id.enum_valueof(b"FALSE"), type_id.enum_valueof(b"TRUE")) != (0, 1):
            _refuse(f"{where}: does not hold booleans")
        return
    if kind not in (h5py.h5t.INTEGER, h5py.h5t.FLOAT) or type_id.get_size() > 8:
        _refuse(f"{where}: does not hold plain numbers")
    if column.dtype is not None and type_id.dtype != column.dtype:
        _refuse(f"{where}: holds {type_id.dtype} instead of {column.dtype}")


def _read_column(group: h5py.Group, name: str, column: schema.Column) -> NDArray[Any]:
    dataset = _open_column(group, name, column)
    try:
        values: NDArray[Any] = dataset[()]
    except _DAMAGE as error:
        raise _RefusalError(
            f"{group.name}/{name}: cannot be read, the file is damaged: {_first_line(error)}"
        ) from error
    if column.dtype == np.bool_ and values.view(np.uint8).max() > 1:
        _refuse(f"{group.name}/{name}: does not hold booleans")
    return values


def _read_attribute(group: h5py.Group, name: str, kind: schema.Kind) -> Any:
    attribute = h5py.h5a.open(group.id, name.encode())
    type_id = attribute.get_type()
    where = f"{group.name}: attribute {name}"
    if type_id.get_class() != _TYPE_CLASSES[kind] or (kind == "text" and type_id.is_variable_str()):
        _refuse(f"{where} has another type than {kind} of fixed size")
    if attribute.get_space().get_simple_extent_type() != h5py.h5s.SCALAR:
        _refuse(f"{where} is not a single value")
    if type_id.get_size() > (schema.MAX_TEXT_BYTES if kind == "text" else 8):
        _refuse(f"{where} has {type_id.get_size()} bytes")
    value = np.zeros((), type_id.dtype)
    attribute.read(value)
    if kind == "text":
        return cast(bytes, value[()]).decode()
    return int(value) if kind == "integer" else float(value)


def _read_text(file: h5py.File, name: str) -> str:
    return cast(str, _read_attribute(file, name, "text"))


def _read_json(file: h5py.File, name: str) -> dict[str, Any]:
    def refuse_constant(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    try:
        value = json.loads(_read_text(file, name), parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _RefusalError(f"attribute {name} is not strict JSON: {error}") from error
    if not isinstance(value, dict):
        _refuse(f"attribute {name} is not a JSON object")
    return value
