"""split, merge, rm, repair and verify --rebuild on real files and a real emulator."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

from demo_curriculum.cli.main import main
from demo_curriculum.demo import Snapshot
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.playback import play_demo
from demo_curriculum.store import read_demo, read_demos, write_demos


@pytest.fixture(scope="module")
def breakout():
    """Random play until three lives are lost, with a few rewards on the way."""
    simulator = make_simulator("ALE/Breakout-v5")
    rng = np.random.default_rng(1)
    simulator.reset()
    actions = []
    while simulator.lives > 2 or not simulator.lives:
        action = int(rng.choice([0, 1, 2, 3]))
        actions += [action] * 4
        simulator.play([action] * 4)
    return play_demo(simulator, actions, origin="script", note="at random")


@pytest.fixture
def path(tmp_path, breakout):
    write_demos(tmp_path / "d.h5", [breakout])
    return tmp_path / "d.h5"


def run(*arguments):
    return main([str(argument) for argument in arguments])


def fails(capsys, code, message, *arguments):
    assert run(*arguments) == code
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err


@pytest.mark.parametrize("how", [("--at", "rewards"), ("--at", "lives"), ("--every", 130)])
def test_the_parts_of_a_split_make_up_the_demo_and_verify_on_their_own(path, tmp_path, breakout, how, capsys):
    output = tmp_path / "parts.h5"
    assert run("split", path, *how, "-o", output) == 0
    parts = read_demos(output)
    expected = {
        "rewards": [int(step) + 1 for step in np.flatnonzero(breakout.rewards)],
        "lives": [int(step) + 1 for step in np.flatnonzero(np.diff(breakout.lives) < 0)],
        130: list(range(130, len(breakout), 130)),
    }[how[1]]
    assert [part.offset for part in parts] == [0, *(cut for cut in expected if cut < len(breakout))]
    for name in ("actions", "rewards"):
        assert np.array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(breakout, name))
    assert f"{len(parts)} demos of {len(breakout):,} steps" in capsys.readouterr().out
    assert run("verify", output) == 0
    for index, part in enumerate(parts):
        alone = tmp_path / f"{index}.h5"
        write_demos(alone, [part])
        assert run("verify", alone) == 0


def test_a_split_leaves_short_parts_out(path, tmp_path, breakout):
    output = tmp_path / "parts.h5"
    assert run("split", path, "--every", 10, "--at-least", 150, "-o", output) == 0
    lengths = [len(part) for part in read_demos(output)]
    assert min(lengths) >= 150
    assert sum(lengths) == len(breakout)


def test_a_split_of_a_demo_that_does_not_replay_writes_nothing(tmp_path, breakout, capsys):
    rewards = breakout.rewards.copy()
    rewards[7] = 3
    write_demos(tmp_path / "x.h5", [replace(breakout, rewards=rewards)])
    fails(capsys, 3, "first at step 7", "split", tmp_path / "x.h5", "--every", 50, "-o", tmp_path / "o.h5")
    assert not (tmp_path / "o.h5").exists()


@pytest.mark.parametrize("how", [(), ("--at", "rewards", "--every", 3), ("--every", 0)])
def test_a_split_needs_one_way_to_cut(path, tmp_path, capsys, how):
    fails(capsys, 2, "--every", "split", path, *how, "-o", tmp_path / "o.h5")


def test_merge_keeps_every_demo_once(path, tmp_path, breakout, capsys):
    write_demos(tmp_path / "e.h5", [breakout.trim(50), breakout, breakout.trim(60)])
    assert run("merge", path, tmp_path / "e.h5", "-o", tmp_path / "all.h5") == 0
    assert [len(demo) for demo in read_demos(tmp_path / "all.h5")] == [len(breakout), 50, 60]
    assert f"episode_1 of {tmp_path / 'e.h5'} is there already" in capsys.readouterr().out
    fails(capsys, 1, "exists already", "merge", path, path, "-o", tmp_path / "all.h5")


def test_merge_refuses_other_games_and_versions(path, tmp_path, breakout, capsys):
    chain = make_simulator("LockedChain-3")
    write_demos(tmp_path / "c.h5", [play_demo(chain, chain.keys.tolist(), origin="script")])
    fails(capsys, 2, "c.h5: is of another game", "merge", path, tmp_path / "c.h5", "-o", tmp_path / "o.h5")
    old = replace(breakout, simulator=replace(breakout.simulator, versions={"ale-py": "0.1"}))
    write_demos(tmp_path / "old.h5", [old])
    fails(capsys, 2, "verify --rebuild", "merge", path, tmp_path / "old.h5", "-o", tmp_path / "o.h5")
    assert not (tmp_path / "o.h5").exists()


def test_rm_removes_and_says_who_moved_up(tmp_path, breakout, capsys):
    path = tmp_path / "d.h5"
    write_demos(path, [breakout.trim(length) for length in (10, 20, 30)])
    assert run("rm", path, "episode_0", "episode_1") == 0
    assert [len(demo) for demo in read_demos(path)] == [30]
    assert "episode_2 is now episode_0" in capsys.readouterr().out
    fails(capsys, 2, "episode_4: there are episode_0", "rm", path, "episode_4")
    fails(capsys, 2, "delete the file", "rm", path, "episode_0")
    fails(capsys, 2, "no demo named", "rm", path)
    assert len(read_demos(path)) == 1


def damage(path, name):
    with h5py.File(path) as file:
        info = file[name].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[info.byte_offset : info.byte_offset + info.size] = bytes(info.size)
    path.write_bytes(content)


def test_repair_saves_what_can_be_saved_and_says_what_is_lost(tmp_path, breakout, capsys):
    path, output = tmp_path / "d.h5", tmp_path / "saved.h5"
    write_demos(path, [breakout.trim(length) for length in (200, 210, 220)])
    damage(path, "episode_0/observations")
    damage(path, "episode_1/actions")
    assert run("verify", path) == 1
    assert run("repair", path, "-o", output) == 1
    words = capsys.readouterr().out
    assert "episode_0: made again, 200 of 200 steps" in words
    assert "episode_1: LOST" in words
    assert "episode_2: whole, 220 steps; now episode_1" in words
    first, second = read_demos(output)
    assert np.array_equal(first.actions, breakout.actions[:200])
    assert np.array_equal(first.observations, breakout.observations[:201])
    assert "repaired" in first.note
    assert len(second) == 220
    assert run("verify", output) == 0


def test_repair_makes_no_demo_of_actions_that_give_other_rewards(tmp_path, breakout, capsys):
    path = tmp_path / "d.h5"
    rewards = breakout.rewards.copy()
    rewards[5] = 9
    write_demos(path, [replace(breakout, rewards=rewards)])
    damage(path, "episode_0/observations")
    fails(capsys, 1, "nothing could be saved", "repair", path, "-o", tmp_path / "o.h5")
    assert not (tmp_path / "o.h5").exists()


def test_repair_of_demos_of_an_older_version_makes_all_of_them_again(tmp_path, breakout, capsys):
    path, output = tmp_path / "d.h5", tmp_path / "saved.h5"
    old = replace(breakout, simulator=replace(breakout.simulator, versions={"ale-py": "0.1"}))
    write_demos(path, [old, old.trim(100)])
    damage(path, "episode_0/infos/lives")
    assert run("repair", path, "-o", output) == 0
    assert [demo.simulator for demo in read_demos(output)] == [breakout.simulator] * 2
    assert run("verify", output) == 0


def test_rebuild_brings_a_demo_to_the_installed_version(tmp_path, breakout, capsys):
    path = tmp_path / "d.h5"
    old = replace(
        breakout,
        simulator=replace(breakout.simulator, versions={"ale-py": "0.1"}),
        snapshots=tuple(Snapshot(snapshot.step, b"old format", 1) for snapshot in breakout.snapshots),
    )
    write_demos(path, [old])
    assert run("verify", path) == 3
    assert run("verify", path, "--rebuild") == 0
    assert read_demo(path).simulator == breakout.simulator
    assert read_demo(path).snapshots == breakout.snapshots
    capsys.readouterr()
    assert run("verify", path) == 0


def test_rebuild_leaves_a_file_whose_rewards_differ(tmp_path, breakout, capsys):
    path = tmp_path / "d.h5"
    rewards = breakout.rewards.copy()
    rewards[5] = 9
    write_demos(path, [breakout, replace(breakout, rewards=rewards)])
    before = path.read_bytes()
    fails(capsys, 3, "episode_1 cannot be rebuilt, the file is as it was", "verify", path, "--rebuild")
    assert path.read_bytes() == before


@pytest.fixture(scope="module")
def long_demo():
    """Long enough to be verified by segments."""
    simulator = make_simulator("ALE/MontezumaRevenge-v5")
    actions = np.repeat(np.random.default_rng(0).integers(18, size=2250), 4).tolist()
    actions = actions[:9000]
    simulator.reset()
    length = 0
    for action in actions:
        if simulator.game_over:
            break
        simulator.play([action])
        length += 1
    if length < 8200:
        actions = [0] * 9000
    return play_demo(simulator, actions, origin="script")


@pytest.mark.parametrize("kind", ["none", "snapshot", "reward", "lives", "observation"])
def test_verification_by_segments_finds_what_replay_finds(tmp_path, long_demo, kind, capsys):
    assert len(long_demo) >= 8000
    demo, expected = long_demo, None
    if kind == "snapshot":
        # Another true state of the same game: valid, and not the one at this step.
        snapshots = list(demo.snapshots)
        snapshots[40] = replace(demo.snapshots[7], step=snapshots[40].step)
        demo, expected = replace(demo, snapshots=tuple(snapshots)), "at steps 4100"
    elif kind == "reward":
        rewards = demo.rewards.copy()
        rewards[6543] += 1
        demo, expected = replace(demo, rewards=rewards), "1 rewards (at steps 6543)"
    elif kind == "lives":
        lives = demo.lives.copy()
        lives[5432] += 1
        demo, expected = replace(demo, lives=lives), "1 lives (at steps 5432)"
    elif kind == "observation":
        observations = demo.observations.copy()
        observations[4321, 5] ^= 1
        demo, expected = replace(demo, observations=observations), "1 observations (at steps 4321)"
    write_demos(tmp_path / "d.h5", [demo])
    assert run("verify", tmp_path / "d.h5", "--json") == (3 if expected else 0)
    (finding,) = json.loads(capsys.readouterr().out)["demos"]
    assert finding["matched"] is (expected is None)
    assert expected is None or expected in finding["problem"]
