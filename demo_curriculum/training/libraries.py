"""What the benchmarks compare with: other libraries at the same work."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from demo_curriculum.envs import StartCache
from demo_curriculum.processes import cores
from demo_curriculum.store import read_demos
from demo_curriculum.training.bench import Bench, Rate, SkippedError, timed
from demo_curriculum.training.config import TrainConfig
from demo_curriculum.training.ranks import Ranks
from demo_curriculum.training.run import build_trainer, describe, recipe_for, replay

# Each of its environments is a process of its own.
ASYNC_ENVS = 8


def atari_vector(bench: Bench) -> Rate:
    bench.atari()
    from ale_py.vector_env import AtariVectorEnv

    from demo_curriculum.simulators.ale import game_of

    game = game_of(bench.demo.simulator.env_id)
    env = AtariVectorEnv(game, bench.envs, num_threads=cores())
    bench.stack.callback(env.close)
    return bench.repeat(_step_any(env, bench.envs))


def gym_async(bench: Bench) -> Rate:
    bench.atari()
    try:
        import cv2  # noqa: F401 - AtariPreprocessing resizes with it
    except ImportError:
        raise SkippedError("opencv is not installed: pip install 'demo-curriculum[bench]'") from None
    from gymnasium.vector import AsyncVectorEnv, AutoresetMode

    make = partial(_preprocessed, bench.demo.simulator.env_id)
    env = AsyncVectorEnv([make] * ASYNC_ENVS, context="spawn", autoreset_mode=AutoresetMode.SAME_STEP)
    bench.stack.callback(env.close)
    return bench.repeat(_step_any(env, ASYNC_ENVS))


def _preprocessed(env_id: str) -> Any:
    import ale_py
    import gymnasium as gym
    from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation

    gym.register_envs(ale_py)
    return FrameStackObservation(AtariPreprocessing(gym.make(env_id, frameskip=1)), 4)


def _step_any(env: Any, num_envs: int) -> Callable[[], int]:
    env.reset(seed=0)
    rng = np.random.default_rng(0)

    def work() -> int:
        for _ in range(10):
            env.step(rng.integers(env.single_action_space.n, size=num_envs))
        return 10 * num_envs

    return work


def sb3(observation: str, bench: Bench) -> Rate:
    if find_spec("stable_baselines3") is None:
        raise SkippedError("stable-baselines3 is not installed: pip install 'demo-curriculum[bench]'")
    # In a process of its own, as its users run it: this one is prepared for our training.
    pool = ProcessPoolExecutor(1, get_context("spawn"))
    bench.stack.callback(pool.shutdown)
    config = TrainConfig(observation=observation, envs=bench.envs)  # type: ignore[arg-type]
    return lambda: pool.submit(_rate_of_sb3, bench.path, bench.folder, config, bench.seconds).result()


def _rate_of_sb3(path: Path, folder: Path, config: TrainConfig, seconds: float) -> float:
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import DummyVecEnv

    torch.set_num_threads(1)
    demos = read_demos(path)[:1]
    run = describe(demos, config)
    trainer = build_trainer(run, replay(run, demos, Ranks(), folder), Ranks())
    recipe = recipe_for(run, trainer.env.demos)
    cache = StartCache()
    model = PPO(
        "CnnPolicy" if config.observation == "pixels" else "MlpPolicy",
        DummyVecEnv([lambda: recipe(trainer.curriculum, cache)] * config.envs),
        n_steps=config.steps,
        batch_size=config.steps * config.envs // config.minibatches,
        n_epochs=config.epochs,
        policy_kwargs={} if config.observation == "pixels" else {"net_arch": [256, 256]},
        device="cpu",
        seed=0,
    )

    def work() -> int:
        before = model.num_timesteps
        model.learn(config.steps * config.envs, reset_num_timesteps=False)
        return int(model.num_timesteps - before)

    return timed(work, seconds)
