"""The training loop: collect, judge, learn, report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from demo_curriculum.curriculum import Curriculum, Move
from demo_curriculum.demo import Demo, Outcome
from demo_curriculum.envs import DemoStartVectorEnv
from demo_curriculum.moments import ReturnScale
from demo_curriculum.rnd import RandomNetworkDistillation
from demo_curriculum.training.entropy import EntropyControl
from demo_curriculum.training.imitation import DemoPairs
from demo_curriculum.training.memory import ObservationMemory
from demo_curriculum.training.policy import Policy
from demo_curriculum.training.ppo import imitation_loss, normalise, ppo_losses
from demo_curriculum.training.precision import fast_products
from demo_curriculum.training.returns import RewardMode, gae, transform_rewards
from demo_curriculum.training.rollout import Rollout

VALUE_WEIGHT = 0.5
GRADIENT_NORM = 0.5
IMITATION_BATCH = 256
BONUS_BATCH = 1024
RND_BATCH = 256
# Each episode's end is worth one batch of the vector predictor; many short episodes must not outweigh the policy.
RND_BATCHES = 16
RND_MEMORY = 20_000
# The pixel predictor learns from this many environments' worth of each minibatch, as published.
RND_ENVS = 32


@dataclass(frozen=True)
class UpdateReport:
    """What one update came to; ``metrics`` are named as TensorBoard tags."""

    update: int
    agent_steps: int
    frames: int
    moves: list[Move]
    outcomes: list[Outcome]
    metrics: dict[str, float]


class Trainer:
    """PPO on two streams of reward, from starts that a curriculum chooses.

    Args:
        env: N demo-started environments whose starts ``curriculum`` draws.
        demos: with observations of the kind that the policy sees.
        rnd: None trains without a bonus.
        reward_scale: for reward mode ``scaled``.
        seed: of everything random in here.
    """

    def __init__(
        self,
        *,
        env: DemoStartVectorEnv,
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
        seed: int,
    ) -> None:
        self.env, self.curriculum, self.policy, self.rnd = env, curriculum, policy, rnd
        self.steps, self.epochs, self.minibatches = steps, epochs, minibatches
        self.gamma, self.gamma_int, self.lam, self.clip = gamma, gamma_int, lam, clip
        self.reward, self.reward_scale = reward, reward_scale
        self.bonus_weight, self.imitation = bonus_weight, imitation
        stack = env.single_observation_space.shape[0]  # type: ignore[index]
        self.pairs = DemoPairs(demos, stack=stack, frame_skip=env.frame_skip)
        self.entropy = EntropyControl(entropy)
        self.optimizer = torch.optim.Adam(policy.parameters(), lr=lr, eps=1e-5)
        self.generator = torch.Generator().manual_seed(seed)
        self.rng = np.random.default_rng(seed)
        self.update = 0
        self.agent_steps = 0
        frames = [torch.from_numpy(demo.observations) for demo in demos]
        for batch in frames:
            policy.observe(batch)
        if rnd is not None:
            for batch in frames:
                rnd.moments.update(batch)
            self.return_scale = ReturnScale(env.num_envs, gamma=gamma_int)
            memory = 0 if rnd.pixels else RND_MEMORY
            self.memory = ObservationMemory(memory, frames[0].shape[1:], frames[0].dtype)
            self.rnd_optimizer = torch.optim.Adam(rnd.predictor.parameters(), lr=1e-4, eps=1e-7)
        self._observations = torch.from_numpy(env.reset(seed=seed)[0])

    def updates(self) -> Iterator[UpdateReport]:
        """Trains for ever; each report comes after its update is complete, so that it is safe to stop there."""
        while True:
            rollout = self._collect()
            for outcome in rollout.outcomes:
                self.curriculum.record(outcome)
            moves = self.curriculum.advance()
            metrics = self._learn(rollout)
            self.entropy.update(metrics["train/entropy"], sum(self.curriculum.frontiers))
            self.update += 1
            self.agent_steps += rollout.actions.numel()
            yield UpdateReport(self.update, self.agent_steps, self.env.frames, moves, rollout.outcomes, metrics)

    def _collect(self) -> Rollout:
        shape = self._observations.shape[1:]
        rollout = Rollout.empty(self.steps, self.env.num_envs, shape, self._observations.dtype)
        for _ in range(self.steps):
            decision = self.policy.act(self._observations, self.generator)
            observations, rewards, terminations, truncations, infos = self.env.step(decision.action.numpy())
            rollout.add(self._observations, decision, rewards, terminations, truncations, infos)
            self._observations = torch.from_numpy(observations)
        return rollout

    @torch.no_grad()
    def _next_values(self, rollout: Rollout) -> tuple[Tensor, Tensor]:
        """Both values (T, N) of what each step led to; where an episode ended, of where it ended."""
        last = self.policy(self._observations)
        final = self.policy(rollout.final_observations)
        following = []
        for values, newest, at_end in (
            (rollout.values_ext, last.value_ext, final.value_ext),
            (rollout.values_int, last.value_int, final.value_int),
        ):
            shifted = torch.cat([values[1:], newest[None]])
            shifted[rollout.ended] = at_end
            following.append(shifted)
        return following[0], following[1]

    def _learn(self, rollout: Rollout) -> dict[str, float]:
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
        self.policy.observe(rollout.next_frames.flatten(0, 1))
        if self.rnd is not None:
            metrics["rnd/loss"] = self._improve_predictor(rollout, self.rnd)
            self.rnd.moments.update(rollout.next_frames.flatten(0, 1))
        return metrics

    def _bonuses(self, rollout: Rollout, rnd: RandomNetworkDistillation, metrics: dict[str, float]) -> Tensor:
        """(T, N), scaled; computed before anything is learned from the rollout."""
        with fast_products(rollout.next_frames.device):
            batches = [rnd.bonus(batch) for batch in torch.split(rollout.next_frames.flatten(0, 1), BONUS_BATCH)]
        raw = torch.cat(batches).view_as(rollout.rewards)
        self.return_scale.update(raw)
        metrics["rnd/bonus_raw"] = float(raw.mean())
        scaled: Tensor = self.return_scale(raw)
        metrics["rnd/bonus"] = float(scaled.mean())
        return scaled

    def _improve_policy(self, rollout: Rollout, advantages_ext: Tensor, advantages_int: Tensor) -> dict[str, float]:
        flat = {
            "observations": rollout.observations.flatten(0, 1),
            "actions": rollout.actions.flatten(),
            "log_probs": rollout.log_probs.flatten(),
            "returns_ext": (advantages_ext + rollout.values_ext).flatten(),
            "returns_int": (advantages_int + rollout.values_int).flatten(),
            "valid": rollout.valid.flatten(),
        }
        advantages = (advantages_ext + self.bonus_weight * advantages_int).flatten()
        flat["advantages"] = normalise(advantages, flat["valid"])
        rows = len(advantages)
        sums: dict[str, float] = {}
        for _ in range(self.epochs):
            order = torch.randperm(rows, generator=self.generator)
            for chosen in torch.split(order, rows // self.minibatches):
                batch = {name: values[chosen] for name, values in flat.items()}
                observations = batch["observations"]
                pairs = None
                if self.imitation:
                    pairs = self.pairs.sample(
                        IMITATION_BATCH, self.curriculum.frontiers, self.curriculum.success, self.rng
                    )
                    observations = torch.cat([observations, pairs.observations])
                prediction, imitating = self.policy(observations).split(len(chosen))
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
                loss = losses.policy + VALUE_WEIGHT * losses.value - self.entropy.weight * losses.entropy
                values = {f"train/{name}": float(value.detach()) for name, value in losses._asdict().items()}
                if pairs is not None:
                    imitated = imitation_loss(imitating, pairs.actions, pairs.weights)
                    loss = loss + self.imitation * imitated
                    values["train/imitation"] = float(imitated.detach())
                self.optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(self.policy.parameters(), GRADIENT_NORM)
                self.optimizer.step()
                for name, value in values.items():
                    sums[name] = sums.get(name, 0.0) + value
        metrics = {name: value / (self.epochs * self.minibatches) for name, value in sums.items()}
        metrics["train/entropy_weight"] = self.entropy.weight
        explained = flat["returns_ext"] - rollout.values_ext.flatten()
        spread = flat["returns_ext"].var()
        metrics["train/explained_variance"] = float(1 - explained.var() / spread) if spread > 0 else 0.0
        return metrics

    def _improve_predictor(self, rollout: Rollout, rnd: RandomNetworkDistillation) -> float:
        """Returns the mean loss over all batches."""
        losses = []
        for batch in self._predictor_batches(rollout, rnd):
            with fast_products(batch.device):
                loss = rnd.loss(batch)
            self.rnd_optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.rnd_optimizer.step()
            losses.append(float(loss.detach()))
        return float(np.mean(losses))

    def _predictor_batches(self, rollout: Rollout, rnd: RandomNetworkDistillation) -> Iterator[Tensor]:
        """Pixels: a share of every minibatch, as published. Vectors: a batch from the memory for each ended episode."""
        frames = rollout.next_frames.flatten(0, 1)
        if rnd.pixels:
            size = len(frames) // self.minibatches
            share = min(1.0, RND_ENVS / self.env.num_envs)
            for _ in range(self.epochs):
                order = torch.randperm(len(frames), generator=self.generator)
                for chosen in torch.split(order, size):
                    yield frames[chosen[: max(1, round(share * size))]]
        else:
            self.memory.add(frames)
            for _ in range(min(max(len(rollout.outcomes), 1), RND_BATCHES)):
                yield self.memory.sample(RND_BATCH, self.generator)

    def _modules(self) -> dict[str, Any]:
        parts = {"policy": self.policy, "optimizer": self.optimizer}
        if self.rnd is not None:
            parts |= {
                "rnd": self.rnd,
                "rnd_optimizer": self.rnd_optimizer,
                "return_scale": self.return_scale,
                "memory": self.memory,
            }
        return parts

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes, down to each simulator in the middle of its episode."""
        return {
            **{name: part.state_dict() for name, part in self._modules().items()},
            "curriculum": self.curriculum.state_dict(),
            "entropy": self.entropy.state_dict(),
            "env": self.env.state_dict(),
            "observations": self._observations,
            "generator": self.generator.get_state(),
            "rng": self.rng.bit_generator.state,
            "update": self.update,
            "agent_steps": self.agent_steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._modules().items():
            part.load_state_dict(state[name])
        self.curriculum.load_state_dict(state["curriculum"])
        self.entropy.load_state_dict(state["entropy"])
        self.env.load_state_dict(state["env"])
        self._observations = state["observations"]
        self.generator.set_state(state["generator"])
        self.rng.bit_generator.state = state["rng"]
        self.update, self.agent_steps = state["update"], state["agent_steps"]
