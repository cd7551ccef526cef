"""The journal: whatever happens to its writer, what was synced is there."""

import errno
import os

import pytest

from demo_curriculum.demo import SimulatorSpec
from demo_curriculum.recording.journal import SIGNATURE, Edit, Journal, Subject
from demo_curriculum.store import StoreError

SUBJECT = Subject(
    spec=SimulatorSpec("LockedChain-9", {"a": 1}, "chain/1", {"x": "2"}, "ff"),
    seed=3,
    begin=bytes(range(256)),
    offset=7,
    note="é",
    continued=2,
    overwrite=True,
)
SYNCS = [
    ([1, 2], [], 2),
    ([1, 2, 3, 3, 0], [], 5),
    ([1, 2, 1], [Edit("rewind", 5, 2)], 6),
    ([1], [Edit("rewind", 5, 2), Edit("life", 3, 1)], 6),
    ([1] * 300, [Edit("rewind", 5, 2), Edit("life", 3, 1)], 305),
]


def write(path, syncs=SYNCS):
    """Writes the syncs; returns the size of the file after each, and what it then holds."""
    journal = Journal(path)
    journal.begin(SUBJECT)
    sizes = [path.stat().st_size]
    for sync in syncs:
        journal.sync(*sync)
        sizes.append(path.stat().st_size)
    journal.close()
    return sizes


def read(path):
    journal = Journal(path)
    journal.close()
    entries = journal.entries
    return journal.subject, (entries.actions, entries.edits, entries.played)


def test_it_holds_what_was_synced(tmp_path):
    write(tmp_path / "j")
    assert read(tmp_path / "j") == (SUBJECT, SYNCS[-1])


def test_cut_at_any_byte_it_holds_exactly_the_whole_syncs_and_can_be_gone_on_with(tmp_path):
    path, cut = tmp_path / "j", tmp_path / "cut"
    sizes = write(path)
    data = path.read_bytes()
    held = [([], [], 0), *SYNCS]
    for size in range(len(data)):
        cut.write_bytes(data[:size])
        whole = sum(size >= end for end in sizes)
        expected = (SUBJECT, held[whole - 1]) if whole else (None, held[0])
        assert read(cut) == expected, size
    journal = Journal(cut)
    journal.sync([5, 5], journal.entries.edits, 1000)
    journal.close()
    assert read(cut) == (SUBJECT, ([5, 5], SYNCS[3][1], 1000))


def test_a_flipped_bit_ends_what_is_read(tmp_path):
    path = tmp_path / "j"
    sizes = write(path)
    data = bytearray(path.read_bytes())
    data[sizes[3] + 12] ^= 1
    path.write_bytes(data)
    assert read(path) == (SUBJECT, SYNCS[2])


def test_a_failed_write_loses_nothing_synced_and_the_next_one_succeeds(tmp_path, monkeypatch):
    path = tmp_path / "j"
    journal = Journal(path)
    journal.begin(SUBJECT)
    journal.sync(*SYNCS[0])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(StoreError, match="No space left"):
            journal.sync(*SYNCS[1])
    journal.sync(*SYNCS[2])
    journal.close()
    assert read(path) == (SUBJECT, SYNCS[2])


def test_nothing_new_writes_nothing(tmp_path):
    path = tmp_path / "j"
    sizes = write(path, [SYNCS[0], SYNCS[0]])
    assert sizes[1] == sizes[2]


def test_only_one_recorder_writes(tmp_path):
    journal = Journal(tmp_path / "j")
    with pytest.raises(StoreError, match="another recorder"):
        Journal(tmp_path / "j")
    journal.close()
    Journal(tmp_path / "j").close()


@pytest.mark.parametrize(
    "content",
    [
        b"something else",
        SIGNATURE + b"\x02\0\0\0)\xbbL\r[]",
        SIGNATURE + b"\x02\0\0\0C\xbf\xa6\xa3{}",
    ],
)
def test_another_file_is_refused_and_stays(tmp_path, content):
    path = tmp_path / "j"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"j: is not the journal of a recording.*move it away"):
        Journal(path)
    assert path.read_bytes() == content


def test_no_pipe_is_waited_for(tmp_path):
    os.mkfifo(tmp_path / "j")
    with pytest.raises(StoreError, match="not a regular file"):
        Journal(tmp_path / "j")
