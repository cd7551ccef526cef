from pathlib import Path

import numpy as np
import pytest
import torch

from demo_curriculum.curriculum import Move
from demo_curriculum.curriculum.adaptive import AdaptiveCurriculum
from demo_curriculum.envs.stage import append_stage
from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.playback import play_demo
from demo_curriculum.store import read_demos
from demo_curriculum.training.config import TrainConfig
from demo_curriculum.training.ranks import Ranks
from demo_curriculum.training.run import build_trainer, describe, restore_policy
from demo_curriculum.training.stall import Left
from demo_curriculum.training.trainer import Trainer

DEMOS = Path(__file__).parents[2] / "demos"


def chain_trainer(**options: object) -> Trainer:
    simulator = make_simulator("LockedChain-30")
    demo = play_demo(simulator, simulator.keys.tolist(), origin="script")  # type: ignore[attr-defined]
    settings = {"envs": 5, "steps": 16, "minibatches": 2, "hidden": 16, "frame_skip": 1, "sticky": 0.0, **options}
    config = TrainConfig(**settings)  # type: ignore[arg-type]
    return build_trainer(describe([demo], config), [demo], Ranks())


def test_values_follow_the_episode_and_not_the_next_one() -> None:
    trainer = chain_trainer()
    rollout = trainer._collect()
    ended = rollout.ended.nonzero()
    assert len(ended) == len(rollout.outcomes) == len(rollout.final_observations) > 10
    next_ext, next_int = trainer._next_values(rollout)
    finals = zip(rollout.final_observations, rollout.final_slack, ended.tolist(), strict=True)
    for final, slack, (step, env) in finals:
        expected = trainer.policy(final[None], slack[None], trainer.policy.at_reset(1))
        assert torch.isclose(next_ext[step, env], expected.value_ext[0], atol=1e-5)
        assert torch.isclose(next_int[step, env], expected.value_int[0], atol=1e-5)
        assert torch.equal(rollout.next_frames[step, env], final[-1])
    hidden = rollout.hidden.flatten(0, 1)
    met = trainer.policy(rollout.observations.flatten(0, 1), rollout.slack.flatten(), hidden)
    assert torch.allclose(rollout.values_ext.flatten(), met.value_ext, atol=1e-5)
    assert torch.allclose(rollout.values_int.flatten(), met.value_int, atol=1e-5)
    assert rollout.values_ext.std() > 0.01 and not torch.allclose(rollout.values_ext, rollout.values_int, atol=0.01)
    going_on = ~rollout.ended[:-1]
    assert torch.equal(next_ext[:-1][going_on], rollout.values_ext[1:][going_on])
    assert torch.equal(rollout.next_frames[:-1][going_on], rollout.observations[1:, :, -1][going_on])


def test_one_update_reports_and_counts() -> None:
    trainer = chain_trainer()
    report = next(trainer.updates())
    assert (report.update, report.agent_steps) == (1, 80)
    assert report.frames == trainer.env.frames >= 80
    assert {"train/policy", "train/imitation", "rnd/bonus", "rnd/loss", "train/explained_variance"} <= set(
        report.metrics
    )


def test_the_demo_seeds_the_statistics() -> None:
    trainer = chain_trainer()
    assert trainer.rnd is not None
    # The agent is at each of the 31 places once in the demo.
    assert torch.allclose(trainer.rnd.moments.mean, torch.full((31,), 1 / 31, dtype=torch.float64))
    assert int(trainer.rnd.moments.count) == 31


@pytest.mark.parametrize(
    ("entry", "options", "hidden"),
    [(0, {}, False), (0, {"clocks": False}, True), (109, {}, True), (109, {"inert": True}, False)],
)
def test_neither_policy_nor_bonus_see_the_clock_and_what_is_inert(
    entry: int, options: dict[str, bool], hidden: bool
) -> None:
    (demo,) = read_demos(DEMOS / "montezuma-door.h5")
    config = TrainConfig(envs=4, steps=16, minibatches=2, **options)
    trainer = build_trainer(describe([demo], config), [demo], Ranks())
    next(trainer.updates())
    policy, rnd = trainer.policy, trainer.rnd
    assert rnd is not None
    now = torch.from_numpy(append_stage(demo.observations[[96, 100]], 1))[None]
    other = now.clone()
    # The frame counter of Montezuma's Revenge, or a byte of its sound; the latest and its change alike.
    other[0, 0, entry] += 7
    other[0, 1, entry] += 100
    slack, memory = torch.zeros(1), policy.at_reset(1)
    alike = [
        torch.equal(policy(now, slack, memory).logits, policy(other, slack, memory).logits),
        torch.equal(policy(now, slack, memory).value_ext, policy(other, slack, memory).value_ext),
        # Which the bonus is, but for its limits.
        torch.equal(rnd.loss(now[:, -1]), rnd.loss(other[:, -1])),
    ]
    assert alike == [hidden] * 3
    told = now.clone()
    told[0, :, -1] = 0
    assert not torch.equal(policy(now, slack, memory).logits, policy(told, slack, memory).logits), "its stage"
    assert torch.equal(rnd.loss(now[:, -1]), rnd.loss(told[:, -1])), "nothing is new by the stage alone"
    other[0, :, 42] += 1
    assert not torch.equal(policy(now, slack, memory).logits, policy(other, slack, memory).logits), "where it stands"


