"""Which processes and devices a training uses, and that its networks work on another device than the CPU."""

import platform
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from demo_curriculum.errors import UsageError
from demo_curriculum.moments import Sample
from demo_curriculum.rnd import RandomNetworkDistillation
from demo_curriculum.training.config import TrainConfig
from demo_curriculum.training.machine import choose_device, choose_processes
from demo_curriculum.training.policy import Policy
from demo_curriculum.training.ppo import ppo_losses
from demo_curriculum.training.returns import gae
from demo_curriculum.training.rollout import Rollout, Standing


@pytest.mark.parametrize(
    ("given", "envs", "cores", "gpus", "expected"),
    [
        (("auto", "auto"), 32, 2, 0, (2, 0)),
        (("auto", "auto"), 32, 1, 0, (1, 0)),
        (("auto", "auto"), 32, 12, 0, (8, 0)),
        (("auto", "auto"), 7, 4, 0, (1, 0)),
        (("auto", 0), 32, 4, 0, (4, 0)),
        (("auto", 3), 32, 4, 0, (1, 3)),
        ((2, "auto"), 32, 4, 0, (2, 0)),
        (("auto", "auto"), 32, 16, 1, (1, 16)),
        (("auto", "auto"), 16, 16, 1, (1, 8)),
        (("auto", "auto"), 64, 16, 4, (4, 4)),
        (("auto", "auto"), 1, 16, 1, (1, 0)),
        ((2, 3), 32, 16, 4, (2, 3)),
    ],
)
def test_processes_by_hand(
    given: tuple[object, object], envs: int, cores: int, gpus: int, expected: tuple[int, int]
) -> None:
    assert choose_processes(*given, envs=envs, fits=lambda size: envs % size == 0, cores=cores, gpus=gpus) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(("ranks", "workers"), [(0, "auto"), (-1, 0), (1, -1)])
def test_numbers_out_of_range_are_refused(ranks: int, workers: int) -> None:
    with pytest.raises(UsageError, match="must be at least"):
        choose_processes(ranks, workers, envs=8, fits=lambda size: True, cores=2, gpus=0)


def test_ranks_are_as_many_as_can_share_the_sequences() -> None:
    config = TrainConfig(memory=800, sequence=128, burn_in=64)
    # 32 sequences: 16 for each of two ranks are one a minibatch, 8 for each of four are too few.
    assert [config.shared_by(size) for size in (1, 2, 3, 4)] == [True, True, False, False]
    assert choose_processes("auto", "auto", envs=32, fits=config.shared_by, cores=16, gpus=0) == (2, 0)


def test_a_gpu_is_for_pixels_and_each_rank_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto", pixels=True) == torch.device("cpu")
    with pytest.raises(UsageError, match="finds no GPU"):
        choose_device("cuda", pixels=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto", pixels=False) == choose_device("cpu", pixels=True) == torch.device("cpu")
    assert choose_device("cuda", pixels=False) == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert choose_device("auto", pixels=True) == torch.device("cuda", 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="is for machines without a GPU")
def test_a_gpu_that_is_missing_is_one_line() -> None:
    command = [sys.executable, "-m", "demo_curriculum", "train", "demos/montezuma-key.h5", "--run-dir=nowhere"]
    result = subprocess.run([*command, "--device=cuda"], capture_output=True, text=True, check=False)
    assert result.returncode == 2 and not Path("nowhere").exists()
    assert result.stderr.strip().splitlines()[-1].startswith("error: --device cuda: torch finds no GPU here")


@pytest.mark.parametrize("frame", [(128,), (84, 84)])
def test_everything_that_is_learned_stays_on_the_device(
    frame: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tensors on "meta" compute nothing, but refuse most operations with the CPU's, as a GPU's do."""
    monkeypatch.setattr("demo_curriculum.training.policy.fast_products", lambda device: nullcontext())
    monkeypatch.setattr("demo_curriculum.training.policy.product_dtype", lambda device: torch.float32)
    policy, rnd = Policy((4, *frame), 5, memory=8).to("meta"), RandomNetworkDistillation(frame).to("meta")
    with torch.device("meta"):
        observations = torch.zeros((6, 4, *frame), dtype=torch.uint8)
        slack, zeros, actions = torch.zeros(6), torch.zeros(6), torch.zeros(6, dtype=torch.int64)
        valid, rewards, ends = torch.ones(6, dtype=torch.bool), torch.zeros((3, 2)), torch.zeros((3, 2)).bool()
    begins = torch.tensor([True, False, False, True, False, False])
    prediction = policy(observations, slack, policy.at_reset(6), begins)
    losses = ppo_losses(prediction, actions, zeros, zeros, zeros, zeros, valid, clip=0.2)
    (losses.policy + losses.value - losses.entropy).backward()
    bonus, loss = rnd.bonus(observations[:, -1]), rnd.loss(observations[:, -1])
    loss.backward()
    sample = Sample.of(observations[:, -1])
    advantages = gae(rewards, rewards, rewards, ends, ends, gamma=0.9, lam=0.9)
    results = (*prediction, *losses, *sample, bonus, loss, advantages)
    assert {part.device.type for part in results} == {"meta"}
    gradients = [parameter.grad for parameter in (*policy.parameters(), *rnd.predictor.parameters())]
    assert all(gradient is not None and gradient.device.type == "meta" for gradient in gradients)
    with torch.device("meta"):
        standing = Standing(
            observations, slack, policy.at_reset(6), slack.int(), torch.zeros((6, 2), dtype=torch.int64)
        )
    rollout = Rollout.empty(3, standing)
    assert {part.device.type for part in vars(rollout).values() if isinstance(part, torch.Tensor)} == {"meta"}


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is glibc's way")
def test_memory_is_kept_for_the_next_minibatch() -> None:
    script = """
import resource, sys, torch
from demo_curriculum.training.config import TrainConfig
from demo_curriculum.training.machine import prepare_process
if sys.argv[1] == "kept":
    prepare_process()
def use():
    (torch.ones(12_000_000) + 1).sum()
for _ in range(10):
    use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = {
        way: int(subprocess.run([sys.executable, "-c", script, way], capture_output=True, text=True, check=True).stdout)
        for way in ("kept", "given back")
    }
    # Two pieces of 48 MB in each of ten rounds; pages may be huge ones, and the heap may still grow once or twice.
    assert 4 * faults["kept"] < faults["given back"] and faults["given back"] >= 10 * 48
