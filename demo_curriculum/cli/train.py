"""``train``: climbs back through a demo until the policy plays the whole game."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from demo_curriculum.cli.durations import seconds_of
from demo_curriculum.training.config import TrainConfig


def main(
    demo: Annotated[Path, tyro.conf.Positional],
    /,
    run_dir: Annotated[Path, tyro.conf.arg(aliases=["-r"])],
    config: tyro.conf.OmitArgPrefixes[TrainConfig],
    until_frontier: int | None = 0,
    time_limit: str | None = None,
    agent_steps: int | None = None,
    checkpoint_every: str = "60s",
    tensorboard: bool = False,
) -> int:
    """Train a policy from the demos in a file; a run directory that holds a run is gone on with.

    Exits with 0 once the frontier is reached, 1 when a limit came first, 130 when interrupted; all of them save.

    Args:
        demo: demo file; all demos in it are trained on.
        run_dir: where config, progress log and checkpoints go.
        config: settings of the run.
        until_frontier: stop when every frontier is this early; at 0, when the game's own reset is tied often enough
            too. None never stops for that.
        time_limit: stop after this long, for instance 90s, 10m or 2h.
        agent_steps: stop after so many agent steps, counted over the whole run.
        checkpoint_every: time between checkpoints.
        tensorboard: also write TensorBoard events into the run directory.
    """
    limit = seconds_of(time_limit) if time_limit is not None else None
    every = seconds_of(checkpoint_every)
    from demo_curriculum.progress.terminal import TrainingDisplay
    from demo_curriculum.store import read_demos
    from demo_curriculum.training import session

    demos = read_demos(demo)
    run, _ = session.open_run(run_dir, demos, config)
    with TrainingDisplay(session.run_record(run)) as display:
        reason = session.train(
            run_dir,
            run,
            demos,
            limits=session.Limits(until_frontier, limit, agent_steps),
            display=display,
            checkpoint_every=every,
            tensorboard=tensorboard,
        )
    if reason == "frontier":
        print(f"done: frontier {until_frontier} reached; see `demo-curriculum eval {run_dir}`")
        return 0
    if reason == "interrupted":
        print(f"interrupted: saved in {run_dir}; the same command goes on from there")
        return 130
    print(f"stopped by the {reason} before frontier {until_frontier}; the same command with a later limit goes on")
    return 1
