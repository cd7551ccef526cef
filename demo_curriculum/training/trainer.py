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
from demo_curriculum.training.entropy import EntropyControl
from demo_curriculum.training.imitation import DemoPairs, Pairs
from demo_curriculum.training.machine import place
from demo_curriculum.training.memory import ObservationMemory
from demo_curriculum.training.policy import Decision, Policy
from demo_curriculum.training.ppo import imitation_loss, normalise, ppo_losses
from demo_curriculum.training.precision import fast_products
from demo_curriculum.training.ranks import Ranks
from demo_curriculum.training.returns import RewardMode, gae, transform_rewards
from demo_curriculum.training.rollout import Rollout
from demo_curriculum.training.stall import Remedy, StallWatch

VALUE_WEIGHT = 0.5
GRADIENT_NORM = 0.5
IMITATION_BATCH = 256
# Enough for the processor, and little memory.
BONUS_BATCH = 256
RND_BATCH = 256
# Each episode's end is worth one batch of the vector predictor; many short episodes must not outweigh the policy.
RND_BATCHES = 16
RND_MEMORY = 20_000
# Of each minibatch of pixels, as published for 128 environments.
RND_SHARE = 0.25


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
        reward_scale: for reward mode ``scaled``.
        patience: updates without progress before the first remedy, and before each one after it.
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
        steps: int,
        epochs: int,
        minibatches: int,
        lr: float,
        gamma: float,
        gamma_int: float,
        lam: float,
        clip: float,
        entropy: float,
        reward: RewardMode,
        reward_scale: float,
        bonus_weight: float,
        imitation: float,
        patience: int,
        seed: int,
        ranks: Ranks,
    ) -> None:
        self.ranks = ranks
        self.env, self.curriculum, self.policy, self.rnd = env, curriculum, policy, rnd
        self.device = next(policy.parameters()).device
        self.steps, self.epochs, self.minibatches = steps, epochs, minibatches
        self.gamma, self.gamma_int, self.lam, self.clip = gamma, gamma_int, lam, clip
        self.reward, self.reward_scale = reward, reward_scale
        self.bonus_weight, self.imitation = bonus_weight, imitation
        stack = env.single_observation_space.shape[0]  # type: ignore[index]
        self.pairs = DemoPairs(demos, stack=stack, frame_skip=env.frame_skip)
        self.entropy = EntropyControl(entropy)
        self.lr = lr
        self.stall = StallWatch(patience)
        self.optimizer = torch.optim.Adam(policy.parameters(), lr=lr, eps=1e-5)
        self._seed_generators(seed)
        self.update = 0
        self.agent_steps = 0
        for batch in self._seen_in(demos):
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
        self._observations, self._slack = self._place(observations), self._place(infos["slack"])

    @staticmethod
    def _seen_in(demos: Sequence[Demo]) -> Iterator[Tensor]:
        """The demos' observations, so many at a time as memory has room for in f64."""
        for demo in demos:
            for first in range(0, len(demo.observations), BONUS_BATCH):
                yield torch.from_numpy(np.array(demo.observations[first : first + BONUS_BATCH]))

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
            remedy = self._watch()
            if remedy == "easier starts":
                moves += self.curriculum.ease()
            metrics = self.ranks.mean(self._learn(rollout, episodes=len(outcomes)))
            self.entropy.update(metrics["train/entropy"], self.curriculum.left)
            self.update += 1
            self.agent_steps += rollout.actions.numel() * self.ranks.size
            frames = sum(frames for _, frames in collected)
            yield UpdateReport(self.update, self.agent_steps, frames, moves, outcomes, metrics, remedy)

    def _watch(self) -> Remedy | None:
        demos = self.curriculum.report()["demos"]
        ties = sum(round((demo["reset_tie_rate"] or 0) * demo["reset_trials"]) for demo in demos)
        remedy = self.stall.update(self.curriculum.left, ties)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * self.stall.factors.lr
        return remedy

    def _collect(self) -> Rollout:
        env, groups = self.env, self.env.groups
        rollout = Rollout.empty(self.steps, self._observations)
        env.push_starts()
        observations = [self._observations[rows] for rows in groups]
        slack = [self._slack[rows] for rows in groups]

        def decide(group: int) -> Decision:
            decision = self.policy.act(observations[group], self.generator)
            env.send(group, decision.action.numpy())
            return decision

        # While the policy decides for one group, another one steps.
        decisions = [decide(group) for group in range(len(groups))]
        for step in range(self.steps):
            for group, rows in enumerate(groups):
                result = env.receive(group)
                rollout.add(step, rows, observations[group], slack[group], decisions[group], *result[1:])
                observations[group], slack[group] = self._place(result[0]), self._place(result[4]["slack"])
                if step + 1 < self.steps:
                    decisions[group] = decide(group)
        self._observations, self._slack = torch.cat(observations), torch.cat(slack)
        self._value(rollout)
        return rollout

    @torch.no_grad()
    def _value(self, rollout: Rollout) -> None:
        steps = max(1, BONUS_BATCH // self.env.num_envs)
        for rows in (slice(first, first + steps) for first in range(0, self.steps, steps)):
            seen, slack = rollout.observations[rows], rollout.slack[rows]
            prediction = self.policy(seen.flatten(0, 1), slack.flatten())
            rollout.values_ext[rows] = prediction.value_ext.view_as(slack)
            rollout.values_int[rows] = prediction.value_int.view_as(slack)

    @torch.no_grad()
    def _next_values(self, rollout: Rollout) -> tuple[Tensor, Tensor]:
        """Both values (T, N) of what each step led to; where an episode ended, of where it ended."""
        last = self.policy(self._observations, self._slack)
        final = self.policy(rollout.final_observations, rollout.final_slack)
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
        rewards = transform_rewards(rollout.rewards, self.reward, self.reward_scale)
        advantages_ext = gae(
            rewards, rollout.values_ext, next_ext, rollout.terminated, rollout.ended, gamma=self.gamma, lam=self.lam
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
        flat = {
            "observations": rollout.observations.flatten(0, 1),
            "slack": rollout.slack.flatten(),
            "actions": rollout.actions.flatten(),
            "log_probs": rollout.log_probs.flatten(),
            "returns_ext": (advantages_ext + rollout.values_ext).flatten(),
            "returns_int": (advantages_int + rollout.values_int).flatten(),
            "valid": rollout.valid.flatten(),
        }
        advantages = (advantages_ext + self.bonus_weight * factors.bonus * advantages_int).flatten()
        flat["advantages"] = normalise(advantages, flat["valid"], self.ranks.pool)
        rows = len(advantages)
        sums: dict[str, float] = {}
        for _ in range(self.epochs):
            order = torch.randperm(rows, generator=self.generator)
            for chosen in torch.split(order, rows // self.minibatches):
                batch = {name: values[chosen] for name, values in flat.items()}
                observations, slack = batch["observations"], batch["slack"]
                pairs = None
                if self.imitation:
                    count = -(-IMITATION_BATCH // self.ranks.size)
                    drawn = self.pairs.sample(count, self.curriculum.spans, self.curriculum.success, self.rng)
                    pairs = Pairs(*(part.to(self.device) for part in drawn))
                    observations = torch.cat([observations, pairs.observations])
                    slack = torch.cat([slack, slack.new_zeros(len(pairs.actions))])
                prediction, imitating = self.policy(observations, slack).split(len(chosen))
                losses = ppo_losses(
                    prediction,
                    batch["actions"],
                    batch["log_probs"],
                    batch["advantages"],
                    batch["returns_ext"],
                    batch["returns_int"],
                    batch["valid"],
                    clip=self.clip,
                )
                loss = (
                    losses.policy + VALUE_WEIGHT * losses.value - self.entropy.weight * factors.entropy * losses.entropy
                )
                values = {f"train/{name}": float(value.detach()) for name, value in losses._asdict().items()}
                if pairs is not None:
                    imitated = imitation_loss(imitating, pairs.actions, pairs.weights)
                    loss = loss + self.imitation * factors.imitation * imitated
                    values["train/imitation"] = float(imitated.detach())
                self.optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                self.ranks.average_gradients(self.policy.parameters())
                torch.nn.utils.clip_grad_norm_(self.policy.parameters(), GRADIENT_NORM, foreach=True)
                self.optimizer.step()
                for name, value in values.items():
                    sums[name] = sums.get(name, 0.0) + value
        metrics = {name: value / (self.epochs * self.minibatches) for name, value in sums.items()}
        metrics["train/entropy_weight"] = self.entropy.weight * factors.entropy
        explained = flat["returns_ext"] - rollout.values_ext.flatten()
        spread = flat["returns_ext"].var()
        metrics["train/explained_variance"] = float(1 - explained.var() / spread) if spread > 0 else 0.0
        return metrics

    def _improve_predictor(self, rollout: Rollout, rnd: RandomNetworkDistillation, episodes: int) -> float:
        """Returns the mean loss over all batches."""
        losses = []
        for batch in self._predictor_batches(rollout, rnd, episodes):
            with fast_products(batch.device):
                loss = rnd.loss(batch)
            self.rnd_optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.ranks.average_gradients(rnd.predictor.parameters())
            self.rnd_optimizer.step()
            losses.append(float(loss.detach()))
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
            # With more ranks fewer and larger batches: to agree on gradients costs more than to find them.
            for _ in range(-(-min(max(episodes, 1), RND_BATCHES) // self.ranks.size)):
                yield self.memory.sample(RND_BATCH, self.generator)

    def _shared_modules(self) -> dict[str, Any]:
        """What is alike in all ranks."""
        parts: dict[str, Any] = {
            "policy": self.policy,
            "optimizer": self.optimizer,
            "entropy": self.entropy,
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
            "observations": self._observations,
            "slack": self._slack,
            "generator": self.generator.get_state(),
            "rng": self.rng.bit_generator.state,
        }
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
            own = self._deal(parts)
        self.env.load_state_dict(own["env"])
        self._observations, self._slack = own["observations"].to(self.device), own["slack"].to(self.device)
        if self.rnd is not None:
            self.return_scale.load_state_dict(own["return_scale"])
            self.memory.load_state_dict(own["memory"])

    def _deal(self, parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """This rank's share of what another number of ranks knew."""
        mine = slice(self.env.num_envs * self.ranks.rank, self.env.num_envs * (self.ranks.rank + 1))
        old = parts[self.ranks.rank % len(parts)]
        envs = [env for part in parts for env in part["env"]["envs"]]
        own = {
            "env": {"envs": envs[mine], "starts": old["env"]["starts"]},
            "observations": torch.cat([part["observations"] for part in parts])[mine],
            "slack": torch.cat([part["slack"] for part in parts])[mine],
        }
        if self.rnd is not None:
            running = torch.cat([part["return_scale"]["running"] for part in parts])[mine]
            own["return_scale"] = {**old["return_scale"], "running": running}
            own["memory"] = old["memory"]
        return own
