"""The training loop: collect, judge, learn, report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from demo_curriculum.curriculum import Curriculum, Move
from demo_curriculum.demo import Demo, Outcome
from demo_curriculum.envs import GroupedVectorEnv
from demo_curriculum.moments import ReturnScale
from demo_curriculum.rnd import RandomNetworkDistillation
from demo_curriculum.training.dealing import deal
from demo_curriculum.training.entropy import EntropyControl
from demo_curriculum.training.imitation import DemoPairs, Teachers
from demo_curriculum.training.learning_rate import LearningRateControl, optimizer_of, tied_from_reset
from demo_curriculum.training.machine import place
from demo_curriculum.training.memory import ObservationMemory
from demo_curriculum.training.policy import Decision, Policy
from demo_curriculum.training.ppo import imitation_loss, normalise, ppo_losses
from demo_curriculum.training.precision import fast_products
from demo_curriculum.training.ranks import Ranks
from demo_curriculum.training.replay import batches_of
from demo_curriculum.training.returns import gae
from demo_curriculum.training.rollout import Rollout, Standing
from demo_curriculum.training.sequences import Sequences
from demo_curriculum.training.stall import Left, Remedy, StallWatch, progress_of
from demo_curriculum.training.successes import Successes
from demo_curriculum.training.warmup import WarmUp

VALUE_WEIGHT = 0.5
GRADIENT_NORM = 0.5
IMITATION_BATCH = 64
# Enough for the processor, and little memory.
BONUS_BATCH = 256
RND_BATCH = 256
# Each episode's end is worth one batch of the vector predictor; many short episodes must not outweigh the policy.
RND_BATCHES = 16
RND_MEMORY = 20_000
# Of each minibatch of pixels, as published for 128 environments.
RND_SHARE = 0.25
# What logits are divided by soon after a start, as in openai/atari-reset.
SOFTENING = 2.0


@dataclass(frozen=True)
class UpdateReport:
    """What one update came to; ``metrics`` are named as TensorBoard tags."""

    update: int
    agent_steps: int
    frames: int
    moves: list[Move]
    outcomes: list[Outcome]
    metrics: dict[str, float]
    remedy: Remedy | None


class Trainer:
    """PPO on two streams of reward, from starts that a curriculum chooses.

    Args:
        env: N demo-started environments whose starts ``curriculum`` draws.
        demos: with observations of the kind that the policy sees.
        rnd: None trains without a bonus.
        successes: None imitates the demos alone.
        reinforcement: without it only the imitation loss is learnt.
        patience: updates without progress before the first remedy, and before each one after it.
        sequence: steps that a policy with a memory learns through at once.
        burn_in: steps before them, from which its hidden state is found anew.
        softened_steps: demo steps after a start in which the logits are halved.
        seed: of everything random in here.
        ranks: the processes that train together, each with an ``env`` of its own; ``policy`` and ``rnd`` begin alike in
            all of them, and stay so; everything is learned on the device where they are.
    """

    def __init__(
        self,
        *,
        env: GroupedVectorEnv,
        demos: Sequence[Demo],
        curriculum: Curriculum,
        policy: Policy,
        rnd: RandomNetworkDistillation | None,
        successes: Successes | None,
        steps: int,
        epochs: int,
        minibatches: int,
        lr: float,
        gamma: float,
        gamma_int: float,
        lam: float,
        clip: float,
        entropy: float,
        bonus_weight: float,
        imitation: float,
        reinforcement: bool,
        patience: int,
        sequence: int,
        burn_in: int,
        softened_steps: int,
        seed: int,
        ranks: Ranks,
    ) -> None:
        self.ranks, self.device = ranks, policy.device
        self.env, self.curriculum, self.policy, self.rnd, self.successes = env, curriculum, policy, rnd, successes
        self.steps, self.epochs, self.minibatches = steps, epochs, minibatches
        self.gamma, self.gamma_int, self.lam, self.clip = gamma, gamma_int, lam, clip
        self.bonus_weight, self.imitation, self.reinforcement = bonus_weight, imitation, reinforcement
        stack = env.single_observation_space.shape[0]  # type: ignore[index]
        self.warm_up = WarmUp(policy, demos, stack=stack, frame_skip=env.frame_skip)
        pairs = DemoPairs(demos, stack=stack, frame_skip=env.frame_skip)
        self.teachers = Teachers(pairs, self.warm_up, successes)
        self.sequences = Sequences(env.num_envs, steps, length=sequence if policy.memory else 0, burn_in=burn_in)
        self.softened_steps = softened_steps
        self.entropy = EntropyControl(entropy)
        self.lr = LearningRateControl(lr)
        self.stall = StallWatch(patience)
        self.optimizer = optimizer_of(policy)
        self._seed_generators(seed)
        self.update, self.agent_steps = 0, 0
        for batch in batches_of(demos, BONUS_BATCH):
            policy.observe(batch.to(self.device))
            if rnd is not None:
                rnd.moments.update(batch.to(self.device))
        if rnd is not None:
            self.return_scale = ReturnScale(env.num_envs, gamma=gamma_int).to(self.device)
            memory = 0 if rnd.pixels else RND_MEMORY
            self.memory = ObservationMemory(memory, batch.shape[1:], batch.dtype).to(self.device)
            self.rnd_optimizer = torch.optim.Adam(rnd.predictor.parameters(), lr=1e-4, eps=1e-7)
        words = np.random.SeedSequence(seed).generate_state(env.num_envs * ranks.size).tolist()
        seeds = words[env.num_envs * ranks.rank : env.num_envs * (ranks.rank + 1)]
        observations, infos = env.reset(seed=seeds)
        self._standing = Standing(
            self._place(observations),
            self._place(infos["slack"]),
            self.warm_up.states(infos["starts"]),
            torch.zeros(env.num_envs, dtype=torch.int32, device=self.device),
            self._place(infos["starts"]),
        )

    def _place(self, array: NDArray[Any]) -> Tensor:
        return place(array, self.device)

    def _seed_generators(self, seed: int) -> None:
        """Those that choose actions and batches, which differ from rank to rank."""
        sequence = np.random.SeedSequence(seed, spawn_key=(self.ranks.rank, self.ranks.size))
        self.generator = torch.Generator().manual_seed(int(sequence.generate_state(1)[0]))
        self.rng = np.random.default_rng(sequence)

    def updates(self) -> Iterator[UpdateReport]:
        """Trains for ever; each report comes after its update is complete, so that it is safe to stop there."""
        while True:
            rollout = self._collect()
            collected = self.ranks.gather((rollout.outcomes, self.env.frames))
            outcomes = [outcome for theirs, _ in collected for outcome in theirs]
            for outcome in outcomes:
                self.curriculum.record(outcome)
            moves = self.curriculum.advance()
            if any(move.reason == "cut" for move in moves):
                self.stall.begin_anew()
                self.entropy.begin_anew()
            remedy = self._watch()
            if remedy == "easier starts":
                moves += self.curriculum.ease()
            metrics = self.ranks.mean(self._learn(rollout, episodes=len(outcomes)))
            kl, entropy, climbing = metrics["train/approx_kl"], metrics["train/entropy"], self.curriculum.climbing
            self.entropy.update(entropy, Left.of(self.curriculum), climbing)
            self.lr.update(kl, entropy, self.curriculum.left, climbing, tied_from_reset(self.curriculum))
            self.update += 1
            self.agent_steps += rollout.actions.numel() * self.ranks.size
            frames = sum(frames for _, frames in collected)
            yield UpdateReport(self.update, self.agent_steps, frames, moves, outcomes, metrics, remedy)

    def _watch(self) -> Remedy | None:
        remedy = self.stall.update(*progress_of(self.curriculum))
        self.lr.set(self.optimizer, self.stall.factors.lr)
        return remedy

    def _collect(self) -> Rollout:
        env, groups = self.env, self.env.groups
        env.push_starts()
        self.warm_up.forget()
        begun = self.sequences.refresh(self.policy, self._standing)
        rollout = Rollout.empty(self.steps, begun)
        standing = [begun.rows(rows) for rows in groups]

        def decide(group: int) -> Decision:
            now = standing[group]
            temperature = self._temperature(now.age)
            decision = self.policy.act(now.observations, now.hidden, self.generator, temperature, now.slack)
            env.send(group, decision.action.numpy())
            return decision

        # While the policy decides for one group, another one steps.
        decisions = [decide(group) for group in range(len(groups))]
        for step in range(self.steps):
            for group, rows in enumerate(groups):
                result = env.receive(group)
                rollout.add(step, rows, standing[group], decisions[group], *result[1:])
                ended = torch.from_numpy(result[2] | result[3])
                hidden, age = decisions[group].hidden, standing[group].age + 1
                if ended.any():
                    hidden[ended] = self.warm_up.states(result[4]["starts"][ended.numpy()])
                    age[ended] = 0
                observations, slack, began = map(self._place, (result[0], result[4]["slack"], result[4]["starts"]))
                standing[group] = Standing(observations, slack, hidden, age, began)
                if step + 1 < self.steps:
                    decisions[group] = decide(group)
        self._standing = Standing.join(standing)
        if self.successes is not None:
            self.successes.take(rollout, self.curriculum.success)
        return rollout

    def _temperature(self, age: Tensor) -> Tensor:
        """What the logits of agent steps of these ages are divided by, in acting and in learning alike."""
        return torch.where(age * self.env.frame_skip < self.softened_steps, SOFTENING, 1.0)

    @torch.no_grad()
    def _next_values(self, rollout: Rollout) -> tuple[Tensor, Tensor]:
        """Both values (T, N) of what each step led to; where an episode ended, of where it ended."""
        last = self.policy(self._standing.observations, self._standing.slack, self._standing.hidden)
        final = self.policy(rollout.final_observations, rollout.final_slack, rollout.final_hidden)
        following = []
        for values, newest, at_end in (
            (rollout.values_ext, last.value_ext, final.value_ext),
            (rollout.values_int, last.value_int, final.value_int),
        ):
            shifted = torch.cat([values[1:], newest[None]])
            shifted[rollout.ended] = at_end
            following.append(shifted)
        return following[0], following[1]

    def _learn(self, rollout: Rollout, *, episodes: int) -> dict[str, float]:
        metrics: dict[str, float] = {}
        next_ext, next_int = self._next_values(rollout)
        advantages_ext = gae(
            rollout.rewards,
            rollout.values_ext,
            next_ext,
            rollout.terminated,
            rollout.ended,
            gamma=self.gamma,
            lam=self.lam,
        )
        advantages_int = torch.zeros_like(advantages_ext)
        if self.rnd is not None:
            bonuses = self._bonuses(rollout, self.rnd, metrics)
            # No end of an episode ends the search for the new: with a value of 0 there, dying would be a price,
            # and with the next episode's value there, dying would be a way to be moved.
            advantages_int = gae(
                bonuses,
                rollout.values_int,
                next_int,
                torch.zeros_like(rollout.terminated),
                rollout.ended,
                gamma=self.gamma_int,
                lam=self.lam,
            )
        metrics.update(self._improve_policy(rollout, advantages_ext, advantages_int))
        self.policy.observe(rollout.next_frames.flatten(0, 1), self.ranks.pool)
        if self.rnd is not None:
            metrics["rnd/loss"] = self._improve_predictor(rollout, self.rnd, episodes)
            self.rnd.moments.update(rollout.next_frames.flatten(0, 1), self.ranks.pool)
        return metrics

    def _bonuses(self, rollout: Rollout, rnd: RandomNetworkDistillation, metrics: dict[str, float]) -> Tensor:
        """(T, N), scaled; computed before anything is learned from the rollout."""
        with fast_products(rollout.next_frames.device):
            batches = [rnd.bonus(batch) for batch in torch.split(rollout.next_frames.flatten(0, 1), BONUS_BATCH)]
        raw = torch.cat(batches).view_as(rollout.rewards)
        self.return_scale.update(raw, self.ranks.pool)
        metrics["rnd/bonus_raw"] = float(raw.mean())
        scaled: Tensor = self.return_scale(raw)
        metrics["rnd/bonus"] = float(scaled.mean())
        return scaled

    def _improve_policy(self, rollout: Rollout, advantages_ext: Tensor, advantages_int: Tensor) -> dict[str, float]:
        factors = self.stall.factors
        # Without reinforcement there is nothing that a sure policy would miss.
        share = self.entropy.imitation_share if self.reinforcement else 1.0
        imitation = self.imitation * factors.imitation * share
        columns = {
            "observations": rollout.observations,
            "slack": rollout.slack,
            "hidden": rollout.hidden,
            "age": rollout.age,
            "actions": rollout.actions,
            "log_probs": rollout.log_probs,
            "returns_ext": advantages_ext + rollout.values_ext,
            "returns_int": advantages_int + rollout.values_int,
            "valid": rollout.valid,
        }
        unexplained = (columns["returns_ext"] - rollout.values_ext).flatten()
        spread = columns["returns_ext"].flatten().var()
        advantages = advantages_ext + self.bonus_weight * factors.bonus * advantages_int
        columns["advantages"] = normalise(advantages, rollout.valid, self.ranks.pool)
        columns = self.sequences.behind_earlier(columns)
        flat = {name: values.flatten(0, 1) for name, values in columns.items()}
        sums: dict[str, float] = {}
        for _ in range(self.epochs):
            size = -(-IMITATION_BATCH // self.ranks.size) if self.imitation else 0
            lessons = self.teachers.lessons(
                self.minibatches, size, self.curriculum, self.rng, self.device, self_imitation=factors.self_imitation
            )
            for rows, begins, learned in self.sequences.minibatches(columns["age"], self.minibatches, self.generator):
                batch = {name: values[rows] for name, values in flat.items()}
                observations, slack, hidden = batch["observations"], batch["slack"], batch["hidden"]
                lesson = next(lessons, None)
                if lesson is not None:
                    observations = torch.cat([observations, lesson.observations])
                    slack = torch.cat([slack, slack.new_zeros(len(lesson.actions))])
                    hidden = torch.cat([hidden, lesson.hidden])
                    begins = torch.cat([begins, begins.new_ones(len(lesson.actions))])
                prediction, imitating = self.policy(observations, slack, hidden, begins).split(len(rows))
                softened = prediction.logits / self._temperature(batch["age"])[:, None]
                losses = ppo_losses(
                    prediction._replace(logits=softened),
                    batch["actions"],
                    batch["log_probs"],
                    batch["advantages"],
                    batch["returns_ext"],
                    batch["returns_int"],
                    batch["valid"] & learned.to(self.device),
                    clip=self.clip,
                )
                loss = (
                    losses.policy + VALUE_WEIGHT * losses.value - self.entropy.weight * factors.entropy * losses.entropy
                )
                loss = loss * float(self.reinforcement)
                values = {f"train/{name}": float(value.detach()) for name, value in losses._asdict().items()}
                if lesson is not None:
                    # How sure to be is learned from what comes of it: a demonstrator is sure of everything.
                    logits = self.policy.at_fixed_scale(imitating.logits)
                    imitated = imitation_loss(logits, lesson.actions, lesson.weights)
                    loss = loss + imitation * imitated
                    values["train/imitation"] = float(imitated.detach())
                self.optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                weights = self.optimizer.param_groups[0]["params"]
                torch.nn.utils.clip_grad_norm_(weights, GRADIENT_NORM, foreach=True)
                self.optimizer.step()
                for name, value in values.items():
                    sums[name] = sums.get(name, 0.0) + value
            self.ranks.average(self.policy, self.optimizer)
        metrics = {name: value / (self.epochs * self.minibatches) for name, value in sums.items()}
        metrics["train/lr"] = self.optimizer.param_groups[0]["lr"]
        metrics["train/logit_scale"] = float(self.policy.log_scale.detach().exp())
        metrics["train/entropy_weight"] = self.entropy.weight * factors.entropy
        metrics["train/explained_variance"] = float(1 - unexplained.var() / spread) if spread > 0 else 0.0
        return metrics

    def _improve_predictor(self, rollout: Rollout, rnd: RandomNetworkDistillation, episodes: int) -> float:
        """Returns the mean loss over all batches."""
        losses = []
        for batch in self._predictor_batches(rollout, rnd, episodes):
            with fast_products(batch.device):
                loss = rnd.loss(batch)
            self.rnd_optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.rnd_optimizer.step()
            losses.append(float(loss.detach()))
        self.ranks.average(rnd.predictor, self.rnd_optimizer)
        return float(np.mean(losses))

    def _predictor_batches(self, rollout: Rollout, rnd: RandomNetworkDistillation, episodes: int) -> Iterator[Tensor]:
        """Pixels: a share of every minibatch, as published. Vectors: a batch from the memory for each ended episode."""
        frames = rollout.next_frames.flatten(0, 1)
        if rnd.pixels:
            size = len(frames) // self.minibatches
            for _ in range(self.epochs):
                order = torch.randperm(len(frames), generator=self.generator)
                for chosen in torch.split(order, size):
                    yield frames[chosen[: max(1, round(RND_SHARE * size))]]
        else:
            self.memory.add(frames)
            # Shared out among the ranks, which together learn from as many episodes as one alone would.
            for _ in range(-(-min(max(episodes, 1), RND_BATCHES) // self.ranks.size)):
                yield self.memory.sample(RND_BATCH, self.generator)

    def _shared_modules(self) -> dict[str, Any]:
        """What is alike in all ranks."""
        parts: dict[str, Any] = {
            "policy": self.policy,
            "optimizer": self.optimizer,
            "entropy": self.entropy,
            "lr": self.lr,
            "stall": self.stall,
            "curriculum": self.curriculum,
        }
        if self.rnd is not None:
            parts |= {"rnd": self.rnd, "rnd_optimizer": self.rnd_optimizer}
        return parts

    def _own_state(self) -> dict[str, Any]:
        """What this rank alone knows."""
        own = {
            "env": self.env.state_dict(),
            "standing": self._standing._asdict(),
            "earlier": self.sequences.earlier,
            "generator": self.generator.get_state(),
            "rng": self.rng.bit_generator.state,
        }
        if self.successes is not None:
            own["successes"] = self.successes.state_dict()
        if self.rnd is not None:
            own |= {"return_scale": self.return_scale.state_dict(), "memory": self.memory.state_dict()}
        return own

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes, down to each simulator in the middle of its episode; whole at the first rank."""
        return {
            **{name: part.state_dict() for name, part in self._shared_modules().items()},
            "ranks": self.ranks.gather_to_first(self._own_state()),
            "update": self.update,
            "agent_steps": self.agent_steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a ``state_dict``, exactly where it comes from as many ranks as there are now.

        From another number of ranks, the simulators are dealt out anew in the same order, and each rank gets new
        generators and the predictor's memory of one of the old ones.
        """
        for name, part in self._shared_modules().items():
            part.load_state_dict(state[name])
        self.update, self.agent_steps = state["update"], state["agent_steps"]
        parts, rank = state["ranks"], self.ranks.rank
        if len(parts) == self.ranks.size:
            self.generator.set_state(parts[rank]["generator"])
            self.rng.bit_generator.state = parts[rank]["rng"]
            own = parts[rank]
        else:
            self._seed_generators(self.update)
            own = deal(parts, rank, self.env.num_envs)
        self.env.load_state_dict(own["env"])
        self._standing = Standing(**{name: part.to(self.device) for name, part in own["standing"].items()})
        earlier = own["earlier"]
        self.sequences.earlier = earlier and {name: part.to(self.device) for name, part in earlier.items()}
        if self.successes is not None:
            self.successes.load_state_dict(own["successes"])
        if self.rnd is not None:
            self.return_scale.load_state_dict(own["return_scale"])
            self.memory.load_state_dict(own["memory"])
