"""Several processes that train one policy: what they agree upon, kills, resumes, torchrun."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from demo_curriculum.errors import DemoCurriculumError, UsageError
from demo_curriculum.moments import RunningMoments, Sample
from demo_curriculum.progress.log import comparable, read_log
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.playback import play_demo
from demo_curriculum.store import write_demos
from demo_curriculum.training.checkpoint import checkpoints, load_checkpoint
from demo_curriculum.training.config import TrainConfig
from demo_curriculum.training.launch import launch
from demo_curriculum.training.ranks import Ranks
from demo_curriculum.training.run import build_trainer, describe

OPTIONS = ["--envs=16", "--steps=32", "--hidden=32", "--lr=1e-3", "--frame-skip=1", "--sticky=0"]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    simulator = make_simulator("LockedChain-80")
    path = tmp_path_factory.mktemp("demo") / "chain.h5"
    write_demos(path, [play_demo(simulator, simulator.keys.tolist(), origin="script")])  # type: ignore[attr-defined]
    return path


def command(demo: Path, folder: Path, *more: str, ranks: int = 2) -> list[str]:
    train = [sys.executable, "-m", "demo_curriculum", "train", str(demo), f"--run-dir={folder}", f"--ranks={ranks}"]
    return [*train, *OPTIONS, "--until-frontier=None", "--checkpoint-every=0.2s", *more]


def log(folder: Path) -> list[dict[str, Any]]:
    path = folder / "progress.jsonl"
    return read_log(path) if path.exists() else []


def updates(folder: Path) -> int:
    return sum(record["kind"] == "update" for record in log(folder))


@pytest.fixture(scope="module")
def uninterrupted(chain: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("run") / "whole"
    subprocess.run(command(chain, folder, "--agent-steps=20480"), check=False)
    return comparable(log(folder))


def collective(rank_data: list[list[float]]) -> dict[str, Any]:
    """What each method makes of different data at each rank."""
    ranks = Ranks.join()
    mine = torch.tensor(rank_data[ranks.rank])
    pooled = ranks.pool(Sample.of(mine[:, None]))
    layer = torch.nn.Linear(1, 1)
    # Adam's first step has the size of its rate, and its first moment is a tenth of the gradient.
    optimizer = torch.optim.Adam(layer.parameters(), lr=ranks.rank)
    torch.nn.init.constant_(layer.weight, 5.0)
    layer.weight.grad = torch.tensor([[ranks.rank + 1.0]])
    optimizer.step()
    ranks.average(layer, optimizer)

    def refuse() -> None:
        raise UsageError("refused at the first")

    try:
        ranks.from_first(refuse)
        refused = ""
    except UsageError as error:
        refused = str(error)
    result = {
        "gathered": ranks.gather(ranks.rank),
        "pooled": [part.item() for part in pooled],
        "mean": ranks.mean({"a": float(ranks.rank), "b": 4.0}),
        "weight": layer.weight.item(),
        "moment": optimizer.state[layer.weight]["exp_avg"].item(),
        "from_first": ranks.from_first(lambda: f"rank {ranks.rank}"),
        "refused": refused,
    }
    everywhere = ranks.gather(result)
    assert all(other == result for other in everywhere)
    ranks.close()
    return result


def test_what_ranks_agree_upon() -> None:
    data = [[1.0, 2.0, 6.0], [7.0], [-4.0, 0.0]]
    result = launch(3, collective, data)
    assert result is not None
    values = torch.tensor([value for part in data for value in part])
    squares = ((values - values.mean()) ** 2).sum().item()
    assert result["pooled"] == pytest.approx([6, values.mean().item(), squares])
    assert result["gathered"] == [0, 1, 2]
    assert result["mean"] == {"a": 1.0, "b": 4.0}
    assert result["weight"] == pytest.approx(5 - (0 + 1 + 2) / 3)
    assert result["moment"] == pytest.approx(0.1 * (1 + 2 + 3) / 3)
    assert result["from_first"] == "rank 0" and result["refused"] == "refused at the first"


def threads_after_close() -> tuple[int, int, int]:
    # Libraries of linear algebra may have threads of their own from the start.
    at_first = len(os.listdir("/proc/self/task"))
    ranks = Ranks.join()
    weight = torch.nn.Parameter(torch.zeros(3))
    weight.sum().backward()
    torch.optim.Adam([weight]).step()
    ranks.gather(1)
    before = len(os.listdir("/proc/self/task"))
    ranks.close()
    return at_first, before, len(os.listdir("/proc/self/task"))


def test_no_thread_of_a_rank_outlives_its_close() -> None:
    # One that lets go of its last tensor while the interpreter ends aborts the process.
    at_first, before, after = launch(2, threads_after_close)  # type: ignore[misc]
    assert before > at_first and after == at_first


def test_pooled_moments_are_those_of_everything() -> None:
    """As if one process had seen both halves."""
    first, second = torch.randn(40, 3) * 5 + 2, torch.randn(7, 3)
    moments, whole = RunningMoments((3,)), RunningMoments((3,))
    other = Sample.of(second)

    def pool(sample: Sample) -> Sample:
        both = torch.cat([first, second]).double()
        assert int(sample.number) == 40 and int(other.number) == 7
        return Sample.of(both)

    moments.update(first, pool)
    whole.update(torch.cat([first, second]))
    assert torch.equal(moments.mean, whole.mean) and torch.equal(moments.std, whole.std)


def test_two_ranks_climb_and_the_same_seed_gives_the_same_log(
    chain: Path, uninterrupted: list[dict[str, Any]], tmp_path: Path
) -> None:
    subprocess.run(command(chain, tmp_path / "again", "--agent-steps=20480"), check=False)
    assert comparable(log(tmp_path / "again")) == uninterrupted
    moves = [record for record in uninterrupted if record["kind"] == "move"]
    assert moves and moves[-1]["after"] < moves[0]["before"]
    last = [record for record in uninterrupted if record["kind"] == "update"][-1]
    assert (last["agent_steps"], last["update"]) == (20480, 40), "both ranks' steps count"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_and_resumed_equals_uninterrupted(
    chain: Path, uninterrupted: list[dict[str, Any]], tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "run"
    process = subprocess.Popen(
        command(chain, folder, "--agent-steps=20480"), stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    while updates(folder) < 5:
        assert process.poll() is None
        time.sleep(0.01)
    # As a terminal does it, to all processes at once.
    os.killpg(process.pid, number)
    output, _ = process.communicate(timeout=60)
    assert updates(folder) < 40, "it was stopped in the middle"
    if number != signal.SIGKILL:
        assert process.returncode == 130 and "interrupted" in output
        assert log(folder)[-1]["reason"] == "interrupted"
    subprocess.run(command(chain, folder, "--agent-steps=20480"), check=False)
    assert comparable(log(folder)) == uninterrupted


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_rank_that_dies_is_started_again_from_the_last_checkpoint(
    chain: Path, uninterrupted: list[dict[str, Any]], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    process = subprocess.Popen(command(chain, folder, "--agent-steps=20480"), stdout=subprocess.PIPE, text=True)
    while updates(folder) < 5:
        assert process.poll() is None
        time.sleep(0.01)
    ranks = [child for child in children(process.pid) if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()]
    assert len(ranks) == 2
    os.kill(ranks[1], signal.SIGKILL)
    process.communicate(timeout=120)
    assert process.returncode == 1, "the agent steps came before the frontier"
    assert any(record["kind"] == "resume" for record in log(folder))
    assert comparable(log(folder)) == uninterrupted


def test_a_run_goes_on_with_another_number_of_ranks(chain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    for ranks, steps in ((2, 5120), (4, 10240), (1, 15360)):
        subprocess.run(command(chain, folder, f"--agent-steps={steps}", ranks=ranks), check=False)
        newest = load_checkpoint(checkpoints(folder / "checkpoints")[-1])["trainer"]
        assert newest["agent_steps"] == steps
        assert [len(part["env"]["envs"]) for part in newest["ranks"]] == [16 // ranks] * ranks
    records = [record for record in log(folder) if record["kind"] == "update"]
    assert [record["update"] for record in records] == list(range(1, 31))


def test_torchrun_starts_ranks_too(chain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
    train = command(chain, folder, "--agent-steps=2048")[2:]
    result = subprocess.run([*torchrun, *train], check=False, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    newest = load_checkpoint(checkpoints(folder / "checkpoints")[-1])["trainer"]
    assert len(newest["ranks"]) == 2 and newest["agent_steps"] == 2048


@pytest.fixture
def machines() -> Iterator[list[str]]:
    """Two network namespaces with one address each, 10.77.0.1 and 10.77.0.2, and a cable between them."""
    names = [f"demo-{os.getpid()}-{index}" for index in range(2)]
    steps = [f"netns add {names[0]}", f"netns add {names[1]}"]
    steps.append(f"link add cable netns {names[0]} type veth peer name cable netns {names[1]}")
    for index, name in enumerate(names, start=1):
        steps += [f"-n {name} addr add 10.77.0.{index}/24 dev cable"]
        steps += [f"-n {name} link set {link} up" for link in ("lo", "cable")]
    try:
        for step in steps:
            done = subprocess.run(["ip", *step.split()], check=False, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"no network namespaces here: {done.stderr.strip()}")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ip") is None, reason="needs iproute2")
def test_two_machines_train_as_two_ranks_of_one(
    chain: Path, uninterrupted: list[dict[str, Any]], machines: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    processes = []
    for index, name in enumerate(machines):
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
        torchrun += ["--rdzv-backend=c10d", "--rdzv-endpoint=10.77.0.1:29500", f"--local-addr=10.77.0.{index + 1}"]
        # Machines recognise themselves by their names, which namespaces share.
        torchrun += [f"--rdzv-conf=is_host={int(index == 0)}", "-m"]
        train = command(chain, folder, "--agent-steps=20480")[2:]
        environment = {**os.environ, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", "GLOO_SOCKET_IFNAME": "cable"}
        started = subprocess.Popen(
            ["ip", "netns", "exec", name, *torchrun, *train], env=environment, stderr=subprocess.PIPE, text=True
        )
        processes.append(started)
    for started in processes:
        _, errors = started.communicate(timeout=120)
        assert started.returncode == 0, errors
    assert comparable(log(folder)) == uninterrupted


def test_envs_that_cannot_be_shared_are_refused_in_one_line(chain: Path, tmp_path: Path) -> None:
    result = subprocess.run(command(chain, tmp_path / "run", ranks=3), check=False, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.strip().splitlines()[-1].startswith("error: 16 envs of 32 steps")


def fail() -> None:
    raise DemoCurriculumError("one clear line")


def test_an_error_of_the_ranks_is_raised_once() -> None:
    with pytest.raises(DemoCurriculumError, match="one clear line"):
        launch(2, fail)


def test_ranks_begin_with_one_policy_and_play_differently(chain: Path) -> None:
    from demo_curriculum.store import read_demos

    demos = read_demos(chain)
    config = TrainConfig(envs=8, steps=8, minibatches=2, hidden=16, frame_skip=1)
    run = describe(demos, config)
    trainers = [build_trainer(run, demos, Ranks(rank, 2)) for rank in range(2)]
    one, two = (trainer.policy.state_dict() for trainer in trainers)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert [trainer.env.num_envs for trainer in trainers] == [4, 4]
    assert trainers[0].generator.initial_seed() != trainers[1].generator.initial_seed()
    seeds = [json.dumps(env.env.np_random.bit_generator.state) for trainer in trainers for env in trainer.env.envs]
    assert len(set(seeds)) == 8
