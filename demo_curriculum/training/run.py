"""A run directory: what a run is made of, where it stands, and how it goes on.

``config.json`` (settings, demos with fingerprints, versions, git revision), ``progress.jsonl``, ``checkpoints/``.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from demo_curriculum.clocks import find_clocks
from demo_curriculum.curriculum import Timeline, make_curriculum
from demo_curriculum.demo import Demo
from demo_curriculum.envs import DemoStartVectorEnv, EnvRecipe, GroupedVectorEnv, StartCache, WorkerVectorEnv
from demo_curriculum.envs.rewards import Rewards
from demo_curriculum.envs.workers import without_observations
from demo_curriculum.errors import DemoCurriculumError, UsageError
from demo_curriculum.landmarks import Landmark, find_landmarks
from demo_curriculum.rnd import RandomNetworkDistillation
from demo_curriculum.simulators import Simulator, make_simulator
from demo_curriculum.simulators.inert import find_inert
from demo_curriculum.training.checkpoint import load_latest
from demo_curriculum.training.config import TrainConfig
from demo_curriculum.training.policy import LEAST_STD, PERIODS, Policy
from demo_curriculum.training.ranks import Ranks
from demo_curriculum.training.replay import batches_of, replay_demos
from demo_curriculum.training.stages import find_relevant_by_stage, with_stages
from demo_curriculum.training.successes import Successes
from demo_curriculum.training.trainer import Trainer

CONFIG = "config.json"
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Run:
    """What ``config.json`` says.

    Attributes:
        demos: one entry each: env_id, kwargs, length, offset, score, fingerprint, rewards as [step, reward] pairs,
            steps at which a life was lost.
        versions: of python, torch, gymnasium, numpy, ale-py and this package; torch threads; git revision.
    """

    config: TrainConfig
    demos: list[dict[str, Any]]
    versions: dict[str, str]

    @property
    def env_id(self) -> str:
        return str(self.demos[0]["env_id"])

    def write(self, folder: Path) -> None:
        """Makes ``folder`` a run directory."""
        folder.mkdir(parents=True, exist_ok=True)
        document = {"config": self.config.to_json(), "demos": self.demos, "versions": self.versions}
        temporary = folder / f".{CONFIG}-{os.getpid()}"
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(folder / CONFIG)

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Raises DemoCurriculumError where ``folder`` is not a run directory of this version."""
        path = folder / CONFIG
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            config = TrainConfig.from_json(document["config"])
            return cls(config, list(document["demos"]), dict(document["versions"]))
        except FileNotFoundError:
            raise DemoCurriculumError(f"{folder} is not a run directory: it has no {CONFIG}") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DemoCurriculumError(f"{path} cannot be read: {error!r}") from error


def describe(demos: Sequence[Demo], config: TrainConfig) -> Run:
    """The run that training ``demos`` with ``config`` here and now would be."""
    described = [
        {
            "env_id": demo.simulator.env_id,
            "kwargs": dict(demo.simulator.kwargs),
            "length": len(demo),
            "offset": demo.offset,
            "score": demo.score,
            "fingerprint": demo.fingerprint,
            "rewards": [[int(step), float(demo.rewards[step])] for step in demo.rewards.nonzero()[0]],
            "lives_lost": (demo.lives[1:] < demo.lives[:-1]).nonzero()[0].tolist(),
        }
        for demo in demos
    ]
    versions = {name: version(name) for name in ("torch", "gymnasium", "numpy", "ale-py", "demo-curriculum")}
    versions |= {
        "python": platform.python_version(),
        "torch_threads": str(torch.get_num_threads()),
        "git": _git_revision(),
    }
    return Run(config, described, versions)


def _git_revision() -> str:
    """Of the checkout that this package runs from, marked where it has changes; empty where there is none."""
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""


def simulator_for(described: dict[str, Any], config: TrainConfig) -> Simulator:
    """A simulator for one of a run's demos, with the observations that its policy sees."""
    return make_simulator(described["env_id"], **_simulator_kwargs(described, config))


def _simulator_kwargs(described: dict[str, Any], config: TrainConfig) -> dict[str, Any]:
    if not described["env_id"].startswith("ALE/"):
        return {}
    return {
        "observation": config.observation,
        "full_action_space": bool(described["kwargs"].get("full_action_space", False)),
    }


def replay(run: Run, demos: Sequence[Demo], ranks: Ranks, folder: Path) -> list[Demo]:
    """``replay_demos`` with what this run's policy sees."""
    return replay_demos(demos, lambda index: simulator_for(run.demos[index], run.config), ranks, folder)


