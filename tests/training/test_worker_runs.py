"""Training whose simulators live in worker processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from demo_curriculum.envs import WorkerVectorEnv
from demo_curriculum.progress.log import comparable, read_log
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.playback import play_demo
from demo_curriculum.store import read_demos, write_demos
from demo_curriculum.training.config import TrainConfig
from demo_curriculum.training.ranks import Ranks
from demo_curriculum.training.run import build_trainer, describe
from demo_curriculum.training.trainer import Trainer

OPTIONS = ["--envs=16", "--steps=32", "--hidden=32", "--lr=1e-3", "--frame-skip=1", "--sticky=0"]
STEPS = 5120


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    simulator = make_simulator("LockedChain-80")
    path = tmp_path_factory.mktemp("demo") / "chain.h5"
    write_demos(path, [play_demo(simulator, simulator.keys.tolist(), origin="script")])  # type: ignore[attr-defined]
    return path


def command(demo: Path, folder: Path, workers: int = 2) -> list[str]:
    train = [sys.executable, "-m", "demo_curriculum", "train", str(demo), f"--run-dir={folder}", f"--workers={workers}"]
    return [*train, *OPTIONS, "--until-frontier=None", "--checkpoint-every=0.2s", f"--agent-steps={STEPS}"]


def log(folder: Path) -> list[dict[str, Any]]:
    path = folder / "progress.jsonl"
    return read_log(path) if path.exists() else []


def updates(folder: Path) -> int:
    return sum(record["kind"] == "update" for record in log(folder))


def chain_trainer(demo: Path, workers: int) -> Trainer:
    torch.set_num_threads(1)
    demos = read_demos(demo)
    config = TrainConfig(envs=8, steps=16, minibatches=2, hidden=16, frame_skip=1, sticky=0.0)
    return build_trainer(describe(demos, config), demos, Ranks(), workers=workers)


def test_the_number_of_workers_changes_nothing(chain: Path) -> None:
    trainers = [chain_trainer(chain, workers) for workers in (1, 2)]
    reports = [[next(trainer.updates()) for _ in range(4)] for trainer in trainers]
    for one, two in zip(*reports, strict=True):
        assert (one.outcomes, one.moves, one.metrics) == (two.outcomes, two.moves, two.metrics)
    assert any(report.outcomes for report in reports[0])
    for left, right in zip(*(trainer.policy.parameters() for trainer in trainers), strict=True):
        assert torch.equal(left, right)
    for trainer in trainers:
        trainer.env.close()


def test_nothing_is_learned_from_a_dead_worker_and_training_goes_on(chain: Path) -> None:
    trainer = chain_trainer(chain, 2)
    env = trainer.env
    assert isinstance(env, WorkerVectorEnv)
    next(trainer.updates())
    process = env.workers[1].process
    process.kill()
    process.join()
    with pytest.warns(RuntimeWarning, match="worker 1"):
        rollout = trainer._collect()
    lost = [place for rows in env.workers[1].rows for place in range(rows.start, rows.stop)]
    assert lost == [2, 3, 6, 7]
    assert not rollout.valid[0, lost].any() and rollout.valid.sum() == rollout.valid.numel() - 4
    assert rollout.ended[0, lost].all() and not rollout.terminated[0, lost].any()
    assert len(rollout.outcomes) == len(rollout.final_observations) - 4 == int(rollout.ended.sum()) - 4
    ended = rollout.ended.nonzero().tolist()
    for place in lost:
        final = rollout.final_observations[ended.index([0, place])]
        assert torch.equal(final, rollout.observations[0, place]), "the episode went no further"
    assert trainer._learn(rollout, episodes=len(rollout.outcomes))["train/policy"] == pytest.approx(0, abs=1)
    assert next(trainer.updates()).outcomes
    env.close()


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture(scope="module")
def uninterrupted(chain: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("run") / "whole"
    subprocess.run(command(chain, folder), check=False)
    return comparable(log(folder))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_stopped_and_resumed_equals_uninterrupted(
    chain: Path, uninterrupted: list[dict[str, Any]], tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "run"
    process = subprocess.Popen(command(chain, folder), stdout=subprocess.PIPE, text=True, start_new_session=True)
    while updates(folder) < 3:
        assert process.poll() is None
        time.sleep(0.01)
    workers = [child for child in children(process.pid) if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()]
    assert len(workers) == 2
    if number == signal.SIGKILL:
        process.kill()
    else:
        # As a terminal does it, to all processes at once.
        os.killpg(process.pid, number)
    output, _ = process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert process.returncode == 130 and "interrupted" in output
    assert updates(folder) < 10, "it was stopped in the middle"
    subprocess.run(command(chain, folder), check=False)
    assert comparable(log(folder)) == uninterrupted and len(uninterrupted) > 10
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
