import dataclasses
import pathlib

import numpy as np
import pytest

from demo_curriculum.cli.main import main
from demo_curriculum.demo import Start
from demo_curriculum.envs import SimulatorEnv
from demo_curriculum.landmarks import Landmark
from demo_curriculum.progress.film import ActionLog, Shot, _play, film_episode
from demo_curriculum.progress.story import keep_demo_file
from demo_curriculum.simulators.playback import begin_at, replay_demo
from demo_curriculum.simulators.registry import simulator_of
from demo_curriculum.store import read_demos
from demo_curriculum.training.checkpoint import save_checkpoint
from demo_curriculum.training.config import TrainConfig
from demo_curriculum.training.milestones import MILESTONES
from demo_curriculum.training.run import build_policy, describe, simulator_for

av = pytest.importorskip("av")
pytest.importorskip("PIL")


@pytest.fixture
def key(request):
    return request.config.rootpath / "demos" / "montezuma-key.h5"


def frames(path):
    with av.open(str(path)) as film:
        assert film.streams.video[0].average_rate == 30
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]


def test_a_climb_is_filmed_from_the_policies_kept(key, tmp_path, capsys):
    demo = read_demos(key)[0]
    run = describe([demo], TrainConfig())
    run.write(tmp_path)
    keep_demo_file(key, tmp_path)
    update = {"agent_steps": 9, "frames": 9, "seconds": 1, "steps_per_second": 9, "tie_rate": [0], "metrics": {}}
    header = {"kind": "run", "demos": run.demos, "protocol": {}, "rule": "adaptive", "seed": 0}
    rest = {
        "kind": "update",
        "update": 9,
        "frontiers": [9],
        "left": 9,
        "reset_tie_rate": [0],
        "reset_trials": [0],
        "score": 0,
    }
    lines = [header, {**rest, **update}]
    (tmp_path / "progress.jsonl").write_text("".join(__import__("json").dumps(line) + "\n" for line in lines))
    film = tmp_path / "climb.mp4"
    assert main(["replay", str(tmp_path), "--film", str(film)]) == 1
    assert "train with --keep-checkpoints" in capsys.readouterr().err
    assert not film.exists()

    policy = build_policy(run, simulator_for(run.demos[0], run.config)).state_dict()
    for number, frontier in enumerate((260, 250), 1):
        state = {
            "update": number,
            "agent_steps": 4096 * number,
            "frontiers": [frontier],
            "segments": [[[0, 100, frontier - 240], [100, len(demo), frontier]]],
            "left": frontier,
            "policy": policy,
        }
        save_checkpoint(tmp_path / MILESTONES, number, state, kept=None)
    assert main(["replay", str(tmp_path), "--film", str(film)]) == 0
    assert "2 scenes" in capsys.readouterr().out
    # The newest policy is a third scene, from the demo's beginning.
    trained = {"policy": policy, "update": 9, "agent_steps": 4096 * 9}
    save_checkpoint(tmp_path / "checkpoints", 9, {"trainer": trained, "seconds": 0.0})
    longer = tmp_path / "longer.mp4"
    assert main(["replay", str(tmp_path), "--film", str(longer)]) == 0
    assert "3 scenes" in capsys.readouterr().out
    assert len(frames(longer)) > len(frames(film)) + 24
    shown = frames(film)
    # Each scene stands still at its end, and both begin with agent and demonstrator in the same place.
    assert shown[0].shape == (500, 860, 3) and len(shown) > 2 * 24
    agent, demonstrator = shown[0][76:392, 20:420].astype(int), shown[0][76:392, 440:840].astype(int)
    assert np.abs(agent - demonstrator).mean() < 3
    assert np.abs(shown[-1].astype(int) - shown[-20]).mean() < 1
    assert [path.name for path in tmp_path.glob("*.tmp")] == []


def test_a_run_knows_where_its_demo_lost_a_life(key):
    demo = read_demos(key)[0]
    assert describe([demo], TrainConfig()).demos[0]["lives_lost"] == []
    lives = demo.lives.copy()
    lives[100:] -= 1
    lives[150:] += 1
    # Action 99 lost it; the one gained later is no loss.
    assert describe([dataclasses.replace(demo, lives=lives)], TrainConfig()).demos[0]["lives_lost"] == [99]


def test_begins_exactly_where_the_demo_was(key):
    demo = read_demos(key)[0]
    simulator = simulator_of(demo.simulator)
    demo = replay_demo(simulator, demo).replayed
    for step in (0, 1, 99, 150):
        begin_at(simulator, demo, step)
        assert (simulator.observe() == demo.observations[step]).all()


def test_an_episode_is_filmed_exactly_as_it_was_played_sticky_actions_included(key, tmp_path):
    demo = read_demos(key)[0]
    log = ActionLog(simulator_of(demo.simulator))
    env = SimulatorEnv(log, sticky=0.5)
    env.reset(seed=3)
    for action in range(15):
        env.step(action)
    env.reset()
    assert [len(episode) for episode in log.episodes] == [60, 0]
    again = simulator_of(demo.simulator)
    described = {"env_id": "x", "length": 9, "score": 1.0, "rewards": []}
    film_episode(described, again, log.episodes[0], "", tmp_path / "one.mp4")
    env.reset(seed=3)
    for action in range(15):
        env.step(action)
    assert (again.observe() == log.observe()).all()
    assert len(frames(tmp_path / "one.mp4")) == 30 + 1 + 24


def test_a_film_that_fails_leaves_nothing(key, tmp_path):
    demo = read_demos(key)[0]
    described = {"env_id": "x", "length": 9, "score": 1.0, "rewards": []}
    with pytest.raises(ValueError, match="not all within"):
        film_episode(described, simulator_of(demo.simulator), [0] * 9 + [99], "", tmp_path / "one.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_segment_that_ends_at_a_landmark_is_judged_there(monkeypatch):
    demo = read_demos(pathlib.Path(__file__).parents[2] / "demos" / "montezuma-door.h5")[0]
    run = describe([demo], TrainConfig(hidden=16))
    policy = build_policy(run, simulator_for(run.demos[0], run.config)).state_dict()
    shot = Shot(policy, 1, 1, [[300, 355, 300]], Start(0, 300, 355), "from the frontier")
    # No points are to be had on these steps.
    assert _play(run, demo, shot).tied
    never = Landmark(355, np.array([0, 1]), np.array([300, 300]), 355)
    monkeypatch.setattr("demo_curriculum.progress.film.landmarks_of", lambda demo, config, seen: [never])
    scene = _play(run, demo, shot)
    assert not scene.tied and scene.ending in ("life", "lag", "terminated")
