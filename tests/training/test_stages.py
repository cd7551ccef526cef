import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from demo_curriculum.envs import StageObservation
from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.landmarks import Landmark
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.playback import play_demo
from demo_curriculum.store import read_demos
from demo_curriculum.training.config import TrainConfig
from demo_curriculum.training.evaluate import Protocol, evaluate
from demo_curriculum.training.player import Player
from demo_curriculum.training.ranks import Ranks
from demo_curriculum.training.run import build_trainer, describe, load_policy
from demo_curriculum.training.session import Limits, open_run, train
from demo_curriculum.training.stages import (
    LANDMARKS,
    find_relevant_by_stage,
    read_course,
    with_stages,
    write_landmarks,
)

DEMOS = Path(__file__).parents[2] / "demos"
SMALL: dict[str, Any] = {"envs": 4, "steps": 16, "minibatches": 2, "hidden": 16}


def test_in_play_the_policy_sees_what_it_saw_of_the_demo(tmp_path: Path) -> None:
    (demo,) = read_demos(DEMOS / "montezuma-door.h5")
    config = TrainConfig(frame_skip=1, stack=1, **SMALL)
    run, _ = open_run(tmp_path, [demo], config)
    train(tmp_path, run, [demo], limits=Limits(None, None, 64), display=None, ranks=Ranks())
    course = read_course(tmp_path, run.demos[0], make_simulator("ALE/MontezumaRevenge-v5"))
    (watched,) = with_stages([demo], [list(course.landmarks.values())])
    assert watched.observations.shape == (len(demo) + 1, 129)
    # The key, the door, and one more where a scene changes for good; the room behind is entered after the end.
    stages = watched.observations[:, -1]
    gains = np.flatnonzero(demo.rewards) + 1
    assert stages.tolist() == sorted(stages.tolist()) and set(stages.tolist()) == {0, 1, 2, 3}
    assert len(gains) == 2 and (stages[gains] == stages[gains - 1] + 1).all()
    assert course.scenes and len(course.stages) == 3
    env = Player(tmp_path, run).env(Protocol())
    assert demo.reset_step == 0
    assert env.reset(seed=0)[0][-1].tolist() == watched.observations[0].tolist()
    for step, action in enumerate(demo.actions.tolist(), 1):
        assert env.step(action)[0][-1].tolist() == watched.observations[step].tolist()
    # And the policy takes it.
    _, policy, *_ = load_policy(tmp_path)
    assert policy.stages == 4
    result = evaluate(policy, Player(tmp_path, run).env, protocol=Protocol(0.25, 30), episodes=2, max_steps=9, seed=0)
    assert result.lengths.tolist() == [9, 9]


def test_what_is_not_told(tmp_path: Path) -> None:
    (demo,) = read_demos(DEMOS / "montezuma-door.h5")
    for changes in ({"stages": False}, {"rule": "uniform"}):
        config = TrainConfig(**SMALL, **changes)  # type: ignore[arg-type]
        trainer = build_trainer(describe([demo], config), [demo], Ranks())
        assert trainer.policy.stages == 0 and trainer.env.single_observation_space.shape == (2, 128)
        run, _ = open_run(tmp_path / str(changes), [demo], config)
        # There is nothing to read.
        assert Player(tmp_path / str(changes), run).env(Protocol()).reset(seed=0)[0].shape == (2, 128)


def test_landmarks_of_any_kind_are_kept_exactly(tmp_path: Path) -> None:
    kept = [
        Landmark(3, np.array([0, 1]), np.array([0.1, 1e-30], np.float32), 2),
        Landmark(5, np.array([1]), np.array([7.0], np.float32), 5),
    ]
    write_landmarks(tmp_path, kept)
    described = {"length": 8, "rewards": [[1, 2.0], [6, -1.5]]}
    course = read_course(tmp_path, described, make_simulator("SparseMountainCar-v0"))
    assert course.returns.tolist() == [0, 0, 2, 2, 2, 2, 2, 0.5, 0.5]
    assert course.stages == [2, 3, 5]
    for landmark in kept:
        same = course.landmarks[landmark.step]
        assert same.values.dtype == np.float32 and same.news == landmark.news
        assert same.entries.tolist() == landmark.entries.tolist() and same.values.tolist() == landmark.values.tolist()


GOOD = {"step": 3, "entries": [0], "values": [1], "news": 3}


