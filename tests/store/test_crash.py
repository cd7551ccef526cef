"""Writers that are killed or run out of space; the long form is tools/kill_writers.py."""

import importlib.util
import multiprocessing
import random
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from demo_curriculum.store import StoreError, append_demo, read_demos, write_demos

ROOT = Path(__file__).parents[2]
_specification = importlib.util.spec_from_file_location("kill_writers", ROOT / "tools" / "kill_writers.py")
kill_writers = importlib.util.module_from_spec(_specification)
# Its dataclasses look their module up by name.
sys.modules["kill_writers"] = kill_writers
_specification.loader.exec_module(kill_writers)

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")


@pytest.fixture(scope="module")
def extra():
    return kill_writers.game_demo(300, 9)


@pytest.fixture
def folders(tmp_path):
    return kill_writers.Folder(tmp_path, [kill_writers.game_demo(500, 1), kill_writers.game_demo(100, 2)])


@needs_strace
@pytest.mark.parametrize("fail", ["", "ENOSPC"], ids=["killed", "disk-full"])
def test_nothing_saved_is_ever_lost(folders, extra, fail):
    for case in kill_writers.cases(500, extra):
        counts = kill_writers.sweep(case, folders, fail=fail)
        assert counts["points"] >= 4, case.name
        assert (counts["LOST"], counts["CRASHED"]) == (0, 0), (case.name, counts)
        assert counts["old"] and counts["new"], "before the rename the old file, after it the new one"


@needs_strace
def test_the_test_finds_a_writer_that_appends_in_place(folders, extra):
    counts = kill_writers.sweep(kill_writers.control(extra), folders, most=6)
    assert counts["LOST"] >= 3


def test_random_kills_lose_nothing_that_was_reported(folders, extra):
    counts = kill_writers.random_kills(folders, extra, 8, random.Random(1))
    assert counts["LOST"] == 0
    assert counts["saved"] > 0


def _append(path, demo, times):
    for number in range(times):
        append_demo(path, replace(demo, seed=number))


def test_readers_see_whole_files_while_a_writer_works(tmp_path, extra):
    path = tmp_path / "d.h5"
    write_demos(path, [extra])
    writer = multiprocessing.get_context("fork").Process(target=_append, args=(path, extra, 15))
    writer.start()
    seen = []
    while writer.is_alive():
        seen.append(len(read_demos(path)))
    writer.join()
    assert writer.exitcode == 0
    assert seen == sorted(seen)
    assert len(set(seen)) > 2
    assert len(read_demos(path)) == 16


def test_of_two_writers_none_loses_what_it_reported(tmp_path, extra):
    """Both append as often as they get the file; whoever does not gets an error, and no demo is lost."""
    path = tmp_path / "d.h5"
    write_demos(path, [extra])
    context = multiprocessing.get_context("fork")
    results = context.Queue()

    def work(first):
        saved = refused = 0
        for number in range(12):
            try:
                append_demo(path, replace(extra, seed=first + number))
                saved += 1
            except StoreError as error:
                assert "another process is writing it" in str(error)
                refused += 1
        results.put((saved, refused))

    writers = [context.Process(target=work, args=(first,)) for first in (100, 200)]
    for writer in writers:
        writer.start()
    (saved, refused), (also_saved, also_refused) = results.get(timeout=60), results.get(timeout=60)
    for writer in writers:
        writer.join()
    assert len(read_demos(path)) == 1 + saved + also_saved
    assert saved + also_saved + refused + also_refused == 24
