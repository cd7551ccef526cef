"""Simulators in worker processes: the same whatever their number, and alive when a worker is not."""

import os
import signal
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from demo_curriculum.curriculum import AdaptiveCurriculum, Timeline
from demo_curriculum.demo import Demo, Outcome, Start
from demo_curriculum.envs import DemoStartVectorEnv, EnvRecipe, GroupedVectorEnv, StartCache, WorkerVectorEnv
from demo_curriculum.envs.rewards import Rewards
from demo_curriculum.envs.workers import without_observations
from demo_curriculum.errors import MismatchError, UsageError
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.playback import play_demo

GAME = "ALE/MontezumaRevenge-v5"
NUM_ENVS = 9


@pytest.fixture(scope="module")
def demo() -> Demo:
    made = play_demo(make_simulator(GAME), np.arange(25).repeat(8).__mod__(18).tolist(), origin="script")
    return without_observations(replace(made, rewards=np.where(np.arange(200) == 190, 1.0, 0.0)))


def recipe(demo: Demo, **changes: Any) -> EnvRecipe:
    made = EnvRecipe(
        GAME,
        {},
        [demo],
        4,
        sticky=0.25,
        noop_max=5,
        stack=2,
        lag=8,
        tail=3.0,
        beyond=0,
        end_on_life_loss=True,
        forgive=True,
        rewards=Rewards("sign", [demo], gamma=0.99, frame_skip=4),
        landmarks=[[]],
        stages=True,
    )
    return replace(made, **changes)


def curriculum(demo: Demo) -> AdaptiveCurriculum:
    return AdaptiveCurriculum([Timeline.of(demo)])


def make(demo: Demo, workers: int) -> GroupedVectorEnv:
    rule = curriculum(demo)
    if workers:
        return WorkerVectorEnv(recipe(demo), rule, NUM_ENVS, workers)
    cache = StartCache()
    return DemoStartVectorEnv(lambda: recipe(demo)(rule, cache), NUM_ENVS)


def play(env: GroupedVectorEnv, steps: int, seed: int = 0) -> list[list[Any]]:
    """Everything that random actions give, step by step."""
    rng = np.random.default_rng(seed)
    played = []
    for _ in range(steps):
        *arrays, infos = env.step(rng.integers(18, size=NUM_ENVS))
        arrays += [infos[name] for name in ("next_observations", "slack", "next_slack")]
        played.append([*(array.tolist() for array in arrays), infos["outcomes"]])
        assert infos["valid"].all()
    return played


def test_any_number_of_workers_plays_as_one_process_does(demo: Demo) -> None:
    results = []
    for workers in (0, 1, 2, 4):
        env = make(demo, workers)
        first, _ = env.reset(seed=3)
        results.append([first.tolist(), *play(env, 80)])
        assert env.frames >= 80 * 4 * NUM_ENVS
        env.close()
    assert sum(len(row[-1]) for row in results[0][1:]) > 20
    assert results[1] == results[0] and results[2] == results[0] and results[3] == results[0]


def test_a_group_steps_while_the_other_waits(demo: Demo) -> None:
    env, whole = make(demo, 2), make(demo, 0)
    env.reset(seed=1)
    whole.reset(seed=1)
    assert [group.stop - group.start for group in env.groups] == [5, 4]
    actions = np.arange(NUM_ENVS)
    env.send(0, actions[:5])
    env.send(1, actions[5:])
    parts = [env.receive(0), env.receive(1)]
    env.send(1, actions[5:])
    later = env.receive(1)
    expected = whole.step(actions)
    assert np.array_equal(np.concatenate([part[0] for part in parts]), expected[0])
    assert np.array_equal(later[0], whole.step(actions)[0][5:])
    env.close()


def test_starts_are_pushed(demo: Demo) -> None:
    rule = curriculum(demo)
    env = WorkerVectorEnv(recipe(demo, lag=1), rule, NUM_ENVS, 2)
    env.reset(seed=0)
    outcomes: list[Outcome] = [outcome for row in play(env, 30) for outcome in row[-1]]
    assert min(outcome.start.step for outcome in outcomes if outcome.start.step > 0) >= rule.frontiers[0] == 159
    for _ in range(40):
        rule.record(Outcome(Start(0, 160, 200), 1.0, 10, True, "tie"))
    assert rule.advance()
    env.push_starts()
    outcomes = [outcome for row in play(env, 60, seed=1) for outcome in row[-1]]
    steps = [outcome.start.step for outcome in outcomes if outcome.start.step > 0]
    assert rule.frontiers[0] <= min(steps) < 159
    env.close()


def test_a_saved_state_goes_on_in_any_number_of_workers(demo: Demo) -> None:
    envs = [make(demo, workers) for workers in (2, 2, 0)]
    for env in envs:
        env.reset(seed=4)
    play(envs[0], 20)
    state = envs[0].state_dict()
    envs[1].load_state_dict(state)
    envs[2].load_state_dict(state)
    # And from one process into two.
    back = make(demo, 2)
    back.load_state_dict(envs[2].state_dict())
    results = [play(env, 50, seed=1) for env in [*envs, back]]
    assert all(result == results[0] for result in results)
    assert envs[0].frames == envs[1].frames, "each worker's cache knows the starts that it knew"
    for env in [*envs, back]:
        env.close()


