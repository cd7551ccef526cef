"""Policies with a GRU: what they remember at a start, in acting, in learning and across a resume."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from demo_curriculum.demo import Demo, Start
from demo_curriculum.envs import SimulatorEnv
from demo_curriculum.errors import UsageError
from demo_curriculum.progress.film import Shot, _play
from demo_curriculum.simulators import Simulator, make_simulator
from demo_curriculum.simulators.playback import play_demo
from demo_curriculum.training import trainer as trainer_module
from demo_curriculum.training.checkpoint import load_checkpoint, save_checkpoint
from demo_curriculum.training.config import TrainConfig
from demo_curriculum.training.evaluate import Protocol, evaluate
from demo_curriculum.training.policy import Decision, Memory, Policy
from demo_curriculum.training.ranks import Ranks
from demo_curriculum.training.run import build_policy, build_trainer, describe
from demo_curriculum.training.sequences import Sequences
from demo_curriculum.training.trainer import Trainer
from demo_curriculum.training.warmup import WarmUp

ONE = torch.ones(1, dtype=torch.bool)


@pytest.fixture(autouse=True)
def exact_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products in bfloat16 depend on the size of the batch."""
    monkeypatch.setattr("demo_curriculum.training.precision.multiplies_bf16", lambda: False)
    torch.manual_seed(0)


def chain_demo(length: int) -> Demo:
    simulator = make_simulator(f"LockedChain-{length}")
    return play_demo(simulator, simulator.keys.tolist(), origin="script")  # type: ignore[attr-defined]


def chain_trainer(ranks: Ranks | None = None, workers: int = 0, **options: Any) -> Trainer:
    small = {"envs": 4, "steps": 16, "minibatches": 2, "hidden": 16, "frame_skip": 1, "sticky": 0.0, "memory": 6}
    small["sequence"] = 8
    config = TrainConfig(**{**small, **options})
    demos = [chain_demo(30)]
    return build_trainer(describe(demos, config), demos, ranks or Ranks(), workers=workers)


def test_one_step_of_the_memory_by_hand() -> None:
    memory = Memory(1, 1)
    for parameter, value in zip(memory.parameters(), ([[0.5], [1.0], [2.0]], [[1.0], [0.0], [1.0]]), strict=False):
        parameter.data = torch.tensor(value)
    reset, update = 1 / (1 + np.exp(-(0.5 * 1 + 1.0 * 0.5))), 1 / (1 + np.exp(-1.0))
    new = np.tanh(2.0 + reset * 0.5)
    after = memory(torch.tensor([[1.0]]), torch.tensor([[0.5]]))
    assert after.item() == pytest.approx((1 - update) * new + update * 0.5, abs=1e-6)


def test_sequences_are_what_step_after_step_gives_and_end_where_others_begin() -> None:
    memory = Memory(3, 5)
    features, hidden = torch.randn(9, 3, requires_grad=True), torch.randn(9, 5)
    begins = torch.tensor([1, 0, 1, 0, 0, 0, 1, 1, 0]).bool()
    after = memory(features, hidden, begins)
    state = hidden[0]
    for row in range(9):
        if begins[row]:
            state = hidden[row]
        state = memory(features[row : row + 1], state[None])[0]
        assert torch.allclose(after[row], state, atol=1e-6)
    after[5].sum().backward()
    assert features.grad is not None
    assert (features.grad.abs().sum(dim=1) > 0).tolist() == [False, False, True, True, True, True, False, False, False]


def blocks_demo(simulator: Simulator, lead: int, blocks: int) -> Demo:
    """Random actions for four demo steps each, after ``lead`` no-ops."""
    chosen = np.random.default_rng(lead).integers(simulator.action_count, size=blocks)
    return play_demo(simulator, [0] * lead + np.repeat(chosen, 4).tolist(), origin="script")


