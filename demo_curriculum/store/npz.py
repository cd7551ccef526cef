"""NPZ files: every array of every demo under its name in the demo file, and the rest as JSON in ``metadata``.

numpy's own reader is not used: a zip expands 1,000 : 1, and an array's header may declare anything.
"""

from __future__ import annotations

import io
import json
import math
import re
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.demo import Demo, InvalidDemoError, Origin, SimulatorSpec
from demo_curriculum.store import schema
from demo_curriculum.store.checked import DAMAGE, RefusalError, first_line, refuse
from demo_curriculum.store.files import StoreError, check_regular_file, write_file
from demo_curriculum.store.foreign import Recording, recordings_of, strict_json
from demo_curriculum.store.reader import snapshots_of
from demo_curriculum.store.writer import snapshot_columns

FORMAT = "demo-curriculum-npz"
MAX_ENTRIES = 12 * schema.MAX_EPISODES
MAX_NPZ_BYTES = 1 << 30
_HEADER_BYTES = 4096
# numpy reads an array's header as Python's tokens.
_DAMAGE = (*DAMAGE, zipfile.BadZipFile, zlib.error, EOFError, SyntaxError, tokenize.TokenError)


def write_npz(path: Path | str, demos: Sequence[Demo]) -> None:
    """Writes all that the demos hold; ``numpy.load`` reads it, and ``read_npz`` gives the demos back bit by bit.

    Raises:
        StoreError: ``path`` exists, or the disk refused.
    """
    arrays: dict[str, NDArray[Any]] = {}
    episodes = []
    for index, demo in enumerate(demos):
        name = schema.episode_name(index)
        arrays |= {f"{name}/{column}": getattr(demo, column) for column in schema.EPISODE_COLUMNS}
        arrays[f"{name}/infos/lives"] = demo.lives
        if demo.snapshots:
            arrays |= {
                f"{name}/snapshots/{column}": values for column, values in snapshot_columns(demo.snapshots).items()
            }
        episodes.append(
            {"seed": demo.seed, "source": demo.origin, "complete": demo.complete, "offset": demo.offset}
            | {"note": demo.note, "fingerprint": demo.fingerprint}
        )
    simulator = demos[0].simulator
    metadata = {
        "format": FORMAT,
        "env_spec": {"id": simulator.env_id, "kwargs": dict(simulator.kwargs)},
        "simulator": simulator.adapter,
        "simulator_versions": dict(simulator.versions),
        "rom_md5": simulator.rom_md5,
        "episodes": episodes,
    }
    arrays["metadata"] = np.frombuffer(json.dumps(metadata, allow_nan=False).encode(), np.uint8)
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **cast(dict[str, Any], arrays))
    write_file(Path(path), file.getvalue(), overwrite=False)