def stack_for(simulator: Simulator, config: TrainConfig) -> int:
    if config.stack:
        return config.stack
    return 4 if len(simulator.observation_shape) == 2 else 2


def build_trainer(
    run: Run, demos: Sequence[Demo], ranks: Ranks, *, workers: int = 0, device: torch.device = CPU
) -> Trainer:
    """A trainer at its beginning, with this rank's share of the simulators.

    Args:
        demos: as ``replay_demos`` returns them.
        workers: processes that this rank's simulators live in; 0 for this one.
        device: where the networks live.

    Raises:
        UsageError: the simulators cannot be shared alike among the ranks, or not among the workers.
    """
    config = run.config
    if not config.shared_by(ranks.size):
        sequences = f" in sequences of {config.sequence}" if config.memory else ""
        raise UsageError(
            f"{config.envs} envs of {config.steps} steps{sequences} in {config.minibatches} minibatches cannot be "
            f"shared among {ranks.size} ranks; choose other --ranks, --envs or --minibatches"
        )
    simulator = simulator_for(run.demos[0], config)
    if any(demo.observations.shape[1:] != simulator.observation_shape for demo in demos):
        raise ValueError("the demos have other observations than the policy: replay them first")
    rules: dict[str, dict[str, Any]] = {
        "adaptive": {
            "split": config.split,
            "mixture": config.mixture,
            "jitter": config.jitter // config.frame_skip,
            "setbacks": config.setbacks,
        },
        "openai": {"workers": config.envs},
        "reverse-walk": {"actions": simulator.action_count},
    }
    seen = _seen(config, simulator, demos)
    recipe = recipe_for(run, demos, seen)
    wide = _wide(seen, demos)
    relevant = None
    if recipe.stages:
        if seen is not None and not config.inert:
            found = find_relevant_by_stage(simulator, demos, recipe.landmarks, seen.numpy())
            relevant = torch.from_numpy(found)
        demos = with_stages(demos, recipe.landmarks)
    timelines = [Timeline.of(demo, found) for demo, found in zip(demos, recipe.landmarks, strict=True)]
    curriculum = make_curriculum(config.rule, timelines, **rules.get(config.rule, {}))
    share = config.envs // ranks.size
    env: GroupedVectorEnv
    if workers:
        env = WorkerVectorEnv(recipe, curriculum, share, workers)
    else:
        cache = StartCache()
        env = DemoStartVectorEnv(lambda: recipe(curriculum, cache), share)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        stages = max(int(demo.observations[-1, -1]) for demo in demos) + 1 if recipe.stages else 0
        policy, rnd = build_policy(run, simulator, seen, wide, stages, relevant), None
        if config.rnd:
            rnd = RandomNetworkDistillation(demos[0].observations.shape[1:], least_std=LEAST_STD, seen=seen)
    successes = None
    if config.teaches_itself(simulator.observation_shape):
        frame = next(batches_of(demos, 1))[0]
        shape = (stack_for(simulator, config), *frame.shape)
        successes = Successes(share, shape, frame.dtype, config.memory).to(device)
    return Trainer(
        env=env,
        demos=demos,
        curriculum=curriculum,
        policy=policy.to(device),
        rnd=rnd.to(device) if rnd is not None else None,
        steps=config.steps,
        epochs=config.epochs,
        minibatches=config.minibatches,
        lr=config.lr,
        gamma=config.gamma,
        gamma_int=config.gamma_int,
        lam=config.lam,
        clip=config.clip,
        entropy=config.entropy,
        bonus_weight=config.bonus_weight,
        imitation=config.imitation_weight,
        successes=successes,
        reinforcement=config.reinforcement,
        patience=config.patience,
        sequence=config.sequence,
        burn_in=config.burn_in,
        softened_steps=config.softened_steps,
        seed=config.seed,
        ranks=ranks,
    )


def _seen(config: TrainConfig, simulator: Simulator, demos: Sequence[Demo]) -> Tensor | None:
    """The entries of an observation that are told in numbers to policy and bonus; None for all."""
    hidden = np.zeros(simulator.observation_shape, np.bool_)
    if not config.clocks:
        hidden |= find_clocks([demo.observations for demo in demos])
    if not config.inert:
        hidden |= find_inert(simulator, demos)
    told = config.tells_stages(simulator.observation_shape)
    return torch.from_numpy(np.flatnonzero(~hidden)) if hidden.any() or told else None