@pytest.mark.parametrize(
    "text",
    [
        None,
        "[",
        "{}",
        "[3]",
        json.dumps([{**GOOD, "step": 9}]),
        json.dumps([{**GOOD, "step": 0}]),
        json.dumps([{**GOOD, "step": float("inf")}]),
        json.dumps([{**GOOD, "values": [10**30]}]),
        json.dumps([{**GOOD, "entries": [31]}]),
        json.dumps([{**GOOD, "entries": [-1]}]),
        json.dumps([{**GOOD, "entries": [], "values": []}]),
        json.dumps([{**GOOD, "values": [1, 2]}]),
        json.dumps([{**GOOD, "values": ["x"]}]),
        json.dumps([{**GOOD, "entries": [[0]], "values": [[1]]}]),
        json.dumps([{name: GOOD[name] for name in GOOD if name != "news"}]),
    ],
)
def test_a_run_that_does_not_say_is_refused(tmp_path: Path, text: str | None) -> None:
    simulator = make_simulator("LockedChain-30")
    described = {"length": 8, "rewards": []}
    (tmp_path / LANDMARKS).write_text(json.dumps([GOOD]))
    assert read_course(tmp_path, described, simulator).stages == [3]
    (tmp_path / LANDMARKS).unlink()
    if text is not None:
        (tmp_path / LANDMARKS).write_text(text)
    with pytest.raises(DemoCurriculumError, match=r"landmarks\.json cannot be read"):
        read_course(tmp_path, described, simulator)


def test_a_demo_of_no_length_that_can_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / LANDMARKS).write_text("[]")
    for length in (-1, 10**12):
        with pytest.raises(DemoCurriculumError, match=f"a demo of {length} steps"):
            read_course(tmp_path, {"length": length, "rewards": []}, make_simulator("LockedChain-30"))


def test_each_stage_has_a_bias_of_its_own() -> None:
    (demo,) = read_demos(DEMOS / "montezuma-key.h5")
    config = TrainConfig(**SMALL)
    policy = build_trainer(describe([demo], config), [demo], Ranks()).policy
    assert policy.stages == 2
    policy.body.shown[:] = True  # type: ignore[union-attr, index]
    (watched,) = with_stages([demo], [[]])
    seen = torch.from_numpy(watched.observations[[10, 10]])[:, None].repeat(1, 2, 1)
    seen[1, :, -1] = 1
    one, other = policy(seen, torch.zeros(2), policy.at_reset(2)).logits
    assert not torch.allclose(one, other, atol=1e-6)
    with torch.no_grad():
        policy.body.stage.weight[1] = policy.body.stage.weight[0]  # type: ignore[union-attr, index]
    one, other = policy(seen, torch.zeros(2), policy.at_reset(2)).logits
    assert torch.allclose(one, other, atol=1e-6)


def test_play_goes_by_the_runs_lag_and_the_demos_offset(tmp_path: Path) -> None:
    (demo,) = read_demos(DEMOS / "montezuma-key.h5")
    run = describe([demo], TrainConfig(lag=77, **SMALL))
    run.demos[0]["offset"] = 100
    write_landmarks(tmp_path, [])
    env = Player(tmp_path, run).env(Protocol())
    assert isinstance(env, StageObservation) and (env._lag, env._reset_step) == (77, -100)


def test_the_stage_is_not_seen_as_a_number_too() -> None:
    chain = make_simulator("LockedChain-8")
    demo = play_demo(chain, chain.keys.tolist(), origin="script")  # type: ignore[attr-defined]
    policy = build_trainer(describe([demo], TrainConfig(**SMALL)), [demo], Ranks()).policy
    assert policy.stages == 2 and policy.seen is not None and policy.seen.tolist() == list(range(9))


def test_what_matters_at_each_stage_of_a_demo() -> None:
    (demo,) = read_demos(DEMOS / "montezuma-door.h5")
    simulator, entries = make_simulator("ALE/MontezumaRevenge-v5"), np.array([3, 42, 43, 47, 65, 109])
    found = find_relevant_by_stage(simulator, [demo], [[]], entries)
    # The key and the door. Everywhere the room, the player's place and what is carried; at first the skull; no sound.
    assert found.shape == (3, 6)
    assert found[:, [0, 1, 4]].all() and found[0, 3] and not found[:, 5].any()


def test_stages_are_of_all_demos() -> None:
    """What matters at a stage of one of them is seen there in all."""
    simulator, entries = make_simulator("ALE/MontezumaRevenge-v5"), np.arange(128)
    key, door = (read_demos(DEMOS / f"montezuma-{name}.h5")[0] for name in ("key", "door"))
    alone = [find_relevant_by_stage(simulator, [demo], [[]], entries) for demo in (key, door)]
    both = find_relevant_by_stage(simulator, [key, door], [[], []], entries)
    assert both.shape == (3, 128) and (both[:2] >= alone[0]).all() and (both >= alone[1]).all()


def test_a_policy_that_is_told_stages_sees_what_matters_there() -> None:
    (demo,) = read_demos(DEMOS / "montezuma-key.h5")

    def shown(**options: Any) -> torch.Tensor | None:
        config = TrainConfig(**SMALL, **options)
        return build_trainer(describe([demo], config), [demo], Ranks()).policy.body.shown  # type: ignore[union-attr, return-value]

    usual = shown()
    assert usual is not None and usual.shape[0] == 2 and not usual.all() and usual.any(dim=1).all()
    assert shown(inert=True) is None and shown(stages=False) is None
