"""Entropy control, demo pairs, observation memory, config: small parts of the trainer."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from demo_curriculum.clocks import find_clocks
from demo_curriculum.curriculum import AdaptiveCurriculum, Span, Timeline
from demo_curriculum.demo import Outcome, Start
from demo_curriculum.errors import DemoCurriculumError, UsageError
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.playback import play_demo
from demo_curriculum.store import read_demos
from demo_curriculum.training.config import TrainConfig
from demo_curriculum.training.entropy import EntropyControl
from demo_curriculum.training.imitation import DemoPairs, Teachers, agent_actions
from demo_curriculum.training.learning_rate import LearningRateControl, optimizer_of, tied_from_reset
from demo_curriculum.training.memory import ObservationMemory
from demo_curriculum.training.policy import Policy
from demo_curriculum.training.run import describe, recipe_for
from demo_curriculum.training.stall import Left
from demo_curriculum.training.successes import Successes
from demo_curriculum.training.warmup import WarmUp

DEMOS = Path(__file__).parents[2] / "demos"


def test_a_policy_sees_the_entries_it_was_given_and_no_others() -> None:
    policy = Policy((2, 4), 3, seen=torch.tensor([1, 2]))
    # Mean 3 and standard deviation 2 of each entry.
    policy.observe(torch.tensor([[1] * 4, [5] * 4], dtype=torch.uint8))
    inputs: list[torch.Tensor] = []
    policy.body.first.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    policy(torch.tensor([[[4, 3, 9, 4], [6, 5, 3, 6]]], dtype=torch.uint8), torch.zeros(1), policy.at_reset(1))
    # Whitened, and how much they have changed.
    assert inputs[0].tolist() == [[1.0, 0.0, 1.0, -3.0]]


def test_published_rules_and_raw_rewards_know_of_no_landmarks() -> None:
    chain = make_simulator("LockedChain-120")
    demo = play_demo(chain, chain.keys.tolist(), origin="script")
    # Another wall at each forty doors.
    demo = replace(demo, observations=np.repeat([[0.0] * 9, [1.0] * 9, [2.0] * 9], [40, 40, 41], axis=0))
    for config, expected in (
        (TrainConfig(), [40, 80]),
        (TrainConfig(reward="sign"), [40, 80]),
        (TrainConfig(reward="raw"), []),
        (TrainConfig(rule="openai"), []),
        (TrainConfig(rule="uniform", reward="sign"), []),
    ):
        (found,) = recipe_for(describe([demo], config), [demo]).landmarks
        assert [landmark.step for landmark in found] == expected
    (found,) = recipe_for(describe([demo], TrainConfig()), [demo], torch.tensor([2, 7])).landmarks
    assert [landmark.entries.tolist() for landmark in found] == [[2, 7]] * 2


def test_wide_entries_are_seen_as_waves_too() -> None:
    policy = Policy((1, 4), 3, seen=torch.tensor([0, 2, 3]), wide=torch.tensor([0, 2]))
    inputs: list[torch.Tensor] = []
    policy.body.first.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    policy(torch.tensor([[[4, 9, 72, 1]]], dtype=torch.uint8), torch.zeros(1), policy.at_reset(1))
    # A sixteenth of 64 and a quarter of 16; an eighth more than 64, and four times 16 and a half.
    expected = [0.38268, 1.0, 0.92388, 0.0, 0.70711, 0.0, 0.70711, -1.0]
    assert inputs[0][0, 3:].tolist() == pytest.approx(expected, abs=1e-4)


def test_at_each_stage_a_policy_sees_what_matters_there() -> None:
    relevant = torch.tensor([[True, False, True], [False, True, True]])
    policy = Policy((2, 5), 3, seen=torch.tensor([0, 2, 3]), wide=torch.tensor([0, 2]), stages=2, relevant=relevant)
    policy.observe(torch.tensor([[1] * 5, [5] * 5], dtype=torch.uint8))
    inputs: list[torch.Tensor] = []
    policy.body.first.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    seen = torch.tensor([[[4, 3, 9, 4, stage], [6, 5, 4, 6, stage]] for stage in (0, 1)], dtype=torch.uint8)
    policy(seen, torch.zeros(2), policy.at_reset(2))

    # Entries 0, 2 and 3 whitened, how much they have changed, and the four waves of 0 and of 2.
    def waves(value: int) -> list[float]:
        angles = [2 * math.pi * value / period for period in (64, 16)]
        return [*map(math.sin, angles), *map(math.cos, angles)]

    first, second = inputs[0].tolist()
    assert first == pytest.approx([1.5, 0, 1.5, 1.0, 0, 1.0, *waves(6), *[0] * 4], abs=1e-5)
    assert second == pytest.approx([0, 0.5, 1.5, 0, -2.5, 1.0, *[0] * 4, *waves(4)], abs=1e-5)


def test_entropy_weight_rises_only_while_stalled_and_collapsed() -> None:
    control = EntropyControl(0.01, floor=0.3, patience=3, rate=2.0, most=10.0)
    for entropy, frontier in ((0.1, 100), (0.1, 100), (0.1, 140)):
        control.update(entropy, Left(0, frontier), 1.0)
    assert control.weight == 0.01, "not stalled for long enough"
    for frontier in (120, 100):
        control.update(0.1, Left(0, frontier), 1.0)
    assert control.weight == pytest.approx(0.04), "to and fro is no progress"
    for _ in range(9):
        control.update(0.1, Left(0, 100), 1.0)
    assert control.weight == pytest.approx(0.1), "bounded"
    control.update(0.9, Left(0, 100), 1.0)
    assert control.weight == pytest.approx(0.05), "no longer collapsed"
    control.update(0.1, Left(0, 99), 1.0)
    assert control.weight == pytest.approx(0.025), "earlier than ever"
    for _ in range(9):
        control.update(0.1, Left(0, 99), 0.0)
    assert control.weight == 0.01, "all is climbed, so it is sure for a reason"
    control.update(0.1, Left(0, 99), 0.1)
    assert control.weight == pytest.approx(0.02)
    other = EntropyControl(0.01)
    other.load_state_dict(control.state_dict())
    assert vars(other) | {"floor": 0.3, "patience": 3, "rate": 2.0} == vars(control)
    for entropy, share in ((0.6, 1.0), (0.3, 1.0), (0.1, 1 / 3), (0.0, 0.0)):
        other.update(entropy, Left(0, 99), 1.0)
        assert other.imitation_share == pytest.approx(share), "the surer, the less it imitates"


def test_agent_actions_are_the_most_frequent_of_the_next_demo_steps() -> None:
    actions = np.array([5, 5, 2, 2, 2, 7, 7, 7])
    assert agent_actions(actions, 4).tolist() == [5, 2, 2, 2, 7, 7, 7, 7]
    assert agent_actions(actions, 1).tolist() == actions.tolist()


def test_pairs_come_from_behind_the_frontier_with_their_stack_and_weight() -> None:
    simulator = make_simulator("LockedChain-40")
    demo = play_demo(simulator, simulator.keys.tolist(), origin="script")  # type: ignore[attr-defined]
    pairs = DemoPairs([demo, demo.trim(20)], stack=3, frame_skip=2)

    def success(index: int, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        return steps / 100 + index / 2

    observations, actions, weights, places = pairs.sample(
        4000, [Span(0, 30, 40), Span(1, 0, 20, 0.5)], success, np.random.default_rng(0)
    )
    steps = observations[:, -1].argmax(dim=1)
    assert observations.shape == (4000, 3, 41)
    assert torch.equal(observations[:, 0].argmax(dim=1), (steps - 4).clamp_min(0))
    expected = agent_actions(demo.actions, 2)[steps.numpy()]
    trimmed = agent_actions(demo.actions[:20], 2)
    second = steps.numpy() < 20
    assert (actions.numpy()[~second] == expected[~second]).all()
    assert (actions.numpy()[second] == trimmed[steps.numpy()[second]]).all()
    assert set(steps.tolist()) == set(range(30, 40)) | set(range(20))
    assert (places == np.stack([second, steps.numpy()], axis=1)).all()
    assert second.mean() == pytest.approx(2 / 3, abs=0.03), "each stretch in proportion to its length"
    failing = 1 - steps / 100 - torch.from_numpy(second) / 2
    assert torch.allclose(weights, torch.where(torch.from_numpy(second), failing / 2, failing))


def test_the_demonstrators_clock_is_set_to_any_other_time() -> None:
    demo = read_demos(DEMOS / "montezuma-key.h5")[0]
    pairs = DemoPairs([demo], stack=2, frame_skip=4)
    clocks = find_clocks([demo.observations])
    assert clocks.nonzero()[0].tolist() == [0], "the console counts frames in its first byte"
    before = np.array(demo.observations)
    seen, _, _, places = pairs.sample(
        3000, [Span(0, 100, 200)], lambda index, steps: np.zeros(len(steps)), np.random.default_rng(0)
    )
    steps = places[:, 1]
    expected = np.stack([demo.observations[steps - 4], demo.observations[steps]], axis=1)
    assert (seen.numpy()[:, :, ~clocks] == expected[:, :, ~clocks]).all()
    wrong = (seen.numpy() - expected)[:, :, 0]
    assert (wrong[:, 0] == wrong[:, 1]).all(), "and goes on as it does"
    assert len(np.unique(wrong)) == 256 and np.bincount(wrong[:, 1], minlength=256).max() < 40
    assert (demo.observations == before).all()


def test_minibatches_of_pairs_are_mixed() -> None:
    simulator = make_simulator("LockedChain-40")
    demo = play_demo(simulator, simulator.keys.tolist(), origin="script")  # type: ignore[attr-defined]
    policy = Policy((1, 41), 4)
    pairs, warm_up = DemoPairs([demo], stack=1, frame_skip=1), WarmUp(policy, [demo], stack=1, frame_skip=1)
    teachers = Teachers(pairs, warm_up, None)

    class Halves(AdaptiveCurriculum):
        spans = [Span(0, 0, 10), Span(0, 30, 40)]  # type: ignore[assignment]  # noqa: RUF012

        def success(self, demo: int, steps: NDArray[np.int64]) -> NDArray[np.float64]:
            return steps / 100

    curriculum = Halves([Timeline(40)])
    drawn = list(teachers.lessons(8, 50, curriculum, np.random.default_rng(0), policy.device))
    assert len(drawn) == 8
    for observations, actions, weights, hidden in drawn:
        steps = observations[:, 0].argmax(dim=1)
        assert 10 < (steps < 10).sum() < 40, "of both spans"
        assert torch.allclose(weights, 1 - steps / 100) and hidden.shape == (50, 0)
        assert actions.tolist() == demo.actions[steps.numpy()].tolist()
    # Own successes come beside them and take no weight from them in the mean over all rows.
    own = Successes(1, (1, 41), torch.uint8, memory=0)
    own.added += 1
    joined = list(Teachers(pairs, warm_up, own).lessons(8, 50, curriculum, np.random.default_rng(0), policy.device))
    for alone, together in zip(drawn, joined, strict=True):
        assert len(together.actions) == 100 and together.weights[50:].tolist() == [2.0] * 50
        assert together.weights[:50].sum() / 100 == pytest.approx(float(alone.weights.mean()))
    rng, more = np.random.default_rng(0), Teachers(pairs, warm_up, own)
    for lesson in more.lessons(2, 50, curriculum, rng, policy.device, self_imitation=3.0):
        assert lesson.weights[50:].tolist() == [6.0] * 50 and lesson.weights[:50].max() <= 2.0
    assert not list(teachers.lessons(8, 0, curriculum, np.random.default_rng(0), policy.device))


def test_memory_forgets_the_oldest_first() -> None:
    memory = ObservationMemory(5, (1,), torch.uint8)
    memory.add(torch.tensor([[1], [2], [3]], dtype=torch.uint8))
    assert len(memory) == 3
    assert set(memory.sample(200, torch.Generator().manual_seed(0)).flatten().tolist()) == {1, 2, 3}
    memory.add(torch.tensor([[4], [5], [6], [7]], dtype=torch.uint8))
    assert sorted(memory.frames.flatten().tolist()) == [3, 4, 5, 6, 7]
    memory.add(torch.arange(10, 30, dtype=torch.uint8)[:, None])
    assert sorted(memory.frames.flatten().tolist()) == [25, 26, 27, 28, 29]


def test_configs_survive_json_and_refuse_nonsense() -> None:
    config = TrainConfig(seed=3, rule="openai", lr=1e-4)
    assert TrainConfig.from_json(config.to_json()) == config
    assert config.imitation_weight == 0.0 and TrainConfig().imitation_weight > 0
    assert TrainConfig(imitation=0.0).imitation_weight == 0.0
    with pytest.raises(DemoCurriculumError, match="lr should be float"):
        TrainConfig.from_json({**config.to_json(), "lr": "fast"})
    with pytest.raises(DemoCurriculumError, match="warp"):
        TrainConfig.from_json({**config.to_json(), "warp": 1})
    with pytest.raises(UsageError, match="jitter must be 0 or at least frame_skip"):
        TrainConfig(jitter=3)
    with pytest.raises(UsageError, match="sticky"):
        TrainConfig(sticky=1.0)
    with pytest.raises(UsageError, match="divisible"):
        TrainConfig(envs=3, steps=5, minibatches=4)


def test_the_learning_rate_follows_how_far_the_policy_moves() -> None:
    control = LearningRateControl(9e-4, climbing=0.01, settling=0.003)
    for kl, rate in ((0.02, 9e-4), (0.021, 6e-4), (0.5, 4e-4), (0.012, 4e-4), (0.006, 4e-4), (0.004, 6e-4)):
        control.update(kl, 0.25, 0, 1.0, 0.0)
        assert control.rate == pytest.approx(rate)
    for kl, rate in ((0.007, 4e-4), (0.004, 4e-4), (0.001, 6e-4)):
        control.update(kl, 0.25, 0, 0.0, 0.0)
        assert control.rate == pytest.approx(rate)
    # Half of the demos still climbed: as far from .01 as from .003 by ratio, .00548.
    for kl, rate in ((0.0111, 4e-4), (0.0109, 4e-4), (0.0028, 4e-4), (0.0027, 6e-4)):
        control.update(kl, 0.25, 0, 0.5, 0.0)
        assert control.rate == pytest.approx(rate)
    # Not yet sure: .375 nats are 1.5 times .25, and .00675 is 2.25 times .003; with 1 nat no more than .01.
    for kl, entropy, rate in (
        (0.0136, 0.375, 4e-4),
        (0.0134, 0.375, 4e-4),
        (0.0201, 1.0, 4e-4 / 1.5),
        (0.004, 1.0, 4e-4),
    ):
        control.update(kl, entropy, 0, 0.0, 1.0)
        assert control.rate == pytest.approx(rate)
    # Very sure, .1 nats: .0012 where the reset is always tied, .4 ** .5 of .003, .0019, where half as often, and all of
    # it where it never is. Under .01 nats no less than of so many, .00012.
    for kl, entropy, tied, rate in (
        (0.0025, 0.1, 1.0, 4e-4 / 1.5),
        (0.0023, 0.1, 1.0, 4e-4 / 1.5),
        (0.0039, 0.1, 0.5, 4e-4 / 1.5**2),
        (0.0037, 0.1, 0.5, 4e-4 / 1.5**2),
        (0.0061, 0.1, 0.0, 4e-4 / 1.5**3),
        (0.0059, 0.1, 0.0, 4e-4 / 1.5**3),
        (0.00025, 0.001, 1.0, 4e-4 / 1.5**4),
        (0.00023, 0.0, 1.0, 4e-4 / 1.5**4),
        (0.00005, 0.0, 1.0, 4e-4 / 1.5**3),
    ):
        control.update(kl, entropy, 0, 0.0, tied)
        assert control.rate == pytest.approx(rate)
    resumed = LearningRateControl(9e-4)
    resumed.load_state_dict(control.state_dict())
    for _ in range(5):
        resumed.update(0.0, 0.25, 0, 1.0, 0.0)
    assert resumed.rate == 9e-4, "never above what it began with"


def test_what_there_is_to_lose_is_tied_from_the_reset_with_every_demo() -> None:
    curriculum = AdaptiveCurriculum([Timeline(100, offset=9), Timeline(50)])
    for tied in (True, True, False, True):
        curriculum.record(Outcome(Start(0, -9, 100), 1.0, 9, tied, "tie" if tied else "lag"))
    assert tied_from_reset(curriculum) == 0.0, "nobody has tried the second"
    for tied in (True, False):
        curriculum.record(Outcome(Start(1, 0, 50), 1.0, 9, tied, "tie" if tied else "lag"))
    assert tied_from_reset(curriculum) == 0.5


def test_the_scale_of_the_logits_has_a_rate_of_its_own() -> None:
    policy = Policy((1, 41), 4)
    optimizer = optimizer_of(policy)
    weights, scale = optimizer.param_groups
    assert scale["params"] == [policy.log_scale]
    assert len(weights["params"]) + 1 == len(list(policy.parameters()))
    control = LearningRateControl(8e-4)
    control.set(optimizer, 1.0)
    assert (weights["lr"], scale["lr"]) == (8e-4, 0.0)
    for climbing, rate in ((1.0, 0.0), (0.25, 7.5e-4), (0.0, 1e-3)):
        control.update(0.001, 0.25, 0, climbing, 0.0)
        control.set(optimizer, 0.5)
        assert (weights["lr"], scale["lr"]) == (4e-4, pytest.approx(rate))
    control.rate = 2e-4
    control.set(optimizer, 0.5)
    assert weights["lr"] == 2e-4, "a factor bounds the rate"
    resumed = LearningRateControl(8e-4)
    resumed.load_state_dict(control.state_dict())
    resumed.set(optimizer, 1.0)
    assert (weights["lr"], scale["lr"]) == (2e-4, 1e-3)


def test_the_learning_rate_hastens_only_while_the_frontiers_move_fast() -> None:
    control = LearningRateControl(8e-4, climbing=0.02, settling=0.004)

    def hastens(left: int) -> bool:
        """Whether a divergence between both targets is as wanted."""
        control.rate = 8e-4
        control.update(0.02, 0.25, left, 1.0, 0.0)
        return control.rate == 8e-4

    # At a constant speed the mean over 50 updates is 50 times that behind: 3 % of 5000 are 3 an update.
    assert hastens(10_000)
    assert [hastens(left) for left in range(10_000, 4_999, -10)][-1]
    assert not [hastens(left) for left in range(5_000, 4_399, -1)][-1]
    assert not hastens(5_400), "what was brought back is no speed"
    assert [hastens(left) for left in range(5_400, 2_000, -10)][-1]
