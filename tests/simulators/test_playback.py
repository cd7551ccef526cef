from dataclasses import replace

import numpy as np
import pytest

from demo_curriculum.demo import Snapshot
from demo_curriculum.errors import DemoCurriculumError, MismatchError
from demo_curriculum.simulators import SnapshotError, make_simulator, simulator_of
from demo_curriculum.simulators.playback import play_demo, replay_demo


@pytest.fixture(scope="module")
def simulator():
    return make_simulator("ALE/MontezumaRevenge-v5")


@pytest.fixture(scope="module")
def demo(simulator):
    actions = np.repeat(np.random.default_rng(0).integers(simulator.action_count, size=70), 4)
    return play_demo(simulator, actions.tolist(), origin="script", snapshot_steps=[37, 280])


def changed_snapshot(demo, index, **changes):
    snapshots = list(demo.snapshots)
    snapshots[index] = replace(snapshots[index], **changes)
    return replace(demo, snapshots=tuple(snapshots))


def test_a_chain_by_hand():
    chain = make_simulator("LockedChain-3")
    demo = play_demo(chain, chain.keys.tolist(), origin="script", note="the three keys")
    assert demo.rewards.tolist() == [0, 0, 1]
    assert demo.terminations.tolist() == [False, False, True]
    assert demo.truncations.tolist() == [False, False, False]
    assert demo.complete
    assert demo.observations.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert (demo.snapshots, demo.offset, demo.note) == ((), 0, "the three keys")


def test_a_demo_that_stops_early_is_truncated():
    chain = make_simulator("LockedChain-3")
    demo = play_demo(chain, chain.keys[:2].tolist(), origin="script")
    assert demo.truncations.tolist() == [False, True]
    assert not demo.complete


def test_snapshots_are_taken_every_hundred_steps_and_where_asked(demo):
    assert [snapshot.step for snapshot in demo.snapshots] == [37, 100, 200, 280]


def test_a_demo_that_begins_later_has_a_snapshot_at_its_beginning(simulator, demo):
    begin = demo.snapshots[0].data
    later = play_demo(simulator, demo.actions[37:].tolist(), origin="script", begin=begin, offset=37)
    assert [snapshot.step for snapshot in later.snapshots] == [0, 100, 200]
    assert later.snapshots[0].data == begin
    assert np.array_equal(later.observations, demo.observations[37:])
    assert replay_demo(simulator, later).matched


def test_a_demo_replays_in_any_simulator_of_its_game(simulator, demo):
    assert replay_demo(simulator, demo).matched
    other = simulator_of(demo.simulator)
    other.play([1, 2, 3] * 50)
    other.reset()
    comparison = replay_demo(other, demo)
    assert comparison.matched
    assert comparison.replayed.snapshots == demo.snapshots
    assert comparison.replayed.fingerprint == demo.fingerprint


def test_a_changed_reward_is_found(simulator, demo):
    rewards = demo.rewards.copy()
    rewards[[5, 250]] += 100
    comparison = replay_demo(simulator, replace(demo, rewards=rewards))
    assert (comparison.rewards, comparison.snapshots, comparison.matched) == ([5, 250], [], False)


def test_a_changed_action_shows_in_the_snapshots(simulator, demo):
    actions = demo.actions.copy()
    actions[101:120] = (actions[101:120] + 1) % simulator.action_count
    assert 200 in replay_demo(simulator, replace(demo, actions=actions)).snapshots


@pytest.mark.parametrize("index", range(4))
def test_every_snapshot_is_compared(simulator, demo, index):
    step = demo.snapshots[index].step
    wrong = changed_snapshot(demo, index, fingerprint=1)
    assert replay_demo(simulator, wrong).snapshots == [step]
    wrong = changed_snapshot(demo, index, data=demo.snapshots[index].data + b"\0")
    assert replay_demo(simulator, wrong).snapshots == [step]


def test_across_versions_only_fingerprints_count(simulator, demo):
    old = replace(demo, simulator=replace(demo.simulator, versions={"ale-py": "0.1"}))
    assert replay_demo(simulator, changed_snapshot(old, 0, data=b"serialized otherwise")).matched
    assert replay_demo(simulator, changed_snapshot(old, 0, fingerprint=1)).snapshots == [37]


@pytest.mark.parametrize(
    "changes", [{"env_id": "ALE/Pong-v5"}, {"rom_md5": "0" * 32}, {"kwargs": {"full_action_space": True}}]
)
def test_another_game_is_refused(simulator, demo, changes):
    other = replace(demo, simulator=replace(demo.simulator, **changes))
    with pytest.raises(MismatchError, match=next(iter(changes))):
        replay_demo(simulator, other)


def test_a_forged_beginning_is_refused_before_the_emulator_sees_it(simulator, demo):
    forged = replace(demo, offset=5, snapshots=(Snapshot(0, b"\xff" * 7741, 0),))
    with pytest.raises(SnapshotError):
        replay_demo(simulator, forged)


def test_a_game_that_ends_too_early_is_said():
    chain = make_simulator("LockedChain-3")
    wrong = (chain.keys + 1) % 4
    with pytest.raises(DemoCurriculumError, match="ended at demo step 1, before the 3 recorded"):
        play_demo(chain, wrong.tolist(), origin="script")


def test_an_action_that_does_not_exist_is_said():
    chain = make_simulator("LockedChain-3")
    with pytest.raises(DemoCurriculumError, match="demo step 1: action 4 is not within"):
        play_demo(chain, [int(chain.keys[0]), 4], origin="script")


def test_every_step_is_reported():
    chain = make_simulator("LockedChain-3")
    done = []
    play_demo(chain, chain.keys.tolist(), origin="script", on_step=done.append)
    assert done == [0, 1, 2]
