"""The progress log: what a run decided and measured, one JSON object a line.

Kinds of records, and what each must hold:

- ``run``, the first line: ``demos`` (each with env_id, length, offset, score, fingerprint and rewards as
  [step, reward] pairs), ``protocol`` (sticky, frame_skip, observation, …), ``rule``, ``seed``, ``versions``.
- ``update``, one per update of the policy: ``update``, ``agent_steps``, ``frames``, ``seconds``, ``steps_per_second``;
  ``frontiers``, ``segments`` (a list of [begin, goal, frontier]), ``tie_rate``, ``reset_tie_rate`` and
  ``reset_trials`` with one entry a demo; ``score``, the mean raw score from the reset; ``metrics``, named like
  TensorBoard's tags. Null stands for what is not known.
- ``move`` of a frontier: ``update``, ``agent_steps``, ``demo``, ``before``, ``after``, ``reason`` (advance, retreat
  or merge), ``tie_rate``, ``trials``, ``goal``.
- ``remedy`` against a stall: ``update``, ``agent_steps``, ``remedy``, ``left`` (demo steps still to climb), ``still``
  (updates without progress).
- ``buckets``: ``update``, ``demo``, ``width``, and ``tie_rate`` and ``trials`` of each bucket of starts; bucket i holds
  the starts i·width ≤ step < (i+1)·width.
- ``end`` and ``resume``: ``update``, ``reason``.

A line counts once its newline is written, so that a killed run leaves a readable log.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from demo_curriculum.errors import DemoCurriculumError

Record = dict[str, Any]

FIELDS: Mapping[str, tuple[str, ...]] = {
    "run": ("demos", "protocol", "rule", "seed"),
    "update": (
        "update",
        "agent_steps",
        "frames",
        "seconds",
        "steps_per_second",
        "frontiers",
        "tie_rate",
        "reset_tie_rate",
        "reset_trials",
        "score",
        "metrics",
    ),
    "move": ("update", "agent_steps", "demo", "before", "after", "reason"),
    "remedy": ("update", "agent_steps", "remedy", "left", "still"),
    "buckets": ("update", "demo", "width", "tie_rate"),
    "resume": ("update", "reason"),
    "end": ("update", "reason"),
}
DEMO_FIELDS = ("env_id", "length", "offset", "score", "rewards")
WALL_CLOCK = frozenset({"started", "seconds", "steps_per_second"})


class LogError(DemoCurriculumError):
    """A progress log that cannot be read; names the file and the line."""


class ProgressLog:
    """Appends records to a progress log, each on disk for other processes as soon as ``write`` returns.

    Use as a context manager, or call ``close``. A torn last line, left by a kill, is cut off when the log is opened.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab+")
        self._file.seek(0)
        self._file.truncate(self._file.read().rfind(b"\n") + 1)

    def write(self, record: Mapping[str, Any]) -> None:
        """Appends one record; NaN and infinities, which JSON does not have, become null.

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


def read_log(path: Path) -> list[Record]:
    """All records of a progress log but a torn last line.

    Raises:
        LogError: there is no such file, or a line is not a record.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise LogError(f"{path}: cannot read the progress log: {error.strerror}") from error
    return [_parse(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]


def truncate_after(path: Path, update: int) -> None:
    """Takes out everything that came after update number ``update``, for a run that goes on from a checkpoint.

    Raises:
        LogError: the log cannot be read; it then stays as it is.
    """
    kept = [record for record in read_log(path) if record.get("update", 0) <= update]
    write_atomically(path, b"".join(_line(record) for record in kept))


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
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _parse(line: bytes, where: str) -> Record:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise LogError(f"{where}: not JSON ({error}); the progress log was changed or damaged") from error
    kind = record.get("kind") if isinstance(record, dict) else None
    if not isinstance(kind, str) or kind not in FIELDS:
        raise LogError(f"{where}: {kind!r} is no kind of record; is this a progress log?")
    missing = [name for name in FIELDS[kind] if name not in record]
    if kind == "run":
        missing += [f"a demo's {name}" for demo in record.get("demos", []) for name in DEMO_FIELDS if name not in demo]
    if missing:
        raise LogError(f"{where}: the {kind} record lacks {', '.join(missing)}")
    return dict(record)
