"""What is kept of the agent's own successes, and who learns from them."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from demo_curriculum.demo import Demo
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.playback import play_demo
from demo_curriculum.training import successes as module
from demo_curriculum.training.config import TrainConfig
from demo_curriculum.training.ranks import Ranks
from demo_curriculum.training.rollout import Rollout, Standing
from demo_curriculum.training.run import build_trainer, describe
from demo_curriculum.training.successes import Successes


def halves(demo: int, steps: NDArray[np.int64]) -> NDArray[np.float64]:
    """Starts before step 50 are tied in 20 % of the episodes, later ones in 70 %."""
    return np.where(steps < 50, 0.2, 0.7)


def rollout(first: int, ages: list[list[int]], began: list[list[int]]) -> Rollout:
    """Of environments side by side, each with its ages and where its episodes began; observations count from first."""
    steps, num_envs = len(ages[0]), len(ages)
    empty = torch.zeros((num_envs, 1, 1))
    nothing = torch.zeros(num_envs, dtype=torch.int32)
    made = Rollout.empty(steps, Standing(empty, nothing, torch.zeros((num_envs, 1)), nothing, torch.zeros(num_envs, 2)))
    made.observations[:, :, 0, 0] = first + torch.arange(steps)[:, None] + 1000 * torch.arange(num_envs)
    made.actions[:] = made.observations[:, :, 0, 0].long() + 1
    made.hidden[:] = made.observations[:, :, 0] + 0.5
    made.age[:] = torch.tensor(ages).T
    made.began[:, :, 1] = torch.tensor(began).T
    made.valid[:] = True
    return made


def test_tied_episodes_from_hard_starts_are_kept_from_their_beginning() -> None:
    kept = Successes(4, (1, 1), torch.float32, memory=1)
    # The first two environments are in the middle of an episode when the first rollout ends.
    first = rollout(0, [[0, 1, 2], [0, 1, 2], [0, 1, 2], [0, 1, 2]], [[7] * 3, [7] * 3, [60] * 3, [7] * 3])
    kept.take(first, halves)
    assert len(kept) == 0
    second = rollout(3, [[3, 4, 0], [3, 4, 0], [3, 4, 0], [3, 4, 0]], [[7, 7, 9], [7, 7, 9], [60, 60, 9], [7, 7, 9]])
    second.ended[1] = True
    second.tied[1] = torch.tensor([True, False, True, True])
    # The last one's simulator was lost.
    second.valid[1, 3] = False
    kept.take(second, halves)
    observations, actions, weights, hidden = kept.sample(500, halves, np.random.default_rng(0))
    assert len(kept) == 5 and set(observations.flatten().tolist()) == {0, 1, 2, 3, 4}
    assert torch.equal(actions.float(), observations.flatten() + 1)
    assert torch.equal(hidden, observations[:, 0] + 0.5)
    assert torch.allclose(weights, torch.tensor(0.8))
    # A start that is mastered by now counts less.
    _, _, weights, _ = kept.sample(10, lambda demo, steps: np.full(len(steps), 0.9), np.random.default_rng(0))
    assert torch.allclose(weights, torch.tensor(0.1))


def test_only_the_lead_is_kept_and_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CAPACITY", 100)
    kept = Successes(1, (1, 1), torch.float32, memory=1)
    for first in (0, 1000):
        episode = rollout(first, [list(range(70))], [[7] * 70])
        episode.ended[-1], episode.tied[-1] = True, True
        kept.take(episode, halves)
    # 64 of each, of which the second pushed out the first 28 of the first.
    observations, _, _, _ = kept.sample(5000, halves, np.random.default_rng(0))
    assert set(observations.flatten().tolist()) == set(range(28, 64)) | set(range(1000, 1064))


def chain_demo() -> Demo:
    simulator = make_simulator("LockedChain-30")
    return play_demo(simulator, simulator.keys.tolist(), origin="script")  # type: ignore[attr-defined]


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_kept_of_a_chain_are_its_keys(workers: int) -> None:
    demo = chain_demo()
    config = TrainConfig(envs=6, steps=32, minibatches=2, hidden=16, frame_skip=1, sticky=0.0)
    trainer = build_trainer(describe([demo], config), [demo], Ranks(), workers=workers)
    for _, report in zip(range(20), trainer.updates(), strict=False):
        assert report.outcomes
    assert trainer.successes is not None and len(trainer.successes) > 20
    # Any other action ends this game: a tied episode has none, and began where the demo had come to.
    count = len(trainer.successes)
    places = trainer.successes.observations[:count, -1].argmax(dim=1)
    assert trainer.successes.actions[:count].tolist() == demo.actions[places.numpy()].tolist()
    assert (places >= trainer.successes.starts[:count, 1]).all()


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, True),
        ({"successes": False}, False),
        ({"imitation": 0.0}, False),
        ({"rule": "rfcl"}, False),
        ({"reinforcement": False, "imitation": 1.0}, False),
        ({"rule": "rfcl", "imitation": 0.3}, True),
    ],
)
def test_who_teaches_itself(settings: dict[str, object], kept: bool) -> None:
    demo = chain_demo()
    config = TrainConfig(envs=6, steps=32, minibatches=2, hidden=16, frame_skip=1, **settings)  # type: ignore[arg-type]
    assert (build_trainer(describe([demo], config), [demo], Ranks()).successes is not None) == kept
    assert not config.teaches_itself((84, 84)), "pixels are too large"