def _wide(seen: Tensor | None, demos: Sequence[Demo]) -> Tensor | None:
    """Those of the entries ``seen`` of vectors of bytes whose values in the demos are far enough apart for waves."""
    if demos[0].observations.ndim != 2 or demos[0].observations.dtype != np.uint8:
        return None
    lowest = np.min([demo.observations.min(axis=0) for demo in demos], axis=0)
    highest = np.max([demo.observations.max(axis=0) for demo in demos], axis=0)
    wide = highest - lowest >= min(PERIODS)
    if seen is not None:
        wide &= np.isin(np.arange(len(wide)), seen)
    return torch.from_numpy(np.flatnonzero(wide)) if wide.any() else None


def recipe_for(run: Run, demos: Sequence[Demo], seen: Tensor | None = None) -> EnvRecipe:
    """What the run's environments are made of; ``seen`` is as ``Policy``'s."""
    config = run.config
    simulator = simulator_for(run.demos[0], config)
    return EnvRecipe(
        run.env_id,
        _simulator_kwargs(run.demos[0], config),
        [without_observations(demo) for demo in demos],
        frame_skip=config.frame_skip,
        sticky=config.sticky,
        noop_max=config.noop_max,
        stack=stack_for(simulator, config),
        lag=config.lag,
        tail=config.tail,
        beyond=config.beyond,
        end_on_life_loss=config.end_on_life_loss,
        forgive=config.rule != "openai",
        rewards=Rewards(config.reward, demos, gamma=config.gamma, frame_skip=config.frame_skip),
        landmarks=[landmarks_of(demo, config, seen) for demo in demos],
        stages=config.tells_stages(simulator.observation_shape),
    )


def landmarks_of(demo: Demo, config: TrainConfig, seen: Tensor | None) -> list[Landmark]:
    """A demo's landmarks by what is ``seen`` of it, as ``Policy``'s.

    None where a reward for one would be of no size, next to raw ones, and none for rules that know of none.
    """
    if config.rule != "adaptive" or config.reward == "raw":
        return []
    told = config.tells_stages(demo.observations.shape[1:])
    entries = None if seen is None else seen.cpu().numpy()
    return find_landmarks(demo.observations, demo.rewards, seen=entries, told=told)


def build_policy(
    run: Run,
    simulator: Simulator,
    seen: Tensor | None = None,
    wide: Tensor | None = None,
    stages: int = 0,
    relevant: Tensor | None = None,
) -> Policy:
    """An untrained policy of the run's shape; ``seen`` and all after it are as ``Policy``'s."""
    config = run.config
    shape = (stack_for(simulator, config), *simulator.observation_shape)
    if stages:
        shape = (*shape[:-1], shape[-1] + 1)
    return Policy(
        shape,
        simulator.action_count,
        hidden=config.hidden,
        cnn=config.cnn,
        memory=config.memory,
        seen=seen,
        wide=wide,
        stages=stages,
        relevant=relevant,
    )


def restore_policy(run: Run, simulator: Simulator, state: Mapping[str, Tensor]) -> Policy:
    """The run's policy with the weights of a ``state_dict``, which says too what it sees.

    Raises:
        DemoCurriculumError: it is not one of such a policy.
    """
    features = simulator.observation_shape[0]
    seen, wide = state.get("body.moments.seen"), state.get("body.wide")
    for entries in (seen, wide):
        if entries is None:
            continue
        if entries.dim() != 1 or entries.dtype != torch.int64 or not ((entries >= 0) & (entries < features)).all():
            raise DemoCurriculumError(f"the saved policy sees entries {entries.tolist()} of observations of {features}")
    told = state.get("body.stage.weight")
    stages = 0 if told is None else len(told)
    relevant = None
    if seen is not None and "body.shown" in state:
        # To be loaded with the weights.
        relevant = torch.ones(stages, len(seen), dtype=torch.bool)
    policy = build_policy(run, simulator, seen, wide, stages, relevant)
    try:
        policy.load_state_dict(state)
    except RuntimeError as error:
        raise DemoCurriculumError(f"the saved policy is of another version of demo-curriculum: {error}") from error
    return policy


def load_policy(folder: Path) -> tuple[Run, Policy, int, int]:
    """A run's policy from its newest whole checkpoint, with the update and the agent steps it was saved after.

    Raises:
        DemoCurriculumError: not a run directory, or nothing was saved yet.
    """
    run = Run.read(folder)
    state = load_latest(folder / "checkpoints", lambda text: print(f"warning: {text}", file=sys.stderr))
    if state is None:
        raise DemoCurriculumError(f"{folder} has no checkpoint yet; run `demo-curriculum train` for a while first")
    policy = restore_policy(run, simulator_for(run.demos[0], run.config), state["trainer"]["policy"])
    return run, policy, int(state["trainer"]["update"]), int(state["trainer"]["agent_steps"])
