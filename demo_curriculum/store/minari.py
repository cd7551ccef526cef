"""Minari 0.5 datasets: a folder ``data`` with ``main_data.hdf5`` and ``metadata.json``.

A demo file is laid out as ``main_data.hdf5`` is, so an export is a copy with the metadata beside it, and nothing is
lost. Minari's own loader runs whatever ``module:callable`` a dataset's ``metadata.json`` names; here the JSON and the
HDF5 are only read.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from demo_curriculum.demo import Demo
from demo_curriculum.store import schema
from demo_curriculum.store.checked import (
    DAMAGE,
    RefusalError,
    first_line,
    link_names,
    open_group,
    read_any_column,
    refuse,
)
from demo_curriculum.store.files import StoreError, check_regular_file, refuse_existing, sync_folder
from demo_curriculum.store.foreign import Recording, recordings_of, strict_json
from demo_curriculum.store.reader import read_demos

MINARI_VERSION = "0.5.3"
MAX_METADATA_BYTES = 1 << 20
_DATASET_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*-v\d+", re.ASCII)
_DATA, _METADATA = "main_data.hdf5", "metadata.json"


def write_minari(demo_file: Path | str, folder: Path | str, *, action_count: int, env_spec: str | None = None) -> None:
    """Makes a Minari dataset of a demo file; ``minari.load_dataset(folder.name)`` finds it beside its siblings.

    Args:
        folder: the dataset's own folder, named as Minari names datasets: ``montezuma-v0``. Must not exist.
        action_count: how many actions the game has.
        env_spec: Gymnasium's JSON of the environment, for Minari's ``recover_environment``.

    Raises:
        StoreError: the file is no demo file, its observations would be pictures, which Minari keeps as JPEG only, the
            name is not one of a dataset, the folder exists, or the disk refused.
    """
    demo_file, folder = Path(demo_file), Path(folder)
    if not _DATASET_NAME.fullmatch(folder.name):
        raise StoreError(f"{folder}: a Minari dataset is named NAME-vNUMBER, for instance montezuma-v0")
    refuse_existing(folder)
    demos = read_demos(demo_file)
    shape, dtype = demos[0].observations.shape[1:], demos[0].observations.dtype
    if any((demo.observations.shape[1:], demo.observations.dtype) != (shape, dtype) for demo in demos):
        raise StoreError(f"{demo_file}: its demos observe different things, which one Minari dataset cannot hold")
    if dtype == np.uint8 and len(shape) in (2, 3) and min(shape[:2]) >= 32:
        raise StoreError(f"{demo_file}: Minari keeps pictures as JPEG, which loses some; export it as NPZ")
    metadata = {
        "total_episodes": len(demos),
        "total_steps": sum(len(demo) for demo in demos),
        "data_format": "hdf5",
        "observation_space": json.dumps(_box(shape, dtype)),
        "action_space": json.dumps({"type": "Discrete", "dtype": "int64", "start": 0, "n": action_count}),
        "dataset_id": folder.name,
        "minari_version": MINARI_VERSION,
        "dataset_size": round(demo_file.stat().st_size / 1e6, 1),
        "description": f"Demos of {demos[0].simulator.env_id}, exported by demo-curriculum",
    }
    if env_spec is not None:
        metadata["env_spec"] = env_spec
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        (temporary / "data").mkdir(parents=True)
        shutil.copyfile(demo_file, temporary / "data" / _DATA)
        (temporary / "data" / _METADATA).write_text(json.dumps(metadata, indent=2, allow_nan=False))
        for name in (_DATA, _METADATA):
            with (temporary / "data" / name).open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(temporary / "data")
        os.rename(temporary, folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _box(shape: tuple[int, ...], dtype: np.dtype[Any]) -> dict[str, Any]:
    # The words of Minari's own reader of spaces; bounds that JSON cannot say are those of the type.
    if dtype.kind == "f":
        limit = float(np.finfo(dtype).max)
        low, high = -limit, limit
    else:
        low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    bounds = [np.full(shape, bound, dtype).tolist() for bound in (low, high)]
    return {"type": "Box", "dtype": str(dtype), "shape": list(shape), "low": bounds[0], "high": bounds[1]}


def is_minari(path: Path) -> bool:
    """Whether ``path`` is a folder that looks like a Minari dataset."""
    return (path / "data" / _METADATA).exists() or (path / _METADATA).exists()


def read_minari(folder: Path | str) -> Sequence[Demo | Recording]:
    """Its demos, where it was exported from a demo file; else the actions and rewards of its episodes.

    Raises:
        StoreError: it is no such dataset, or holds what cannot be played on a simulator that can be restored.
    """
    folder = Path(folder)
    data = folder / "data" if (folder / "data").is_dir() else folder
    metadata, main = data / _METADATA, data / _DATA
    check_regular_file(metadata, max_bytes=MAX_METADATA_BYTES)
    check_regular_file(main, max_bytes=schema.MAX_FILE_BYTES)
    try:
        spec = _env_spec(metadata)
        with h5py.File(main, "r", locking=False) as file:
            ours = h5py.h5a.exists(file.id, b"format")
            if not ours:
                return recordings_of(_episodes(file), spec)
        return read_demos(main)
    except RefusalError as error:
        raise StoreError(f"{folder}: {first_line(error)}") from error
    except DAMAGE as error:
        raise StoreError(f"{folder}: is damaged: {first_line(error)}") from error


def _env_spec(metadata: Path) -> dict[str, Any]:
    try:
        text = metadata.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RefusalError(f"{_METADATA} is not text: {error.reason}") from error
    content = strict_json(text, _METADATA)
    if content.get("data_format", "hdf5") != "hdf5":
        refuse(f"its data format is {content['data_format']!r:.40}; only hdf5 is read")
    spec = content.get("env_spec")
    if spec is None:
        return {}
    if not isinstance(spec, str):
        refuse(f"{_METADATA}: env_spec is no text")
    return strict_json(spec, "env_spec")


def _episodes(file: h5py.File) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    names = [name for name in link_names(file) if re.fullmatch(r"episode_\d{1,6}", name)]
    if not names:
        refuse("holds no episodes")
    found = {}
    for name in sorted(names, key=lambda name: int(name.removeprefix("episode_"))):
        group = open_group(file, name)
        found[name] = (read_any_column(group, "actions", "iu"), read_any_column(group, "rewards", "iuf"))
    return found
