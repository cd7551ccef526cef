"""Demos replayed before training: checked, and their observations held once."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demo_curriculum.demo import Demo
from demo_curriculum.errors import DemoCurriculumError, MismatchError
from demo_curriculum.simulators import Simulator, make_simulator
from demo_curriculum.simulators.playback import play_demo
from demo_curriculum.training.launch import launch
from demo_curriculum.training.ranks import Ranks
from demo_curriculum.training.replay import replay_demos

GAME = "ALE/MontezumaRevenge-v5"


@pytest.fixture(scope="module")
def demo() -> Demo:
    return play_demo(make_simulator(GAME), [3] * 150, origin="script")


def pixels(index: int) -> Simulator:
    return make_simulator(GAME, observation="pixels")


def test_observations_are_those_of_the_policy_and_mapped(demo: Demo, tmp_path: Path) -> None:
    replayed = replay_demos([demo, demo], pixels, Ranks(), tmp_path)
    expected = play_demo(pixels(0), [3] * 150, origin="script")
    for one in replayed:
        assert np.array_equal(one.observations, expected.observations) and one.observations.shape == (151, 84, 84)
        assert isinstance(one.observations, np.memmap) and not one.observations.flags.writeable
        assert one.fingerprint == demo.fingerprint
        assert [snapshot.step for snapshot in one.snapshots] == [20, 40, 60, 80, 100, 120, 140]
    assert list(tmp_path.iterdir()) == [], "the files have lost their names"


def where_mapped(demo: Demo, folder: Path) -> list[tuple[Any, ...]]:
    """Of each rank: the file behind its observations, what they are, and how often it was asked for a simulator."""
    ranks, made = Ranks.join(), []

    def make(index: int) -> Simulator:
        made.append(index)
        return pixels(index)

    (replayed,) = replay_demos([demo], make, ranks, folder)
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if ".observations-" in line]
    mine = (lines[0][3:5], len(lines), int(replayed.observations.sum(dtype=np.int64)), len(made))
    everywhere = ranks.gather(mine)
    ranks.close()
    return everywhere


def test_ranks_share_one_copy(demo: Demo, tmp_path: Path) -> None:
    ranks = launch(2, where_mapped, demo, tmp_path)
    assert ranks is not None
    (device, *first), (other_device, *second) = ranks
    assert device == other_device and first[:2] == second[:2] and first[1] > 0
    assert (first[2], second[2]) == (1, 0), "one rank replays for both"
    assert list(tmp_path.iterdir()) == []


def test_a_demo_that_does_not_replay_leaves_nothing(demo: Demo, tmp_path: Path) -> None:
    forged = Demo(**{**vars(demo), "rewards": np.eye(150)[7]})
    with pytest.raises(MismatchError, match=r"demo 1 does not replay .* reward at step 7"):
        replay_demos([demo, forged], pixels, Ranks(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_clear_line(demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DemoCurriculumError, match="no place for a demo's observations: No space left on device"):
        replay_demos([demo], pixels, Ranks(), tmp_path)
    assert list(tmp_path.iterdir()) == []
