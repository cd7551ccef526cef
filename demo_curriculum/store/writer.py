"""Demos -> demo file."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from demo_curriculum.demo import Demo, SimulatorSpec, Snapshot
from demo_curriculum.store import schema
from demo_curriculum.store.files import StoreError, refuse_existing, write_file, write_lock
from demo_curriculum.store.reader import read_demos

CHUNK_BYTES = 64 << 10
SNAPSHOTS_PER_CHUNK = 16


def write_demos(
    path: Path | str, demos: Sequence[Demo], *, creator: str = "demo_curriculum", overwrite: bool = False
) -> None:
    """Writes ``demos`` as one new demo file.

    The file is made in memory first: a disk that fills up is then an ordinary error and not the end of the process,
    as it can be inside the HDF5 library.

    Args:
        demos: at least one, all recorded on the same simulator in the same versions.
        creator: what made the file, for people.
        overwrite: replace a file that is there; it stays as it was if anything fails.

    Raises:
        StoreError: the demos do not go together, something does not fit the format, ``path`` exists and ``overwrite``
            is false, or the disk refused.
    """
    path = Path(path)
    if not overwrite:
        refuse_existing(path)
        _write(path, demos, creator, overwrite=False)
        return
    with write_lock(path):
        _write(path, demos, creator, overwrite=True)


@contextmanager
def change_demos(path: Path | str, *, creator: str = "demo_curriculum") -> Iterator[list[Demo]]:
    """Yields the demos of a file to change in place; the file is replaced as a whole when the block ends without error.

    Raises:
        StoreError: as ``read_demos`` and ``write_demos``, or another process is writing the file.
    """
    path = Path(path)
    with write_lock(path):
        demos = read_demos(path)
        yield demos
        _write(path, demos, creator, overwrite=True)


def append_demo(path: Path | str, demo: Demo) -> None:
    """Adds a demo to the file at ``path``, which is replaced by a new one as a whole.

    Raises:
        StoreError: as ``change_demos``.
    """
    with change_demos(path) as demos:
        demos.append(demo)


def _write(path: Path, demos: Sequence[Demo], creator: str, *, overwrite: bool) -> None:
    if not 1 <= len(demos) <= schema.MAX_EPISODES:
        raise StoreError(f"{path}: a file holds 1 to {schema.MAX_EPISODES} demos, not {len(demos)}")
    simulator = demos[0].simulator
    for index, demo in enumerate(demos):
        if demo.simulator != simulator:
            raise StoreError(
                f"{path}: demo {index} was recorded on another simulator than demo 0: {demo.simulator} and {simulator}"
            )
    image = io.BytesIO()
    try:
        with h5py.File(image, "w", libver="latest", track_order=False) as file:
            _write_root(file, demos, creator)
            groups = [file.create_group(schema.episode_name(index)) for index in range(len(demos))]
            # What leads to the demos is then at the file's beginning, so that one that is cut short can be repaired.
            file.flush()
            for index, (group, demo) in enumerate(zip(groups, demos, strict=True)):
                _write_episode(group, index, demo)
                file.flush()
    except (OverflowError, TypeError, ValueError) as error:
        raise StoreError(f"{path}: cannot be stored: {error}") from error
    write_file(path, image.getvalue(), overwrite=overwrite)


def _write_root(file: h5py.File, demos: Sequence[Demo], creator: str) -> None:
    simulator: SimulatorSpec = demos[0].simulator
    metadata = {
        "data_format": "hdf5",
        "jpeg_encoding": False,
        "total_episodes": len(demos),
        "total_steps": sum(len(demo) for demo in demos),
    }
    attributes = {
        "format": schema.FORMAT,
        "format_version": "{}.{}".format(*schema.VERSION),
        "env_spec": _json({"id": simulator.env_id, "kwargs": dict(simulator.kwargs)}),
        "simulator": simulator.adapter,
        "simulator_versions": _json(dict(simulator.versions)),
        "rom_md5": simulator.rom_md5,
        "minari_metadata": _json(metadata),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "creator": creator,
    }
    _write_attributes(file, attributes)


def _write_episode(group: h5py.Group, index: int, demo: Demo) -> None:
    attributes = {
        "id": index,
        "total_steps": len(demo),
        "seed": demo.seed,
        "source": demo.origin,
        "return": demo.score,
        "complete": int(demo.complete),
        "offset": demo.offset,
        "note": demo.note,
        "fingerprint": demo.fingerprint,
    }
    _write_attributes(group, attributes)
    for name in schema.EPISODE_COLUMNS:
        _write_column(group, name, getattr(demo, name))
    _write_column(group.create_group("infos"), "lives", demo.lives)
    if demo.snapshots:
        _write_snapshots(group.create_group("snapshots"), demo.snapshots)


def _write_snapshots(group: h5py.Group, snapshots: Sequence[Snapshot]) -> None:
    for name, values in snapshot_columns(snapshots).items():
        _write_column(group, name, values, rows=SNAPSHOTS_PER_CHUNK if name == "data" else None)


def snapshot_columns(snapshots: Sequence[Snapshot]) -> dict[str, NDArray[Any]]:
    """The columns of the format that hold ``snapshots``; at least one."""
    sizes = [len(snapshot.data) for snapshot in snapshots]
    data = np.zeros((len(snapshots), max(1, *sizes)), np.uint8)
    for row, snapshot in zip(data, snapshots, strict=True):
        row[: len(snapshot.data)] = np.frombuffer(snapshot.data, np.uint8)
    return {
        "data": data,
        "nbytes": np.array(sizes, np.int32),
        "step": np.array([snapshot.step for snapshot in snapshots], np.int64),
        "fingerprint": np.array([snapshot.fingerprint for snapshot in snapshots], np.uint64),
    }


def _write_column(group: h5py.Group, name: str, array: NDArray[Any], *, rows: int | None = None) -> None:
    if array.nbytes > schema.MAX_DATASET_BYTES:
        raise ValueError(f"{name}: {array.nbytes:,} bytes are more than the {schema.MAX_DATASET_BYTES:,} of the format")
    if array.ndim > schema.MAX_RANK or array.size == 0:
        raise ValueError(f"{name}: the shape {array.shape} is empty or has more than {schema.MAX_RANK} axes")
    row_bytes = array[:1].nbytes
    if row_bytes > schema.MAX_CHUNK_BYTES:
        raise ValueError(
            f"{name}: {row_bytes:,} bytes a row are more than the {schema.MAX_CHUNK_BYTES:,} of the format"
        )
    rows = min(len(array), rows or max(1, CHUNK_BYTES // row_bytes))
    group.create_dataset(
        name,
        data=array,
        chunks=(rows, *array.shape[1:]),
        compression="gzip",
        compression_opts=4,
        shuffle=True,
        fletcher32=True,
    )


def _write_attributes(group: h5py.Group, attributes: Mapping[str, Any]) -> None:
    for name, value in attributes.items():
        if isinstance(value, str):
            text = value.encode()
            if b"\0" in text or len(text) > schema.MAX_TEXT_BYTES:
                raise ValueError(f"{name}: a text holds no NUL and at most {schema.MAX_TEXT_BYTES} bytes")
            group.attrs.create(name, text, dtype=h5py.string_dtype("utf-8", max(1, len(text))))
        else:
            group.attrs.create(name, np.float64(value) if isinstance(value, float) else np.int64(value))


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, allow_nan=False, sort_keys=True)