def test_the_logits_scale_moves_as_far_as_all_is_climbed(monkeypatch: pytest.MonkeyPatch) -> None:
    def scale(climbing: float, **options: object) -> float:
        monkeypatch.setattr(AdaptiveCurriculum, "climbing", climbing)
        updates = chain_trainer(**options).updates()
        assert next(updates).metrics["train/logit_scale"] == 1.0, "its rate is not known yet"
        return next(updates).metrics["train/logit_scale"]

    assert scale(1.0) == 1.0
    # 8 gradient steps of about 1e-3 each at most.
    assert 0 < abs(scale(0.0) - 1.0) < 0.01
    assert abs(scale(0.9) - 1.0) < 0.2 * abs(scale(0.0) - 1.0)
    assert scale(0.0, reinforcement=False, rnd=False) == pytest.approx(1.0, abs=1e-4), "imitation does not move it"


def test_what_is_switched_off_is_not_there() -> None:
    trainer = chain_trainer(rnd=False, imitation=0.0)
    metrics = next(trainer.updates()).metrics
    assert not [name for name in metrics if name.startswith("rnd/") or name == "train/imitation"]


def test_cloning_learns_the_demo_and_nothing_of_rewards() -> None:
    trainer = chain_trainer(rnd=False, imitation=1.0, reinforcement=False, rule="reset", lr=0.01)
    critic = [weight.clone() for weight in trainer.policy.critic.parameters()]
    updates = trainer.updates()
    reports = [next(updates) for _ in range(12)]
    assert all(torch.equal(a, b) for a, b in zip(critic, trainer.policy.critic.parameters(), strict=True))
    first, last = (report.metrics["train/imitation"] for report in (reports[0], reports[-1]))
    assert last < 0.2 * first
    # All episodes from the reset.
    assert {outcome.start.step for report in reports for outcome in report.outcomes} == {0}


def test_without_reward_or_advantage_a_bonus_alone_moves_the_policy() -> None:
    changes = {}
    for weight in (0.0, 1.0):
        trainer = chain_trainer(bonus_weight=weight, imitation=0.0, entropy=0.0)
        before = trainer.policy.actor.weight.clone()  # type: ignore[operator]
        rollout = trainer._collect()
        rollout.rewards.zero_()
        zeros = torch.zeros_like(rollout.rewards)
        trainer._improve_policy(rollout, zeros, torch.randn_like(zeros))
        changes[weight] = (trainer.policy.actor.weight - before).abs().max().item()  # type: ignore[operator]
    assert changes[1.0] > changes[0.0]
    assert changes[0.0] == 0.0


def test_values_know_the_slack_and_actions_do_not() -> None:
    policy = chain_trainer().policy
    observations = torch.eye(31, dtype=torch.uint8)[:4, None].repeat(1, 2, 1)
    late, early = (policy(observations, torch.full((4,), slack), policy.at_reset(4)) for slack in (3, 300))
    assert torch.equal(late.logits, early.logits)
    assert (late.value_ext != early.value_ext).all() and (late.value_int != early.value_int).all()


def test_after_a_cut_what_is_left_is_counted_anew() -> None:
    trainer = chain_trainer()
    updates = trainer.updates()
    next(updates)
    for reason, tried, still in (("advance", 1, 8), ("cut", 0, 0)):
        trainer.stall.best, trainer.stall.tried = (0, 0, 100, 100), 1
        trainer.entropy.least, trainer.entropy.still = Left(0, 0), 7
        trainer.curriculum.advance = lambda: [Move(0, 20, 9, reason, 0.1, 128, 10)]  # type: ignore[method-assign, arg-type] # noqa: B023
        next(updates)
        assert (trainer.stall.tried, trainer.entropy.still) == (tried, still)


def test_what_takes_values_far_apart_is_seen_as_waves() -> None:
    (demo,) = read_demos(DEMOS / "montezuma-door.h5")
    policy = build_trainer(describe([demo], TrainConfig(envs=4, steps=16)), [demo], Ranks()).policy
    seen, wide = policy.body.moments.seen, policy.body.wide
    assert isinstance(seen, torch.Tensor) and isinstance(wide, torch.Tensor)
    # The frame counter, and where player and skull are; not the room, of which there is one.
    assert {0, 42, 43, 47} <= set(wide.tolist()) <= set(seen.tolist())
    assert 3 not in wide.tolist()
    assert all(int(np.ptp(demo.observations[:, entry])) >= 16 for entry in wide)
    # Marks of 0 and 1, or floats, are none.
    assert chain_trainer().policy.body.wide is None


def test_a_saved_policy_sees_what_it_saw_and_another_is_refused() -> None:
    (demo,) = read_demos(DEMOS / "montezuma-door.h5")
    run = describe([demo], TrainConfig(envs=4, steps=16, minibatches=2))
    trainer, simulator = build_trainer(run, [demo], Ranks()), make_simulator("ALE/MontezumaRevenge-v5")
    saved = trainer.policy.state_dict()
    now = torch.from_numpy(append_stage(demo.observations[[96, 100]], 1))[None]
    arguments = (now, torch.zeros(1), trainer.policy.at_reset(1))
    assert torch.equal(restore_policy(run, simulator, saved)(*arguments).logits, trainer.policy(*arguments).logits)
    for seen in (torch.tensor([0, 128]), torch.tensor([-1]), torch.tensor([[0]]), torch.tensor([0.0])):
        for name in ("body.moments.seen", "body.wide"):
            with pytest.raises(DemoCurriculumError, match="sees entries"):
                restore_policy(run, simulator, saved | {name: seen})
    with pytest.raises(DemoCurriculumError, match="another version"):
        restore_policy(run, simulator, saved | {"body.moments.seen": torch.tensor([0, 1])})
    with pytest.raises(DemoCurriculumError, match="another version"):
        restore_policy(run, simulator, {name: saved[name] for name in saved if name != "body.moments.seen"})
