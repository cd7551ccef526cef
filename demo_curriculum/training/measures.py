"""What the benchmarks measure: simulators, networks, training, demo files, the curriculum, and other libraries."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from demo_curriculum.curriculum import AdaptiveCurriculum, Timeline
from demo_curriculum.demo import Outcome, SimulatorSpec
from demo_curriculum.envs import GroupedVectorEnv, SimulatorEnv, StartCache
from demo_curriculum.envs.simulator_env import CACHED_STARTS
from demo_curriculum.processes import cores
from demo_curriculum.simulators import simulator_of
from demo_curriculum.store import read_demo, read_demos, summarise, write_demos
from demo_curriculum.store.writer import append_demo
from demo_curriculum.training.bench import Bench, Rate, SkippedError, timed
from demo_curriculum.training.config import TrainConfig
from demo_curriculum.training.launch import launch
from demo_curriculum.training.libraries import atari_vector, gym_async, sb3
from demo_curriculum.training.machine import prepare_process
from demo_curriculum.training.ranks import Ranks
from demo_curriculum.training.run import build_trainer, describe, recipe_for, replay, simulator_for
from demo_curriculum.training.trainer import Trainer

FRAME_SKIP = 4
OUTCOMES = 1_000_000
UPDATES = 2
EPISODE = 100


class Measure(NamedTuple):
    """One row: the speed of ``what`` in ``unit`` a second, and of which other row it is a share."""

    what: str
    unit: str
    reference: str | None
    prepare: Callable[[Bench], Rate]


def _emulator(bench: Bench) -> Rate:
    return partial(_play_alone, bench.demo.simulator, bench.seconds)


def _play_alone(spec: SimulatorSpec, seconds: float) -> float:
    """Agent steps a second of one simulator that plays random actions and does nothing else."""
    simulator, rng = simulator_of(spec), np.random.default_rng(0)

    def work() -> int:
        actions = rng.integers(simulator.action_count, size=100).tolist()
        for action in actions:
            simulator.play([action] * FRAME_SKIP)
            if simulator.game_over:
                simulator.reset()
        return len(actions)

    return timed(work, seconds)


def _emulators(bench: Bench) -> Rate:
    pool = ProcessPoolExecutor(cores(), get_context("spawn"))
    bench.stack.callback(pool.shutdown)
    play = partial(_play_alone, bench.demo.simulator)
    return lambda: sum(pool.map(play, [bench.seconds] * cores()))


def _in_turn(bench: Bench) -> Rate:
    """As many simulators as the vector environment has, one after the other: none finds its memory in the cache."""
    spec, rng = bench.demo.simulator, np.random.default_rng(0)
    simulators = [simulator_of(spec) for _ in range(bench.envs)]

    def work() -> int:
        actions = rng.integers(simulators[0].action_count, size=bench.envs).tolist()
        for simulator, action in zip(simulators, actions, strict=True):
            simulator.play([action] * FRAME_SKIP)
            if simulator.game_over:
                simulator.reset()
        return bench.envs

    return bench.repeat(work)


def _vector(observation: str, parallel: bool, bench: Bench) -> Rate:
    env = bench.trainer(observation, workers=_workers(bench) if parallel else 0).env
    rng = np.random.default_rng(0)
    count = int(env.single_action_space.n)  # type: ignore[attr-defined]
    return bench.repeat(partial(_step_groups, env, count, rng))


def _step_groups(env: GroupedVectorEnv, actions: int, rng: np.random.Generator) -> int:
    """Ten steps in which no group waits for another."""
    draws = rng.integers(actions, size=(11, env.num_envs))
    for group, rows in enumerate(env.groups):
        env.send(group, draws[0, rows])
    for draw in draws[1:]:
        for group, rows in enumerate(env.groups):
            env.receive(group)
            env.send(group, draw[rows])
    for group in range(len(env.groups)):
        env.receive(group)
    return len(draws) * env.num_envs


def _workers(bench: Bench) -> int:
    return min(cores(), bench.envs // 2)


def _restore(observation: str, bench: Bench) -> Rate:
    simulator = simulator_for(bench.run(observation).demos[0], TrainConfig(observation=observation))  # type: ignore[arg-type]
    demo = bench.trainer(observation).env.demos[0]
    if not demo.snapshots:
        raise SkippedError("the demo is too short to have a snapshot")

    def work() -> int:
        for snapshot in demo.snapshots:
            simulator.restore(snapshot.data)
        return len(demo.snapshots)

    return bench.repeat(work)


def _start(observation: str, bench: Bench) -> Rate:
    trainer = bench.trainer(observation)
    demo, rng = trainer.env.demos[0], np.random.default_rng(0)
    one = recipe_for(bench.run(observation), [demo])(trainer.curriculum, StartCache(capacity=0)).env
    assert isinstance(one, SimulatorEnv)
    one.reset(seed=0)

    def work() -> int:
        steps = rng.integers(max(1, 1 - demo.offset), len(demo) + 1, size=10).tolist()
        for step in steps:
            one.begin(demo, step)
        return len(steps)

    return bench.repeat(work)


def _steps(observation: str, capacity: int | None, bench: Bench) -> Rate:
    """Of one simulator that goes to a start every ``EPISODE`` agent steps, of which ``capacity`` are kept, or never."""
    trainer = bench.trainer(observation)
    demo, rng = trainer.env.demos[0], np.random.default_rng(0)
    one = recipe_for(bench.run(observation), [demo])(trainer.curriculum, StartCache(capacity or 0)).env
    assert isinstance(one, SimulatorEnv)
    one.reset(seed=0)

    def begin() -> None:
        step = trainer.curriculum.sample(rng).step
        if step > demo.reset_step:
            one.begin(demo, step)
        else:
            one.reset()

    def work() -> int:
        if capacity is not None:
            begin()
        for action in rng.integers(one.simulator.action_count, size=EPISODE).tolist():
            if one.step(action)[2]:
                begin()
        return EPISODE

    return bench.repeat(work)


def _forward(observation: str, bench: Bench) -> Rate:
    trainer = bench.trainer(observation)
    observations = _some_observations(trainer, trainer.env.num_envs)
    hidden = trainer.policy.at_reset(len(observations))

    def work() -> int:
        trainer.policy.act(observations, hidden, trainer.generator)
        return len(observations)

    return bench.repeat(work)


def _update(observation: str, bench: Bench) -> Rate:
    trainer = bench.trainer(observation)
    observations = _some_observations(trainer, trainer.env.num_envs * trainer.steps // trainer.minibatches)
    policy = trainer.policy
    # Weights that do not move: the trainer is measured too.
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.0)

    def work() -> int:
        prediction = policy(observations, torch.zeros(len(observations)), policy.at_reset(len(observations)))
        optimizer.zero_grad()
        sum(part.mean() for part in prediction).backward()
        optimizer.step()
        return len(observations)

    return bench.repeat(work)


def _some_observations(trainer: Trainer, count: int) -> torch.Tensor:
    pairs = trainer.teachers.pairs.sample(count, trainer.curriculum.spans, trainer.curriculum.success, trainer.rng)
    return pairs.observations


def _train(observation: str, rnd: bool, parallel: bool, bench: Bench) -> Rate:
    trainer = bench.trainer(observation, rnd, _workers(bench) if parallel else 0)
    return bench.repeat(partial(_one_update, trainer))


def _one_update(trainer: Trainer) -> int:
    before = trainer.agent_steps
    next(trainer.updates())
    return trainer.agent_steps - before


def _train_ranks(observation: str, bench: Bench) -> Rate:
    size = 2

    def rate() -> float:
        config = TrainConfig(observation=observation, envs=bench.envs)  # type: ignore[arg-type]
        measured = launch(size, _rate_of_ranks, bench.path, bench.folder, config)
        if measured is None:
            raise KeyboardInterrupt
        return measured

    if bench.envs % size:
        raise SkippedError(f"{bench.envs} simulators cannot be shared between {size} ranks")
    return rate


def _rate_of_ranks(path: Path, folder: Path, config: TrainConfig) -> float:
    prepare_process()
    ranks = Ranks.join()
    demos = read_demos(path)[:1]
    run = describe(demos, config)
    trainer = build_trainer(run, replay(run, demos, ranks, folder), ranks)
    _one_update(trainer)
    ranks.gather(None)
    began = time.perf_counter()
    steps = sum(_one_update(trainer) for _ in range(UPDATES))
    ranks.gather(None)
    passed = time.perf_counter() - began
    ranks.close()
    return steps / passed


def _store_open(bench: Bench) -> Rate:
    return bench.repeat(lambda: len(summarise(bench.path)[:1]))


def _store_fetch(bench: Bench) -> Rate:
    name = summarise(bench.path)[0].id
    return bench.repeat(lambda: int(read_demo(bench.path, name) is not None))


def _store_append(bench: Bench) -> Rate:
    path = bench.folder / "appended.h5"

    def rate() -> float:
        # Begun anew each turn: an append copies what is there.
        write_demos(path, [bench.demo], overwrite=True)

        def work() -> int:
            append_demo(path, bench.demo)
            return 1

        return timed(work, 0.0)

    return rate


def _curriculum(bench: Bench) -> Rate:
    demo = bench.demo
    curriculum, rng = AdaptiveCurriculum([Timeline.of(demo)]), np.random.default_rng(0)

    def record(count: int) -> int:
        for index, tied in enumerate((rng.random(count) < 0.1).tolist()):
            curriculum.record(Outcome(curriculum.sample(rng), 0.0, 1, tied, "tie" if tied else "lag"))
            if index % 100 == 0:
                curriculum.advance()
        return count

    record(OUTCOMES)
    return bench.repeat(lambda: record(10_000))


def _measures() -> Iterator[tuple[str, Measure]]:
    steps = "agent steps"
    count = cores()
    yield "emulator", Measure("the emulator alone, one process", steps, None, _emulator)
    yield "emulators", Measure(f"the emulator alone, {count} processes", steps, "emulator", _emulators)
    what = "emulators alone, as many as in the vector environment, in turn"
    yield "emulators-in-turn", Measure(what, steps, "emulator", _in_turn)
    for kind in ("ram", "pixels"):
        what = f"vector environment, {kind}"
        yield f"vector-{kind}", Measure(f"{what}, one process", steps, "emulator", partial(_vector, kind, False))
        yield f"workers-{kind}", Measure(f"{what}, {count} workers", steps, "emulators", partial(_vector, kind, True))
    yield "atari-vector", Measure(f"ale_py's AtariVectorEnv, {count} threads", steps, "workers-pixels", atari_vector)
    yield "gym-async", Measure("Gymnasium's AsyncVectorEnv, AtariPreprocessing", steps, "workers-pixels", gym_async)
    for kind in ("ram", "pixels"):
        yield f"restore-{kind}", Measure(f"restore a snapshot, {kind}", "restores", None, partial(_restore, kind))
        yield f"start-{kind}", Measure(f"restore and replay to a start, {kind}", "starts", None, partial(_start, kind))
        episodes, alone = f"{EPISODE} agent steps from a start, {kind}", f"steps-{kind}"
        yield alone, Measure(f"{kind}, one simulator, no starts", steps, None, partial(_steps, kind, None))
        yield f"episodes-{kind}", Measure(episodes, steps, alone, partial(_steps, kind, CACHED_STARTS))
        yield (
            f"episodes-replayed-{kind}",
            Measure(f"{episodes}, never kept", steps, alone, partial(_steps, kind, 0)),
        )
        yield f"forward-{kind}", Measure(f"policy decides, {kind}", "samples", None, partial(_forward, kind))
        yield f"update-{kind}", Measure(f"policy learns, {kind}", "samples", None, partial(_update, kind))
        what, whole = f"training, {kind}", f"train-{kind}"
        yield whole, Measure(f"{what}, one process", steps, "emulator", partial(_train, kind, True, False))
        yield (
            f"{whole}-without-rnd",
            Measure(f"{what}, one process, no RND", steps, "emulator", partial(_train, kind, False, False)),
        )
        yield f"{whole}-ranks", Measure(f"{what}, 2 ranks", steps, whole, partial(_train_ranks, kind))
        yield (
            f"{whole}-workers",
            Measure(f"{what}, {count} workers and a learner", steps, whole, partial(_train, kind, True, True)),
        )
        yield f"sb3-{kind}", Measure(f"SB3's PPO, {kind}, no RND", steps, f"{whole}-without-rnd", partial(sb3, kind))
    yield "store-open", Measure("open a demo file and list it", "files", None, _store_open)
    yield "store-fetch", Measure("read a demo", "demos", None, _store_fetch)
    yield "store-append", Measure("append a demo to a file", "demos", None, _store_append)
    yield "curriculum", Measure("sample, record, advance after a million", "outcomes", None, _curriculum)


MEASURES: dict[str, Measure] = dict(_measures())
