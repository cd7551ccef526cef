"""``eval``: how a run's policy does from the game's own reset."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import tyro

from demo_curriculum.errors import UsageError

NAMES = ("deterministic", "noop", "sticky", "epsilon")


def main(
    run_dir: Annotated[Path, tyro.conf.Positional],
    /,
    protocol: str = "deterministic,noop,sticky,epsilon",
    episodes: int = 100,
    max_frames: int | None = None,
    seed: int = 12345,
    temperature: float = 1.0,
    film: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None,
    json_: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> None:
    """Play episodes from the game's own reset and score them; actions are sampled from the policy.

    Args:
        run_dir: the run directory.
        protocol: any of deterministic, noop (up to 30 no-ops first), sticky (each frame repeats the action before
            it with probability .25), epsilon (each agent step is random with probability .01), separated by commas.
        episodes: for each protocol; all that are begun are counted.
        max_frames: demo steps (Atari: emulator frames) after which an episode is cut; by default twice the demo's
            length and 1,000 more, at most Atari's usual 108,000.
        seed: of the episodes.
        temperature: the policy's logits are divided by it; below 1 the policy is surer than it was while it learned,
            which mostly helps where the game has noise of its own.
        film: a film (MP4) of the best episode, into this file.
        json_: print one JSON document and nothing else.
    """
    names = protocol.split(",")
    if episodes < 1 or not set(names) <= set(NAMES):
        raise UsageError(f"--protocol takes {', '.join(NAMES)} separated by commas, --episodes at least 1")
    if not 0.01 <= temperature <= 100:
        raise UsageError(f"--temperature must be from 0.01 to 100, is {temperature:g}")

    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from demo_curriculum.progress.film import ActionLog, film_episode
    from demo_curriculum.progress.story import add_evaluation
    from demo_curriculum.training.evaluate import BATCH, PROTOCOLS, evaluate, longest_episode
    from demo_curriculum.training.machine import prepare_process
    from demo_curriculum.training.player import Player
    from demo_curriculum.training.run import load_policy

    prepare_process()
    run, policy, update, agent_steps = load_policy(run_dir)
    demo = run.demos[0]
    config = run.config
    frames = max_frames or longest_episode(demo["length"] + demo["offset"])
    player = Player(run_dir, run)
    results = {}
    played: dict[str, list[ActionLog]] = {name: [] for name in names}

    def simulator_of(name: str) -> ActionLog:
        played[name].append(ActionLog(player.simulator()))
        return played[name][-1]

    with Progress(console=Console(stderr=True), transient=True, disable=json_) as progress:
        for name in names:
            task = progress.add_task(f"{name}: {episodes} episodes", total=episodes)
            results[name] = evaluate(
                policy,
                lambda protocol, name=name: player.env(protocol, simulator_of(name)),  # type: ignore[misc]
                protocol=PROTOCOLS[name],  # type: ignore[index]
                episodes=episodes,
                max_steps=max(frames // config.frame_skip, 1),
                seed=seed,
                temperature=temperature,
                on_episode=lambda task=task: progress.advance(task),  # type: ignore[misc]
            )
    target = max(entry["score"] for entry in run.demos)
    document = {
        "run_dir": str(run_dir),
        "env_id": run.env_id,
        "observation": config.observation,
        "frame_skip": config.frame_skip,
        "max_frames": frames,
        "update": update,
        "agent_steps": agent_steps,
        "demo_score": target,
        "seed": seed,
        "temperature": temperature,
        "protocols": {
            name: {
                **result.record(target),
                "mean_length": float(result.lengths.mean()),
                "frames": result.frames,
                "scores": result.scores.tolist(),
            }
            for name, result in results.items()
        },
    }
    for name, result in results.items():
        record = {"update": update, "agent_steps": agent_steps, "protocol": name, "seed": seed}
        record |= {"temperature": temperature, "demo_score": target, "max_frames": frames}
        add_evaluation(run_dir, {**record, **result.record(target)})
    if film is not None:
        best = max(results, key=lambda name: results[name].scores.max())
        episode = int(results[best].scores.argmax())
        # Each simulator plays every BATCH-th episode.
        actions = played[best][episode % BATCH].episodes[episode // BATCH]
        about = f"best of {episodes} episodes, {best} protocol, policy after {agent_steps:,} agent steps"
        film_episode(demo, player.simulator(), actions, about, film)
        print(f"wrote {film}", file=sys.stderr)
    if json_:
        print(json.dumps(document))
        return
    table = Table(
        title=f"{run.env_id} from its own reset, {config.observation} observations, at most {frames:,} frames an "
        f"episode, policy after {agent_steps:,} agent steps, temperature {temperature:g}; the demo has {target:,.0f} "
        "points"
    )
    table.add_column("protocol")
    for column in ("episodes", "mean", "IQM", "best", "ties the demo"):
        table.add_column(column, justify="right")
    for name, result in results.items():
        table.add_row(
            name,
            str(episodes),
            f"{result.mean:,.1f}",
            f"{result.iqm:,.1f}",
            f"{result.scores.max():,.0f}",
            f"{result.ties(target):.0%}",
        )
    Console().print(table)
