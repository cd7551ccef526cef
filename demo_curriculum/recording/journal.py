"""The journal of a recording in progress: what was synced survives the end of the process at any moment.

Layout: the line ``SIGNATURE``, then records of length (u32), CRC-32 of the payload (u32) and payload (JSON), little
endian. The first record says what is recorded; each further one how the path changed: how many steps to keep of the
path so far, and the actions to go on with. Reading stops at the first record that is not whole.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import json
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from demo_curriculum.demo import SimulatorSpec
from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.store import StoreError
from demo_curriculum.store.files import check_regular_file

SIGNATURE = b"demo-curriculum journal 1\n"
MAX_FILE_BYTES = 256 << 20
_FRAME = struct.Struct("<II")


class Edit(NamedTuple):
    """One change to the path by time travel.

    Attributes:
        kind: by what, for people: rewind, life, jump, slot 2, undo, cut.
        length: of the path before.
        to: the step from which it went on.
    """

    kind: str
    length: int
    to: int


@dataclass(frozen=True)
class Subject:
    """What is recorded: everything about the demo to be that does not change while it is played.

    Attributes:
        begin: state from which the path starts; None for the reset.
        offset: demo steps between the reset and ``begin``.
        note: of the demo that is continued.
        continued: steps of the demo that is continued; 0 for a new one.
        overwrite: whether the file that it becomes may take the place of one that is there.
    """

    spec: SimulatorSpec
    seed: int = 0
    begin: bytes | None = None
    offset: int = 0
    note: str = ""
    continued: int = 0
    overwrite: bool = False


@dataclass
class Entries:
    """What a journal holds: the path as it was at the last sync.

    Attributes:
        played: steps played in all, those no longer on the path too.
    """

    actions: list[int] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    played: int = 0


def journal_path(output: Path) -> Path:
    """Where the journal of a recording that becomes ``output`` is."""
    return output.with_name(output.name + ".journal")


class Journal:
    """The journal at ``path``, open for appending and locked against other recorders.

    Args:
        path: is made if it is not there.

    Attributes:
        subject: None for a journal that was just made (or whose very first write was cut short).
        entries: as last synced.

    Raises:
        StoreError: it is in use, not a journal, or the disk refused.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.subject: Subject | None = None
        self.entries = Entries()
        if os.path.lexists(path):
            check_regular_file(path, max_bytes=MAX_FILE_BYTES)
        try:
            self._file = open(path, "a+b", buffering=0)  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise StoreError(f"{path}: cannot be written: {error.strerror}") from error
        try:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise StoreError(f"{path}: another recorder is writing to it; choose another output") from error
            self._file.seek(0)
            self._good = self._read(self._file.readall())
        except BaseException:
            self._file.close()
            raise

    def begin(self, subject: Subject) -> None:
        """Starts anew: drops whatever the journal held.

        Raises:
            StoreError: the disk refused.
        """
        self.subject, self.entries, self._good = subject, Entries(), 0
        begin = None if subject.begin is None else base64.b64encode(subject.begin).decode()
        self._append(SIGNATURE, {**vars(subject), "spec": vars(subject.spec), "begin": begin})

    def sync(self, actions: Sequence[int], edits: Sequence[Edit], played: int) -> None:
        """Writes down what changed since the last sync; on return it is on the disk.

        Args:
            actions: the whole path.
            edits: all of them; the first ones are those of the last sync.

        Raises:
            StoreError: the disk refused; the journal is as it was at the last sync.
        """
        keep = _common(self.entries.actions, actions)
        new = [list(edit) for edit in edits[len(self.entries.edits) :]]
        if keep == len(actions) == len(self.entries.actions) and not new:
            return
        self._append(b"", {"keep": keep, "actions": list(actions[keep:]), "edits": new, "played": played})
        self.entries = Entries(list(actions), list(edits), played)

    def close(self) -> None:
        """Leaves it where it is, for ``--continue``."""
        self._file.close()

    def remove(self) -> None:
        """The recording is safe elsewhere."""
        self.path.unlink(missing_ok=True)
        self._file.close()

    def _append(self, prefix: bytes, content: dict[str, Any]) -> None:
        payload = json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
        record = memoryview(prefix + _FRAME.pack(len(payload), zlib.crc32(payload)) + payload)
        end = self._good + len(record)
        try:
            # What a failed write or a kill left behind would hide every record after it.
            self._file.truncate(self._good)
            while record:
                record = record[self._file.write(record) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be written: {error.strerror}") from error
        self._good = end

    def _read(self, data: bytes) -> int:
        """Takes in all whole records; returns where the last of them ends."""
        if SIGNATURE.startswith(data):
            return 0
        if not data.startswith(SIGNATURE):
            raise StoreError(f"{self.path}: is not the journal of a recording; move it away")
        good = 0
        position = len(SIGNATURE)
        while position + _FRAME.size <= len(data):
            length, check = _FRAME.unpack_from(data, position)
            payload = data[position + _FRAME.size : position + _FRAME.size + length]
            if len(payload) != length or zlib.crc32(payload) != check:
                break
            try:
                self._take_in(json.loads(payload))
            except (DemoCurriculumError, TypeError, ValueError, KeyError, RecursionError, binascii.Error) as error:
                raise StoreError(f"{self.path}: is not the journal of a recording: {error}; move it away") from error
            position += _FRAME.size + length
            good = position
        return good

    def _take_in(self, content: dict[str, Any]) -> None:
        if self.subject is None:
            begin = content.pop("begin")
            spec = SimulatorSpec(**content.pop("spec"))
            self.subject = Subject(spec=spec, begin=begin and base64.b64decode(begin, validate=True), **content)
            return
        keep, actions, played = content["keep"], content["actions"], content["played"]
        edits = [Edit(str(kind), int(length), int(to)) for kind, length, to in content["edits"]]
        if not 0 <= keep <= len(self.entries.actions) or any(type(action) is not int for action in actions):
            raise ValueError("a record does not follow from those before")
        self.entries = Entries([*self.entries.actions[:keep], *actions], [*self.entries.edits, *edits], int(played))


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many elements they begin with in common."""
    length = min(len(one), len(other))
    differing = np.flatnonzero(np.asarray(one[:length]) != np.asarray(other[:length]))
    return int(differing[0]) if len(differing) else length
