"""The progress log: what a run decided and measured, one JSON object a line.

``schema`` says what each line holds.

A line counts once its newline is written, so that a killed run leaves a readable log. What cannot be read is left out
and told: a log is worth reading for the rest of its story. Numbers that are not whole carry six digits.
"""

from __future__ import annotations

import io
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.progress.schema import KINDS, SCHEMA, Record, flaws

Warn = Callable[[str], None]

WALL_CLOCK = frozenset({"started", "seconds", "steps_per_second"})
THINNED = {b'{"kind":"upd': "update", b'{"kind":"buc': "buckets"}
"""How the lines begin of which a view needs only so many; a look at each of a million lines has to be cheap."""
BEGINNING = 12
TOLD = 3
"""Lines named in a warning; of more, how many."""
CHUNK = 1 << 16


class LogError(DemoCurriculumError):
    """A progress log that cannot be read; names the file and the line."""


class ProgressLog:
    """Appends records to a progress log, each on disk for other processes as soon as ``write`` returns.

    Use as a context manager, or call ``close``. A torn last line, left by a kill, is cut off when the log is opened.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab+")
        self._file.truncate(_whole_lines(self._file))

    def write(self, record: Mapping[str, Any]) -> None:
        """Appends one record, its kind first; NaN and infinities, which JSON does not have, become null.

        Raises:
            OSError: the disk is full, or gone.
        """
        self._file.write(_line(record))
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> ProgressLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_log(path: Path, warn: Warn = lambda text: None, *, most: int | None = None) -> list[Record]:
    """All records of a progress log that can be read, in order.

    Args:
        warn: told, once for each sort, of what was left out: damaged lines, a last line cut short, unknown kinds.
        most: of update records, and of the moments at which buckets were logged, only so many are read, evenly spread
            with the first and the last among them; a log of a million lines then takes seconds.

    Raises:
        LogError: there is no such file, or it was written by a newer version.
    """
    try:
        with path.open("rb") as file:
            strides = _strides(file, most) if most is not None else None
            file.seek(0)
            chosen = _choose(file, strides) if strides is not None else enumerate(file, 1)
            return list(_readable(chosen, path, warn))
    except OSError as error:
        raise LogError(f"{path}: cannot read the progress log: {error.strerror}") from error


class LogTail:
    """What is appended to a progress log from now on.

    Args:
        path: the log; it may not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._place = self._identity()

    def _identity(self) -> tuple[int, int]:
        """The file's number, which changes when it is written anew, and its size."""
        try:
            status = self._path.stat()
        except OSError:
            return 0, 0
        return status.st_ino, status.st_size

    def read(self) -> list[Record] | None:
        """The records written since the last call; None where the log was written anew and has to be read again."""
        inode, size = self._identity()
        if inode != self._place[0] or size < self._place[1]:
            self._place = inode, size
            return None
        with self._path.open("rb") if inode else io.BytesIO() as file:
            file.seek(self._place[1])
            whole, newline, _ = file.read(size - self._place[1]).rpartition(b"\n")
        self._place = inode, self._place[1] + len(whole) + len(newline)
        lines = (whole + newline).splitlines(keepends=True)
        return list(_readable(enumerate(lines, 1), self._path, lambda text: None))


def truncate_after(path: Path, update: int) -> None:
    """Takes out everything from the first record on that came after update number ``update``, for a run that goes on
    from a checkpoint; what comes before stays as it is, damaged lines too.

    Raises:
        LogError: there is no such log.
    """
    kept = 0
    try:
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n") or _update_of(line) > update:
                    break
                kept += len(line)
            file.seek(0)
            before = file.read(kept)
    except OSError as error:
        raise LogError(f"{path}: cannot read the progress log: {error.strerror}") from error
    write_atomically(path, before)


def comparable(records: Iterable[Mapping[str, Any]]) -> list[Record]:
    """The records without what may differ between two runs with the same seed.

    Takes out the wall-clock fields, and the interruptions: every ``resume``, and every ``end`` that was not the end.
    """
    without = [
        {name: value for name, value in record.items() if name not in WALL_CLOCK}
        for record in records
        if record["kind"] != "resume"
    ]
    return [record for record in without[:-1] if record["kind"] != "end"] + without[-1:]


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a whole file: after a kill or on a full disk, ``path`` is what it was or what it should be.

    Raises:
        OSError: the file could not be written.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(_plain(record), separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(entry) for entry in value]
    if hasattr(value, "tolist"):  # numpy's arrays and scalars
        return _plain(value.tolist())
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return value if value.is_integer() else float(f"{value:.6g}")
    return value


def _whole_lines(file: Any) -> int:
    """Bytes up to and with the last newline of a seekable binary file."""
    end: int = file.seek(0, os.SEEK_END)
    while end > 0:
        begin = max(end - CHUNK, 0)
        file.seek(begin)
        newline = file.read(end - begin).rfind(b"\n")
        if newline >= 0:
            return begin + int(newline) + 1
        end = begin
    return 0


def _update_of(line: bytes) -> float:
    try:
        return float(json.loads(line).get("update", 0))
    except (ValueError, AttributeError, TypeError):
        return 0.0


def _strides(lines: Iterable[bytes], most: int) -> dict[str, tuple[int, int]]:
    """For each thinned kind, which moments to keep: every so many-th, and the last.

    Buckets of several demos that are logged together are one moment: thinned apart, some demo would lose them all.
    """
    counts = dict.fromkeys(THINNED.values(), 0)
    before = None
    for line in lines:
        kind = THINNED.get(line[:BEGINNING])
        if kind is not None and not (kind == before == "buckets"):
            counts[kind] += 1
        before = kind
    return {kind: (max(-(-count // most), 1), count) for kind, count in counts.items()}


def _choose(lines: Iterable[bytes], strides: Mapping[str, tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
    moments = dict.fromkeys(strides, 0)
    before = None
    for number, line in enumerate(lines, 1):
        kind = THINNED.get(line[:BEGINNING])
        if kind is not None:
            if not (kind == before == "buckets"):
                moments[kind] += 1
            stride, last = strides[kind]
            # The log may have grown since it was counted, by few lines.
            wanted = (moments[kind] - 1) % stride == 0 or moments[kind] >= last
        before = kind
        if kind is None or wanted:
            yield number, line


def _readable(lines: Iterable[tuple[int, bytes]], path: Path, warn: Warn) -> Iterator[Record]:
    damaged: list[str] = []
    unknown: Counter[str] = Counter()
    for number, line in lines:
        if not line.endswith(b"\n"):
            warn(f"{path}: line {number}, the last, was cut short")
            break
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            damaged.append(f"line {number} is not JSON")
            continue
        kind = record.get("kind") if isinstance(record, dict) else None
        if not isinstance(kind, str):
            damaged.append(f"line {number} is no record")
        elif kind not in KINDS:
            unknown[kind] += 1
        elif kind == "run" and record.get("schema", SCHEMA) != SCHEMA:
            raise LogError(
                f"{path}: written in schema {record['schema']}, this version reads {SCHEMA}; "
                "read it with the version that wrote it"
            )
        elif flawed := flaws(record):
            damaged.append(f"line {number}: the {kind} record has no proper {', '.join(flawed)}")
        else:
            yield record
    if damaged:
        more = [f"and {len(damaged) - TOLD} more"] if len(damaged) > TOLD else []
        warn(f"{path}: damaged lines were left out: {'; '.join([*damaged[:TOLD], *more])}")
    if unknown:
        kinds = ", ".join(f"{kind} ({count})" for kind, count in unknown.items())
        warn(f"{path}: records of kinds that this version does not know were left out: {kinds}")