def kill(env: WorkerVectorEnv, worker: int) -> int:
    pid = env.workers[worker].process.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    env.workers[worker].process.join(10)
    return pid


def test_a_killed_worker_is_replaced_and_its_episodes_are_dropped(demo: Demo) -> None:
    env, unhurt = make(demo, 2), make(demo, 2)
    assert isinstance(env, WorkerVectorEnv)
    env.reset(seed=6)
    unhurt.reset(seed=6)
    play(env, 10)
    play(unhurt, 10)
    frames = env.frames
    actions = np.arange(NUM_ENVS)
    seen = env.step(actions)[0]
    unhurt.step(actions)
    for group, rows in enumerate(env.groups):
        env.send(group, actions[rows])
    victim = kill(env, 1)
    with pytest.warns(RuntimeWarning, match=rf"worker 1 \(process {victim}\) died with exit code -9"):
        results = [env.receive(group) for group in range(2)]
    assert env.workers[1].process.pid != victim and env.workers[1].process.is_alive()
    lost = np.zeros(NUM_ENVS, bool)
    for rows in env.workers[1].rows:
        lost[rows] = True
    assert lost.tolist() == [False, False, True, True, True, False, False, True, True]
    observations, rewards, terminations, truncations = (
        np.concatenate([step[part] for step in results]) for part in range(4)
    )
    infos = [step[4] for step in results]
    assert np.array_equal(np.concatenate([info["valid"] for info in infos]), ~lost)
    assert truncations[lost].all() and not terminations[lost].any() and not rewards[lost].any()
    assert np.array_equal(np.concatenate([info["next_observations"] for info in infos])[lost], seen[lost])
    expected = unhurt.step(actions)
    assert np.array_equal(observations[~lost], expected[0][~lost]), "the others do not notice"
    for _ in range(30):
        mine, theirs = env.step(actions), unhurt.step(actions)
        assert np.array_equal(mine[0][~lost], theirs[0][~lost]) and mine[4]["valid"].all()
    assert env.frames > frames + 30 * 4 * NUM_ENVS
    env.close()
    unhurt.close()


def test_a_worker_may_die_at_any_time(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    env = make(demo, 2)
    assert isinstance(env, WorkerVectorEnv)
    env.reset(seed=6)
    do_nothing = np.zeros(NUM_ENVS, np.int64)
    for meanwhile in (lambda: None, env.state_dict, env.push_starts):
        kill(env, 0)
        with pytest.warns(RuntimeWarning, match="worker 0"):
            meanwhile()
            *_, infos = env.step(do_nothing)
        assert infos["valid"].tolist() == [False] * 2 + [True] * 3 + [False] * 2 + [True] * 2
        assert env.step(do_nothing)[4]["valid"].all()
    # One that lives, and says nothing.
    monkeypatch.setattr("demo_curriculum.envs.workers.PATIENCE", 3.0)
    pid = env.workers[0].process.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    with pytest.warns(RuntimeWarning, match="worker 0"):
        *_, infos = env.step(do_nothing)
    assert infos["valid"].sum() == 5
    env.close()


def test_processes_end_with_their_owner(demo: Demo) -> None:
    env = make(demo, 2)
    assert isinstance(env, WorkerVectorEnv)
    processes = [worker.process for worker in env.workers]
    env.close()
    assert not any(process.is_alive() for process in processes)


def test_what_an_environment_raises_arrives(demo: Demo) -> None:
    env = WorkerVectorEnv(recipe(demo), curriculum(demo), NUM_ENVS, 2)
    env.reset(seed=0)
    with pytest.raises(RuntimeError, match=r"(?s)in worker process .*actions \[99, "):
        env.step(np.full(NUM_ENVS, 99))
    env.close()
    with pytest.raises(MismatchError, match="another game"):
        WorkerVectorEnv(recipe(demo, env_id="ALE/Pong-v5"), curriculum(demo), NUM_ENVS, 2)


def test_workers_that_cannot_share_are_refused(demo: Demo) -> None:
    with pytest.raises(UsageError, match="5 workers cannot share 9 simulators in two groups; there can be 1 to 4"):
        make(demo, 5)


def test_an_owner_that_is_killed_takes_its_workers_with_it(demo: Demo) -> None:
    context = __import__("multiprocessing").get_context("spawn")
    ours, theirs = context.Pipe()
    owner = context.Process(target=own_workers, args=(theirs, demo))
    owner.start()
    assert ours.poll(60)
    pids = ours.recv()
    owner.kill()
    owner.join()
    deadline = time.monotonic() + 10
    while any(os.path.exists(f"/proc/{pid}") for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)


def own_workers(pipe: Any, demo: Demo) -> None:
    env = make(demo, 2)
    assert isinstance(env, WorkerVectorEnv)
    env.reset(seed=0)
    pipe.send([worker.process.pid for worker in env.workers])
    time.sleep(60)
