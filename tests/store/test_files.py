import os
import subprocess
import sys
from pathlib import Path

import pytest

from demo_curriculum.store.files import StoreError, check_regular_file, write_file, write_lock

ROOT = Path(__file__).parents[2]


def test_a_file_is_written_whole_and_nothing_else_is_left(tmp_path):
    write_file(tmp_path / "a", b"one", overwrite=False)
    assert (tmp_path / "a").read_bytes() == b"one"
    write_file(tmp_path / "a", b"two", overwrite=True)
    assert (tmp_path / "a").read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["a"]


def test_what_is_there_is_not_replaced_unasked(tmp_path):
    (tmp_path / "a").write_bytes(b"one")
    with pytest.raises(StoreError, match="a: exists already"):
        write_file(tmp_path / "a", b"two", overwrite=False)
    assert (tmp_path / "a").read_bytes() == b"one"


def test_a_folder_that_is_missing_is_said(tmp_path):
    with pytest.raises(StoreError, match="no/a: cannot be written: No such file"):
        write_file(tmp_path / "no" / "a", b"one", overwrite=False)


def test_a_failure_at_the_rename_leaves_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"one")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(StoreError, match="No space left"):
        write_file(tmp_path / "a", b"two", overwrite=True)
    assert (tmp_path / "a").read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["a"]


def test_the_content_is_on_the_disk_before_its_name_is(tmp_path, monkeypatch):
    calls = []
    fsync, rename, link = os.fsync, os.replace, os.link
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append("fsync"), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda *names: (calls.append("rename"), rename(*names)))
    monkeypatch.setattr(os, "link", lambda *names: (calls.append("link"), link(*names)))
    write_file(tmp_path / "a", b"one", overwrite=False)
    assert calls == ["fsync", "link", "fsync"]
    calls.clear()
    write_file(tmp_path / "a", b"two", overwrite=True)
    assert calls == ["fsync", "rename", "fsync"]


def test_of_two_writers_of_a_new_file_one_gets_an_error(tmp_path, monkeypatch):
    """The other writer's file appears between the first look and the renaming."""
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: ((tmp_path / "a").write_bytes(b"other"), fsync(handle)))
    with pytest.raises(StoreError, match="a: exists already"):
        write_file(tmp_path / "a", b"one", overwrite=False)
    assert (tmp_path / "a").read_bytes() == b"other"
    assert os.listdir(tmp_path) == ["a"]


def test_a_second_writer_gets_a_clear_error_and_the_lock_ends_with_the_process(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"one")
    code = f"""
import time
from pathlib import Path
from demo_curriculum.store.files import write_lock
with write_lock(Path({str(path)!r})):
    print("locked", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "locked\n"
    with pytest.raises(StoreError, match="a: another process is writing it"), write_lock(path):
        pytest.fail("locked twice")
    process.kill()
    process.wait()
    with write_lock(path):
        pass


def test_a_writer_that_waited_for_a_file_locks_the_one_that_took_its_place(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    real = os.open
    opened = []

    def open_and_replace(name, *flags):
        handle = real(name, *flags)
        if name == path:
            opened.append(os.fstat(handle).st_ino)
        if len(opened) == 1:
            opened.append(None)
            write_file(path, b"new", overwrite=True)
        return handle

    monkeypatch.setattr(os, "open", open_and_replace)
    with write_lock(path):
        assert opened[-1] == path.stat().st_ino != opened[0]


def test_a_full_disk_leaves_the_old_file(tmp_path):
    """A limit on the size of files stands for the full disk: both fail in the middle of a write."""
    (tmp_path / "a").write_bytes(b"one")
    code = f"""
import resource, signal
from pathlib import Path
from demo_curriculum.store.files import StoreError, write_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_file(Path({str(tmp_path / "a")!r}), bytes(5000), overwrite=True)
except StoreError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout == f"{tmp_path / 'a'}: cannot be written: File too large\n", result.stderr
    assert (tmp_path / "a").read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["a"]


def test_only_regular_files_of_bearable_size_are_read(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    check_regular_file(tmp_path / "file", max_bytes=5)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for name, reason in {
        "file": "has 5 bytes, more than the 4",
        "pipe": "is not a regular file",
        "link": "is not a regular file",
        ".": "is not a regular file",
        "none": "cannot be read: No such file",
        "file/x": "cannot be read: Not a directory",
        "nul\0": "cannot be read: embedded null",
    }.items():
        with pytest.raises(StoreError, match=reason) as caught:
            check_regular_file(tmp_path / name, max_bytes=4)
        assert str(tmp_path) in str(caught.value)
