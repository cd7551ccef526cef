"""``bench``: how much of the emulator's own speed is left, layer by layer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import tyro

FRAME_SKIP = 4


def main(
    demo: Annotated[Path, tyro.conf.Positional],
    /,
    observation: Literal["ram", "pixels"] = "ram",
    envs: int = 32,
    rounds: int = 5,
    json_: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> None:
    """Measure agent steps a second in one process, and their ratio to the emulator's limit.

    The limit is the emulator playing random actions and nothing else, over the frame skip of 4. It, the vector
    environment alone, and training end to end take turns, so that a noisy machine is noisy for all of them.

    Args:
        demo: demo file; training climbs its first demo as ``train`` does, from the end.
        observation: what the policy sees.
        envs: simulators in the vector environment.
        rounds: turns of each; the median counts.
        json_: print one JSON document and nothing else.
    """
    import numpy as np
    import torch
    from rich.console import Console
    from rich.table import Table

    from demo_curriculum.simulators import simulator_of
    from demo_curriculum.store import read_demos
    from demo_curriculum.training.config import TrainConfig
    from demo_curriculum.training.ranks import Ranks
    from demo_curriculum.training.run import build_trainer, describe

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    demos = read_demos(demo)[:1]
    simulator = simulator_of(demos[0].simulator)
    trainers = {}
    for rnd in (True, False):
        config = TrainConfig(observation=observation, envs=envs, rnd=rnd)
        trainers[rnd] = build_trainer(describe(demos, config), demos, Ranks())
    env = trainers[True].env

    def emulator() -> int:
        steps = 1000
        for action in rng.integers(simulator.action_count, size=steps).tolist():
            simulator.play([action] * FRAME_SKIP)
            if simulator.game_over:
                simulator.reset()
        return steps

    def vector() -> int:
        steps = max(1, 1000 // envs)
        for _ in range(steps):
            env.step(rng.integers(simulator.action_count, size=envs))
        return steps * envs

    def training(rnd: bool) -> int:
        before = trainers[rnd].agent_steps
        next(trainers[rnd].updates())
        return trainers[rnd].agent_steps - before

    measured: dict[str, Callable[[], int]] = {
        "emulator alone": emulator,
        "vector environment": vector,
        "training with RND": lambda: training(True),
        "training without RND": lambda: training(False),
    }
    rates: dict[str, list[float]] = {name: [] for name in measured}
    for turn in range(rounds + 1):
        for name, run in measured.items():
            began = time.perf_counter()
            steps = run()
            # The first turn warms caches.
            if turn:
                rates[name].append(steps / (time.perf_counter() - began))
    limit = float(np.median(rates["emulator alone"]))
    results = {
        name: {"agent_steps_per_second": float(np.median(values)), "ratio": float(np.median(values)) / limit}
        for name, values in rates.items()
    }
    if json_:
        print(
            json.dumps({"env_id": simulator.spec.env_id, "observation": observation, "envs": envs, "results": results})
        )
        return
    table = Table(
        title=f"{simulator.spec.env_id}, {observation} observations, {envs} simulators, one process, one thread"
    )
    table.add_column("")
    table.add_column("agent steps/s", justify="right")
    table.add_column("of the emulator's limit", justify="right")
    for name, result in results.items():
        table.add_row(name, f"{result['agent_steps_per_second']:,.0f}", f"{result['ratio']:.2f}")
    Console().print(table)
