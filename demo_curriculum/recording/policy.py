"""Demos from a policy that was trained: the best of many episodes from the game's own reset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from demo_curriculum.demo import Demo
from demo_curriculum.envs import RecordingSimulator
from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.training.evaluate import PROTOCOLS, Env, Protocol, evaluate
from demo_curriculum.training.machine import prepare_process
from demo_curriculum.training.player import Player
from demo_curriculum.training.run import load_policy


def record_policy(
    run_dir: Path,
    env_id: str,
    *,
    episodes: int,
    keep: int,
    max_frames: int,
    seed: int,
    on_episode: Callable[[], None] | None = None,
) -> list[Demo]:
    """The ``keep`` highest scores of ``episodes``, best first; no-ops (up to 30) make the episodes differ more.

    Raises:
        DemoCurriculumError: the directory holds no run, or one of another game.
    """
    prepare_process()
    run, policy, update, _ = load_policy(run_dir)
    if run.env_id != env_id:
        raise DemoCurriculumError(f"{run_dir}: its policy plays {run.env_id}, not {env_id}")
    player = Player(run_dir, run)
    recorders: list[RecordingSimulator] = []

    def make(protocol: Protocol) -> Env:
        note = f"policy of {run_dir.name} after update {update}, best of {episodes} episodes, seed {seed}"
        recorders.append(RecordingSimulator(player.simulator(), origin="policy", note=note, keep=keep))
        return player.env(protocol, recorders[-1])

    evaluate(
        policy,
        make,
        protocol=PROTOCOLS["noop"],
        episodes=episodes,
        max_steps=max(max_frames // run.config.frame_skip, 1),
        seed=seed,
        on_episode=on_episode,
    )
    for recorder in recorders:
        recorder.finish()
    return sorted((demo for recorder in recorders for demo in recorder.demos), key=lambda demo: -demo.score)[:keep]
