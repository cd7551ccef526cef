import os
import sys
import time

import numpy as np
import pytest

from demo_curriculum.demo import Snapshot
from demo_curriculum.store import StoreError, measure_store, read_start, write_demos


@pytest.fixture
def path(tmp_path, make_demo):
    snapshots = tuple(Snapshot(step, bytes([step % 251]) * (step % 7 + 1), step) for step in range(100, 2000, 100))
    write_demos(tmp_path / "d.h5", [make_demo(2000, snapshots=snapshots), make_demo(5, snapshots=())])
    return tmp_path / "d.h5"


@pytest.mark.parametrize(("step", "begin"), [(0, 0), (99, 0), (100, 100), (1234, 1200), (1999, 1900), (2000, 1900)])
def test_a_start_is_the_snapshot_before_and_the_actions_up_to_it(path, step, begin):
    start = read_start(path, step)
    if begin:
        assert start.snapshot == Snapshot(begin, bytes([begin % 251]) * (begin % 7 + 1), begin)
    else:
        assert start.snapshot is None
    assert np.array_equal(start.actions, np.arange(begin, step))


def test_a_demo_without_snapshots_begins_at_its_reset(path):
    start = read_start(path, 3, "episode_1")
    assert start.snapshot is None
    assert start.actions.tolist() == [0, 1, 2]


def test_what_is_not_there_is_said(path):
    for step, id, reason in [
        (-1, "episode_0", "not within 0..2000"),
        (6, "episode_1", "0..5"),
        (0, "x", "no demo 'x'"),
    ]:
        with pytest.raises(StoreError, match=reason):
            read_start(path, step, id)


@pytest.mark.skipif(sys.platform != "linux", reason="counts the bytes read through /proc")
def test_a_start_does_not_read_the_file(tmp_path, make_demo):
    noise = np.random.default_rng(0).integers(256, size=(20_001, 200), dtype=np.uint8)
    state = np.random.default_rng(1).bytes(8000)
    snapshots = tuple(Snapshot(step, state[step % 97 :], step) for step in range(100, 20_000, 100))
    write_demos(tmp_path / "big.h5", [make_demo(20_000, observations=noise, snapshots=snapshots)])

    def bytes_read():
        with open("/proc/self/io") as file:
            return int(file.readline().split()[1])

    before, begun = bytes_read(), time.perf_counter()
    start = read_start(tmp_path / "big.h5", 15_050)
    assert time.perf_counter() - begun < 0.5
    assert start.snapshot.step == 15_000
    assert bytes_read() - before < os.path.getsize(tmp_path / "big.h5") / 4


def test_the_figures_are_those_of_the_file(path):
    figures = measure_store(path, rng=np.random.default_rng(0))
    assert (figures.steps, figures.snapshots) == (2005, 19)
    assert figures.bytes_per_1000_steps == 1000 * os.path.getsize(path) / 2005
    # Action 8, reward 8, two ends of 1, observation 3 and lives 4 bytes a step; the last two once more at the end.
    assert figures.plain_bytes_per_1000_steps == 1000 * (2005 * 25 + 2 * 7) / 2005
    assert 0 < figures.start_ms <= figures.slowest_start_ms < 1000
    pytest.importorskip("minari")
    assert figures.minari_bytes_per_1000_steps > figures.plain_bytes_per_1000_steps, "and what HDF5 itself takes"
    assert figures.open_ms > 0 and figures.load_ms > 0 and figures.npz_bytes_per_1000_steps > 0
