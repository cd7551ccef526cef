"""``train``: climbs back through a demo until the policy plays the whole game."""

from __future__ import annotations

import os
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from demo_curriculum.cli.durations import seconds_of
from demo_curriculum.errors import UsageError
from demo_curriculum.progress.writers import WriterName
from demo_curriculum.training.config import TrainConfig

if TYPE_CHECKING:
    from demo_curriculum.training.machine import DeviceName
    from demo_curriculum.training.session import Limits, Reason


STALLED = """\
stalled: no remedy brings the climb on; `demo-curriculum replay {run_dir}` shows where it stands. What may help, in a \
new run: another demo of that passage, more --envs, a longer --lag, less --sticky, --patience 0 to wait."""


@dataclass(frozen=True)
class Task:
    """What each rank is to do."""

    demo: Path
    run_dir: Path
    config: TrainConfig
    limits: Limits
    checkpoint_every: float
    keep_checkpoints: int
    log_to: tuple[WriterName, ...]
    workers: int
    device: DeviceName

    def run(self) -> Reason:
        from demo_curriculum.progress.story import keep_demo_file
        from demo_curriculum.progress.terminal import TrainingDisplay
        from demo_curriculum.store import read_demos
        from demo_curriculum.training import session
        from demo_curriculum.training.ranks import Ranks

        demos = read_demos(self.demo)
        with closing(Ranks.join()) as ranks:
            run, _ = ranks.from_first(lambda: session.open_run(self.run_dir, demos, self.config))
            if ranks.first:
                keep_demo_file(self.demo, self.run_dir)
            with TrainingDisplay(session.run_record(run)) if ranks.first else nullcontext() as display:
                return session.train(
                    self.run_dir,
                    run,
                    demos,
                    limits=self.limits,
                    display=display,
                    ranks=ranks,
                    workers=self.workers,
                    device=self.device,
                    checkpoint_every=self.checkpoint_every,
                    keep_checkpoints=self.keep_checkpoints,
                    log_to=self.log_to,
                )


def main(
    demo: Annotated[Path, tyro.conf.Positional],
    /,
    run_dir: Annotated[Path, tyro.conf.arg(aliases=["-r"])],
    config: tyro.conf.OmitArgPrefixes[TrainConfig],
    ranks: int | Literal["auto"] = "auto",
    workers: int | Literal["auto"] = "auto",
    device: Literal["auto", "cpu", "cuda"] = "auto",
    until_frontier: int | None = 0,
    time_limit: str | None = None,
    agent_steps: int | None = None,
    checkpoint_every: str = "60s",
    keep_checkpoints: int = 20,
    log_to: tuple[WriterName, ...] = (),
) -> int:
    """Train a policy from the demos in a file; a run directory that holds a run is gone on with.

    Exits with 0 once the frontier is reached, 1 when a limit came first, 4 when nothing helps any more, 130 when
    interrupted; all of them save. Under torchrun, which takes anything but 0 for a failure and would start again, a
    limit and a stall are 0 too.

    Args:
        demo: demo file; all demos in it are trained on.
        run_dir: where config, progress log, checkpoints, and the best episode from the reset as a demo, best.h5, go.
        config: settings of the run.
        ranks: processes that train together, each with its share of the simulators; auto: as many as this machine has
            cores, or GPUs if those learn, as far as they can share the simulators alike. Under torchrun that decides.
        workers: processes of each rank that step its simulators while the policy acts; 0 steps them in the rank itself.
            auto: 0, or a GPU's share of the cores.
        device: where the networks live; auto: on a GPU for pixels, where there is one.
        until_frontier: stop when every frontier is this early; at 0, when the game's own reset is tied often enough
            too. None never stops for that.
        time_limit: stop after this long, for instance 90s, 10m or 2h.
        agent_steps: stop after so many agent steps, counted over the whole run.
        checkpoint_every: time between checkpoints.
        keep_checkpoints: policies kept for good along the climb, for films of it; spaced by frontier.
        log_to: tools that get the progress too: tensorboard and wandb, whose files go into the run directory, and
            trackio. Nothing is sent anywhere unless WANDB_MODE=online or TRACKIO_SPACE_ID say so.
    """
    limit = seconds_of(time_limit) if time_limit is not None else None
    every = seconds_of(checkpoint_every)
    import torch

    from demo_curriculum.processes import cores
    from demo_curriculum.training.launch import launch
    from demo_curriculum.training.machine import choose_device, choose_processes
    from demo_curriculum.training.session import Limits

    on = choose_device(device, pixels=config.observation == "pixels")
    gpus = torch.cuda.device_count() if on.type == "cuda" else 0
    envs = config.envs
    if "RANK" in os.environ:
        here, everywhere = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
        ranks, envs = here, config.envs * here // everywhere
    ranks, workers = choose_processes(ranks, workers, envs=envs, fits=config.shared_by, cores=cores(), gpus=gpus)
    task = Task(
        demo,
        run_dir,
        config,
        Limits(until_frontier, limit, agent_steps),
        every,
        keep_checkpoints,
        log_to,
        workers,
        device,
    )
    if keep_checkpoints < 0:
        raise UsageError(f"--keep-checkpoints must not be negative, is {keep_checkpoints}")
    if "RANK" in os.environ:
        return 130 if task.run() == "interrupted" else 0
    reason = task.run() if ranks == 1 else launch(ranks, task.run)
    if reason == "frontier":
        print(f"done: frontier {until_frontier} reached; see `demo-curriculum eval {run_dir}`")
        return 0
    if reason in ("interrupted", None):
        print(f"interrupted: saved in {run_dir}; the same command goes on from there")
        return 130
    if reason == "stalled":
        print(STALLED.format(run_dir=run_dir))
        return 4
    print(f"stopped by the {reason} before frontier {until_frontier}; the same command with a later limit goes on")
    return 1