def read_npz(path: Path | str) -> Sequence[Demo | Recording]:
    """The demos of ``write_npz``; of another file the arrays ``actions`` and ``rewards``, or those below ``episode_i``.

    Raises:
        StoreError: the file is no NPZ, is damaged, or holds no such arrays.
    """
    path = Path(path)
    arrays = read_arrays(path)
    try:
        metadata = strict_json(arrays["metadata"].tobytes().decode(), "metadata") if "metadata" in arrays else {}
        if metadata.get("format") == FORMAT:
            return _demos(arrays, metadata)
        return recordings_of(_episodes(arrays), {})
    except (RefusalError, InvalidDemoError) as error:
        raise StoreError(f"{path}: {first_line(error)}") from error
    except _DAMAGE as error:
        raise StoreError(f"{path}: is no NPZ file, or damaged: {first_line(error)}") from error


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Every array of plain numbers of an NPZ file, by its name; checked against the file's checksums.

    Raises:
        StoreError: the file is no NPZ, or is damaged.
    """
    check_regular_file(path, max_bytes=MAX_NPZ_BYTES)
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_arrays(archive, path.stat().st_size)
    except RefusalError as error:
        raise StoreError(f"{path}: {first_line(error)}") from error
    except _DAMAGE as error:
        raise StoreError(f"{path}: is no NPZ file, or damaged: {first_line(error)}") from error


def read_npy(path: Path | str) -> NDArray[Any]:
    """An array of plain numbers.

    Raises:
        StoreError: the file holds anything else.
    """
    path = Path(path)
    check_regular_file(path, max_bytes=MAX_NPZ_BYTES)
    try:
        return _array_of("array", path.read_bytes())
    except RefusalError as error:
        raise StoreError(f"{path}: {first_line(error)}") from error
    except _DAMAGE as error:
        raise StoreError(f"{path}: is no NPY file, or damaged: {first_line(error)}") from error


def _read_arrays(archive: zipfile.ZipFile, size: int) -> dict[str, NDArray[Any]]:
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        refuse(f"holds {len(entries)} entries, more than {MAX_ENTRIES}")
    wanted = [entry for entry in entries if re.fullmatch(r"(episode_\d+/)?[a-z/]+\.npy", entry.filename)]
    allowed = max(schema.FREE_BYTES, schema.FAIR_EXPANSION * size)
    if sum(entry.file_size for entry in wanted) > allowed:
        refuse(f"declares more than the {allowed:,} bytes that a file of its size may expand to")
    return {entry.filename.removesuffix(".npy"): _read_array(archive, entry) for entry in wanted}


def _read_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    name = entry.filename
    with archive.open(entry) as stream:
        # One byte more than declared would be a lie of the zip's directory.
        content = stream.read(entry.file_size + 1)
    if len(content) != entry.file_size:
        refuse(f"{name}: does not have the {entry.file_size} bytes that it should have")
    return _array_of(name, content)


def _array_of(name: str, content: bytes) -> NDArray[Any]:
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        refuse(f"{name}: has the array format {version}")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file, max_header_size=_HEADER_BYTES)
    if dtype.kind not in "iufb" or dtype.hasobject or dtype.itemsize > 8 or fortran or len(shape) > schema.MAX_RANK:
        refuse(f"{name}: does not hold rows of plain numbers")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        refuse(f"{name}: declares {shape} of {dtype}, which is not what it holds")
    return np.frombuffer(content, dtype, offset=file.tell()).reshape(shape).copy()


def _episodes(arrays: Mapping[str, NDArray[Any]]) -> dict[str, tuple[NDArray[Any], NDArray[Any] | None]]:
    prefixes = sorted(
        (name.removesuffix("actions") for name in arrays if re.fullmatch(r"(episode_\d+/)?actions", name)),
        key=lambda prefix: int(re.sub(r"\D", "", prefix) or 0),
    )
    if not prefixes:
        refuse("holds no array named actions")
    return {
        prefix.rstrip("/") or "actions": (arrays[f"{prefix}actions"], arrays.get(f"{prefix}rewards"))
        for prefix in prefixes
    }


def _demos(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]) -> list[Demo]:
    try:
        spec = metadata["env_spec"]
        simulator = SimulatorSpec(
            env_id=_text(spec["id"]),
            kwargs={**spec["kwargs"]},
            adapter=_text(metadata["simulator"]),
            versions={_text(key): _text(value) for key, value in metadata["simulator_versions"].items()},
            rom_md5=_text(metadata["rom_md5"]),
        )
        return [_demo(arrays, simulator, index, episode) for index, episode in enumerate(metadata["episodes"])]
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise RefusalError(f"metadata or an array is missing or wrong: {error}") from error


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > schema.MAX_TEXT_BYTES:
        raise TypeError(f"{str(value)[:40]!r} is no text")
    return value


def _number(value: Any) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise TypeError(f"{str(value)[:40]!r} is no whole number of 64 bits")
    return value


def _demo(arrays: Mapping[str, NDArray[Any]], simulator: SimulatorSpec, index: int, episode: Mapping[str, Any]) -> Demo:
    name = schema.episode_name(index)
    snapshots: dict[str, NDArray[Any]] = {}
    if f"{name}/snapshots/step" in arrays:
        snapshots = {column: arrays[f"{name}/snapshots/{column}"] for column in schema.SNAPSHOT_COLUMNS}
        for column, kind in schema.SNAPSHOT_COLUMNS.items():
            if (snapshots[column].dtype, snapshots[column].ndim) != (kind.dtype, kind.rank):
                refuse(f"{name}/snapshots/{column}: holds {snapshots[column].dtype} {snapshots[column].shape}")
        if len({len(values) for values in snapshots.values()}) != 1:
            refuse(f"{name}/snapshots: have different lengths")
    demo = Demo(
        simulator=simulator,
        **{column: arrays[f"{name}/{column}"] for column in schema.EPISODE_COLUMNS},
        lives=arrays[f"{name}/infos/lives"],
        snapshots=snapshots_of(snapshots) if snapshots else (),
        origin=cast(Origin, _text(episode["source"])),
        seed=_number(episode["seed"]),
        complete=episode["complete"] is True,
        offset=_number(episode["offset"]),
        note=_text(episode["note"]),
    )
    # Files of before there was one have none.
    if episode.get("fingerprint", demo.fingerprint) != demo.fingerprint:
        refuse(f"{name}: was changed after it was written: it does not have its fingerprint")
    return demo
