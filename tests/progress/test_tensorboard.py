import sys

import pytest

from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.progress.tensorboard import TensorBoardWriter, scalars

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


@pytest.fixture
def updates(climb):
    return [record for record in climb if record["kind"] == "update"]


def read(folder):
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_reads_back_what_was_written_over_agent_steps(tmp_path, updates):
    with TensorBoardWriter(tmp_path) as writer:
        for update in updates[:6]:
            writer.write(update)
    tags = read(tmp_path)
    assert tags["curriculum/frontier"][0] == (4096, 340.0)
    assert tags["time/fps"][-1] == (6 * 4096, 2048.0)
    assert tags["rollout/ep_len_mean"] == [(4096 * update, 80.0) for update in range(1, 7)]
    # Unknown before update 5.
    assert [step for step, _ in tags["curriculum/reset_tie_rate"]] == [5 * 4096, 6 * 4096]
    assert "rnd/bonus" not in tags


def test_a_resumed_run_replaces_what_came_after_its_checkpoint(tmp_path, updates):
    with TensorBoardWriter(tmp_path) as writer:
        for update in updates[:4]:
            writer.write(update)
    with TensorBoardWriter(tmp_path, resume_at=updates[2]["agent_steps"]) as writer:
        writer.write({**updates[2], "frontiers": [7]})
    assert read(tmp_path)["curriculum/frontier"] == [(4096, 340.0), (8192, 325.0), (12288, 7.0)]


def test_several_demos_have_tags_of_their_own(updates):
    found = scalars({**updates[0], "frontiers": [5, 6], "tie_rate": [0.5, None], "reset_tie_rate": [None, 0.25]})
    assert (found["curriculum/frontier_0"], found["curriculum/frontier_1"]) == (5.0, 6.0)
    assert "curriculum/tie_rate_1" not in found
    assert found["curriculum/reset_tie_rate_1"] == 0.25


def test_without_tensorboard_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(DemoCurriculumError, match=r"demo-curriculum\[tensorboard\]"):
        TensorBoardWriter(tmp_path)
