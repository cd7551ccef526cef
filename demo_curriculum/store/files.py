"""Files that are read only when they are what they seem, and written whole or not at all."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from demo_curriculum.errors import DemoCurriculumError

PIECE = 64 << 10


class StoreError(DemoCurriculumError):
    """A file that cannot be read as what it should be, or cannot be written."""


def check_regular_file(path: Path, *, max_bytes: int) -> None:
    """Refuses what would hang or flood a reader: a missing file, a pipe, a device, a folder, a huge file.

    Raises:
        StoreError: with the path and the reason.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StoreError(f"{path}: cannot be read: {reason}") from error
    if not stat.S_ISREG(status.st_mode):
        raise StoreError(f"{path}: is not a regular file")
    if status.st_size > max_bytes:
        raise StoreError(f"{path}: has {status.st_size:,} bytes, more than the {max_bytes:,} that are read")


def refuse_existing(path: Path) -> None:
    """Nothing may be at ``path``.

    Raises:
        StoreError: something is.
    """
    if os.path.lexists(path):
        raise StoreError(f"{path}: exists already; choose another name, or overwrite it")


@contextmanager
def write_lock(path: Path) -> Iterator[None]:
    """Keeps other writers from the file at ``path``, if there is one; readers need not care.

    The lock is on the file itself and ends with the process, so nothing can be left over.

    Raises:
        StoreError: another process is writing it.
    """
    while True:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except FileNotFoundError:
            yield
            return
        except OSError as error:
            raise StoreError(f"{path}: cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The writer that was here before has put another file in this one's place.
            if not _is_at(handle, path):
                continue
            yield
            return
        except BlockingIOError as error:
            raise StoreError(f"{path}: another process is writing it; try again when it is done") from error
        finally:
            os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    try:
        there = path.stat()
    except OSError:
        return False
    here = os.fstat(handle)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def write_file(path: Path, content: bytes, *, overwrite: bool) -> None:
    """Writes beside ``path``, then renames: at every moment there is the old file, whole, or the new one, whole.

    Raises:
        StoreError: ``path`` exists and ``overwrite`` is false, or the disk refused; what was there is as before.
    """
    if not overwrite:
        refuse_existing(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            # In pieces, so that being killed or out of space half-way is something that happens, and is tested.
            for begin in range(0, len(content), PIECE):
                file.write(content[begin : begin + PIECE])
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            os.replace(temporary, path)
        else:
            _rename_to_new(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        # A disk that refuses even this leaves a hidden file; the error above says why.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _rename_to_new(temporary: Path, path: Path) -> None:
    """As rename, but of two writers of a new file one gets an error, where the file system has hard links."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        refuse_existing(path)
    except OSError:
        refuse_existing(path)
        os.replace(temporary, path)


def sync_folder(folder: Path) -> None:
    """A rename is only safe from a power cut once the folder is on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