@pytest.mark.parametrize(("observation", "lead"), [("ram", 0), ("ram", 3), ("pixels", 0), ("pixels", 2)])
def test_warming_up_is_what_playing_the_demo_in_the_environment_leads_to(observation: str, lead: int) -> None:
    """Frame skip, stack and max-pooling included; the agent chooses what the demonstrator did."""
    simulator = make_simulator("ALE/MontezumaRevenge-v5", observation=observation)
    demo = blocks_demo(simulator, lead, 30)
    env = SimulatorEnv(make_simulator("ALE/MontezumaRevenge-v5", observation=observation), frame_skip=4, stack=3)
    policy = Policy(env.observation_space.shape, 18, hidden=8, cnn="small", memory=7)  # type: ignore[arg-type]
    policy.observe(torch.from_numpy(demo.observations))
    warm_up = WarmUp(policy, [demo], stack=3, frame_skip=4)
    env.reset(seed=0)
    observed = env.begin(demo, lead) if lead else env.reset()[0]
    hidden = policy.at_reset(1)
    for step in range(lead, len(demo), 4):
        assert torch.allclose(warm_up.states(np.array([[0, step]])), hidden, atol=1e-5), step
        hidden = policy.act(torch.from_numpy(observed[None]), hidden, torch.Generator()).hidden
        observed, *_ = env.step(int(demo.actions[step]))
    assert hidden.abs().max() > 0.05


def test_a_start_far_into_a_demo_has_the_stretch_before_as_history() -> None:
    demos = [chain_demo(5), chain_demo(1300)]
    # Only the second demo is looked at; they have different observations.
    policy = Policy((1, 1301), 4, hidden=8, memory=3)
    warm_up = WarmUp(policy, demos, stack=1, frame_skip=1)
    found = warm_up.states(np.array([[1, 515], [1, 0], [1, 1025], [0, -7], [1, 511]]))
    for row, (begin, step) in enumerate([(0, 515), (0, 0), (512, 1025), (0, 0), (0, 511)]):
        hidden = policy.at_reset(1)
        for seen in demos[1].observations[begin:step]:
            hidden = policy.follow(torch.from_numpy(seen[None, None]), hidden, ONE)
        assert torch.allclose(found[row], hidden[0], atol=1e-5)
    assert found[1].tolist() == found[3].tolist() == [0.0] * 3
    with torch.no_grad():
        policy.remember.gru.bias_ih_l0 += 1  # type: ignore[union-attr, operator]
    assert torch.equal(warm_up.states(np.array([[1, 515]]))[0], found[0]), "kept"
    warm_up.forget()
    assert (warm_up.states(np.array([[1, 515]]))[0] - found[0]).abs().max() > 0.01


def test_episodes_begin_with_what_the_demo_leads_to_and_go_on_with_what_they_saw() -> None:
    trainer = chain_trainer()
    begun: list[tuple[int, list[list[int]], list[bool]]] = []
    receive = trainer.env.receive

    def watch(group: int) -> Any:
        result = receive(group)
        begun.append((group, result[4]["starts"].tolist(), (result[2] | result[3]).tolist()))
        return result

    trainer.env.receive = watch  # type: ignore[method-assign]
    rollout = trainer._collect()
    checked = 0
    for step in range(trainer.steps - 1):
        _, starts, ended = begun[step]
        for env in range(4):
            now = rollout.hidden[step + 1, env]
            if ended[env]:
                assert torch.equal(now, trainer.warm_up.states(np.array([starts[env]]))[0])
                assert (now == 0).all() == (starts[env][1] == 0)
                assert rollout.age[step + 1, env] == 0
                checked += 1
            else:
                seen, before = rollout.observations[step, env][None], rollout.hidden[step, env][None]
                assert torch.allclose(trainer.policy.follow(seen, before, ONE)[0], now, atol=1e-6)
                assert rollout.age[step + 1, env] == rollout.age[step, env] + 1
    assert checked > 5
    assert len(rollout.final_hidden) == int(rollout.ended.sum())


@pytest.mark.parametrize(
    "options",
    [
        {"memory": 0},
        {"memory": 0, "soften": 5},
        {"soften": 5},
        {"sequence": 16},
        {"burn_in": 8},
        {"burn_in": 12},
        {"burn_in": 16, "sequence": 16, "soften": 5},
    ],
)
def test_what_is_learned_from_begins_with_the_probabilities_of_acting(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """The first minibatch's ratios are 1, also after updates in which the policy changed."""
    trainer = chain_trainer(lr=0.01, **options)
    with torch.no_grad():
        # So that what is remembered matters.
        trainer.policy.actor.weight *= 100  # type: ignore[operator]
    original, batches = trainer_module.ppo_losses, []

    def watch(prediction: Any, actions: Tensor, old: Tensor, *rest: Tensor, clip: float) -> Any:
        now = prediction.logits.log_softmax(dim=1).gather(1, actions[:, None])[:, 0]
        batches.append(((now - old).detach().abs(), rest[3]))
        return original(prediction, actions, old, *rest, clip=clip)

    monkeypatch.setattr(trainer_module, "ppo_losses", watch)
    for update in range(3):
        batches.clear()
        next(trainer.updates())
        difference, valid = batches[0]
        sequences = 32 // options.get("sequence", 8)
        assert len(valid) == 32 + (sequences * options.get("burn_in", 0) if update else 0)
        assert int(valid.sum()) == 32
        assert difference[valid].max() < 1e-4
        assert batches[-1][0][batches[-1][1]].max() > 1e-3, "it learns"


def test_softened_near_the_start_and_nowhere_else() -> None:
    policy = Policy((1, 4), 2, hidden=4)
    with torch.no_grad():
        policy.actor.weight.zero_()  # type: ignore[union-attr, operator]
        policy.actor.bias.copy_(torch.tensor([0.0, 2.0]))  # type: ignore[union-attr, operator]
    temperature = torch.tensor([1.0, 2.0]).repeat(50)
    decision = policy.act(torch.zeros(100, 1, 4), policy.at_reset(100), torch.Generator().manual_seed(0), temperature)
    for logit, rows in ((2.0, slice(0, None, 2)), (1.0, slice(1, None, 2))):
        expected = torch.tensor([1 / (1 + np.exp(logit)), 1 / (1 + np.exp(-logit))]).log().float()
        assert torch.allclose(decision.log_prob[rows], expected[decision.action[rows]])
    trainer = chain_trainer(frame_skip=4, soften=10)
    assert trainer._temperature(torch.tensor([0, 1, 2, 3, 4])).tolist() == [2.0, 2.0, 2.0, 1.0, 1.0]
    assert TrainConfig(rule="openai").softened_steps == 100 and TrainConfig().softened_steps == 0
    assert TrainConfig(rule="openai", soften=0).softened_steps == 0


def test_minibatches_of_single_rows_hold_each_once() -> None:
    batches = list(Sequences(3, 2, length=0, burn_in=0).minibatches(torch.ones(2, 3), 3, torch.Generator()))
    assert sorted(torch.cat([batch.rows for batch in batches]).tolist()) == list(range(6))
    assert all(batch.begins.all() and batch.learned.all() and len(batch.rows) == 2 for batch in batches)


def test_minibatches_of_sequences_come_behind_their_burn_in() -> None:
    """Two environments; three steps of burn-in before four of a rollout, in sequences of two."""
    age = torch.tensor([[5, 0], [6, 1], [0, 2], [1, 3], [2, 4], [3, 0], [0, 1]])
    sequences = Sequences(2, 4, length=2, burn_in=3)
    batches = list(sequences.minibatches(age, 4, torch.Generator()))
    found = {tuple(batch.rows.tolist()): batch for batch in batches}
    # Rows are numbered along the environments; those of the burn-in are 0 to 5.
    assert sorted(found) == [(0, 2, 4, 6, 8), (1, 3, 5, 7, 9), (4, 6, 8, 10, 12), (5, 7, 9, 11, 13)]
    assert all(batch.learned.tolist() == [False, False, False, True, True] for batch in batches)
    assert found[0, 2, 4, 6, 8].begins.tolist() == [True, False, True, False, False]
    assert found[4, 6, 8, 10, 12].begins.tolist() == [True, False, False, False, True]
    assert found[5, 7, 9, 11, 13].begins.tolist() == [True, False, False, True, False]


def test_the_burn_in_finds_the_hidden_state_of_the_policy_of_now() -> None:
    trainer = chain_trainer(burn_in=8, lr=0.01)
    # Until not all stand at a start, where there is nothing to be found anew.
    next(report for report in trainer.updates() if report.update > 20 or (trainer._standing.age > 0).any())
    standing, earlier = trainer._standing, trainer.sequences.earlier
    assert earlier is not None and earlier["observations"].shape[:2] == (8, 4)
    stored = earlier["hidden"].clone()
    refreshed = trainer.sequences.refresh(trainer.policy, standing)
    for env in range(4):
        hidden = stored[0, env][None]
        for step in range(8):
            if step and earlier["age"][step, env] == 0:
                hidden = stored[step, env][None]
            assert torch.allclose(earlier["hidden"][step, env], hidden[0], atol=1e-5)
            hidden = trainer.policy.follow(earlier["observations"][step, env][None], hidden, ONE)
        expected = standing.hidden[env] if standing.age[env] == 0 else hidden[0]
        assert torch.allclose(refreshed.hidden[env], expected, atol=1e-5)
    changed = (refreshed.hidden - standing.hidden).abs().amax(dim=1)
    assert (changed[standing.age > 0] > 1e-4).all() and len(changed[standing.age > 0]) > 0


@pytest.mark.parametrize("options", [{"memory": 0}, {"soften": 3}, {"burn_in": 8}])
def test_saved_and_loaded_it_goes_on_exactly(tmp_path: Path, options: dict[str, Any]) -> None:
    whole = chain_trainer(**options)
    for _ in range(2):
        next(whole.updates())
    resumed = chain_trainer(**options)
    resumed.load_state_dict(load_checkpoint(save_checkpoint(tmp_path, 2, whole.state_dict())))
    for _ in range(2):
        left, right = next(whole.updates()), next(resumed.updates())
        assert (left.metrics, left.outcomes) == (right.metrics, right.outcomes)
    assert all(torch.equal(*pair) for pair in zip(whole._standing, resumed._standing, strict=True))


def test_hidden_states_are_dealt_with_their_environments() -> None:
    two = [chain_trainer(Ranks(rank, 2), envs=8, burn_in=8) for rank in range(2)]
    for trainer in two:
        trainer.ranks = Ranks()
        next(trainer.updates())
    state = two[0].state_dict()
    state["ranks"] = [trainer._own_state() for trainer in two]
    one = chain_trainer(envs=8, burn_in=8)
    one.load_state_dict(state)
    assert torch.equal(one._standing.hidden, torch.cat([trainer._standing.hidden for trainer in two]))
    assert torch.equal(one._standing.age, torch.cat([trainer._standing.age for trainer in two]))
    again = chain_trainer(Ranks(1, 2), envs=8, burn_in=8)
    again.load_state_dict(one.state_dict())
    assert all(torch.equal(*pair) for pair in zip(again._standing, two[1]._standing, strict=True))
    earlier, known = again.sequences.earlier, two[1].sequences.earlier
    assert earlier is not None and known is not None
    assert all(torch.equal(earlier[name], values) for name, values in known.items())


@pytest.fixture
def trainers() -> Iterator[list[Trainer]]:
    found = [chain_trainer(workers=workers) for workers in (1, 2)]
    yield found
    for trainer in found:
        trainer.env.close()


def test_starts_come_from_workers_too(trainers: list[Trainer]) -> None:
    fresh = chain_trainer()._standing.hidden
    assert all(torch.equal(trainer._standing.hidden, fresh) for trainer in trainers) and (fresh != 0).any()
    one, two = (trainer.updates() for trainer in trainers)
    for update in range(20):
        assert next(one).metrics == next(two).metrics
        if update >= 2 and all((trainer._standing.age > 0).any() for trainer in trainers):
            break
    for trainer in trainers:
        assert (trainer._standing.hidden[trainer._standing.age > 0] != 0).any()
    assert torch.equal(trainers[0]._standing.hidden, trainers[1]._standing.hidden)


class Counting(Policy):
    """Knows the chain's keys by heart, and by counting where it is."""

    def __init__(self, keys: np.ndarray) -> None:
        super().__init__((1, len(keys) + 1), 4, hidden=4, memory=1)
        self.keys = torch.from_numpy(keys)

    def act(self, observations: Tensor, hidden: Tensor, *_: Any) -> Decision:
        chosen = self.keys[hidden[:, 0].long().clamp_max(len(self.keys) - 1)]
        return Decision(chosen, torch.zeros(len(chosen)), hidden + 1)


def test_evaluation_carries_the_hidden_state_through_each_episode() -> None:
    def make() -> Simulator:
        return make_simulator("LockedChain-12")

    policy = Counting(make().keys)  # type: ignore[attr-defined]
    settings = {"protocol": Protocol(), "episodes": 20, "max_steps": 30, "seed": 0}
    assert evaluate(policy, lambda _: SimulatorEnv(make(), frame_skip=1), **settings).scores.tolist() == [1.0] * 20  # type: ignore[arg-type]


def test_a_filmed_policy_begins_with_what_the_demo_leads_to(monkeypatch: pytest.MonkeyPatch) -> None:
    demo = chain_demo(30)
    run = describe([demo], TrainConfig(hidden=16, memory=6, frame_skip=1, sticky=0.0))
    policy = build_policy(run, make_simulator("LockedChain-30"))
    met = []
    act = Policy.act

    def watch(policy: Policy, observations: Tensor, hidden: Tensor, generator: torch.Generator) -> Decision:
        met.append(hidden)
        return act(policy, observations, hidden, generator)

    monkeypatch.setattr(Policy, "act", watch)
    start = Start(0, 20, 30)
    scene = _play(run, demo, Shot(policy.state_dict(), 3, 100, [[0, 30, 20]], start, "from the frontier"))
    begun = WarmUp(policy, [demo], stack=2, frame_skip=1).states(np.array([[0, 20]]))
    assert scene.start == start and torch.equal(met[0], begun) and begun.abs().max() > 0
    assert not torch.equal(met[0], met[1])


@pytest.mark.parametrize(
    ("cnn", "parameters"),
    [
        # Filters and their biases; then what is left of 84 x 84 (9 x 9, 7 x 7, 7 x 7) times the width, and its biases.
        ("small", 16 * 4 * 64 + 16 + 32 * 16 * 16 + 32 + 32 * 81 * 256 + 256),
        ("nature", 32 * 4 * 64 + 32 + 64 * 32 * 16 + 64 + 64 * 64 * 9 + 64 + 64 * 49 * 512 + 512),
        ("large", 64 * 4 * 64 + 64 + 128 * 64 * 16 + 128 + 128 * 128 * 9 + 128 + 128 * 49 * 800 + 800),
    ],
)
def test_sizes_of_the_cnn(cnn: Any, parameters: int) -> None:
    policy = Policy((4, 84, 84), 18, cnn=cnn)
    assert sum(parameter.numel() for parameter in policy.body.parameters()) == parameters
    features = policy.read(torch.randint(0, 255, (2, 4, 84, 84), dtype=torch.uint8))
    assert features.shape == (2, {"small": 256, "nature": 512, "large": 800}[cnn])
    if cnn == "large":
        before = policy.body.layers[:2](torch.zeros(1, 4, 84, 84) + 0.5)  # type: ignore[union-attr, index, operator]
        normalised = policy.body.layers[2](before)  # type: ignore[union-attr, index, operator]
        assert normalised.mean().item() == pytest.approx(0, abs=1e-5)
        assert normalised.var(unbiased=False).item() == pytest.approx(1, abs=1e-2)


def test_configs_that_no_memory_can_have_are_refused() -> None:
    with pytest.raises(UsageError, match="sequence by minibatches"):
        TrainConfig(memory=8, envs=6, minibatches=4, sequence=128)
    with pytest.raises(UsageError, match="steps must be divisible by sequence"):
        TrainConfig(memory=8, sequence=100)
    with pytest.raises(UsageError, match="burn_in"):
        TrainConfig(burn_in=4)
    with pytest.raises(UsageError, match="burn_in"):
        TrainConfig(memory=8, burn_in=129)
    with pytest.raises(UsageError, match="in sequences of 16"):
        chain_trainer(Ranks(0, 4), sequence=16)
