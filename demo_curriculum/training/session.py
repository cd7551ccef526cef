"""One sitting of training: begins or goes on with a run directory, logs, saves, and stops when told."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Literal, Protocol

import numpy as np
import torch

from demo_curriculum.curriculum import CurriculumError
from demo_curriculum.demo import Demo
from demo_curriculum.errors import DemoCurriculumError, UsageError
from demo_curriculum.progress.log import ProgressLog, truncate_after
from demo_curriculum.progress.schema import SCHEMA, Record
from demo_curriculum.progress.writers import WriterName, Writers
from demo_curriculum.store.files import StoreError, write_lock
from demo_curriculum.training.best import BestEpisode
from demo_curriculum.training.checkpoint import load_latest, save_checkpoint
from demo_curriculum.training.config import TrainConfig
from demo_curriculum.training.machine import DeviceName, choose_device, prepare_process
from demo_curriculum.training.milestones import MilestoneKeeper
from demo_curriculum.training.ranks import Ranks
from demo_curriculum.training.run import CONFIG, Run, build_trainer, describe, replay
from demo_curriculum.training.stages import write_landmarks
from demo_curriculum.training.trainer import Trainer, UpdateReport

Reason = Literal["frontier", "time limit", "agent steps", "stalled", "interrupted"]

SEEN = "of the observation's {all} entries {seen} are seen; the others count time, or nothing visible depends on them"

BUCKETS_EVERY, ALL_BUCKETS = 10, 50
"""So many updates apart, but each of the first, which may be all that a short climb takes."""


class Display(Protocol):
    """What shows a run while it runs."""

    def update(self, record: Record) -> None: ...
    def event(self, record: Record) -> None: ...
    def message(self, text: str) -> None: ...


@dataclass(frozen=True)
class Limits:
    """When to stop.

    Attributes:
        until_frontier: stop once every frontier is there or earlier; at 0, also once the game's own reset is tied in
            the share of episodes that the curriculum asks for. None goes on for ever.
        seconds: wall-clock of this sitting.
        agent_steps: of the whole run.
    """

    until_frontier: int | None = 0
    seconds: float | None = None
    agent_steps: int | None = None


def open_run(folder: Path, demos: Sequence[Demo], config: TrainConfig) -> tuple[Run, bool]:
    """The run in ``folder``, made now if there is none; and whether it was there already.

    Raises:
        DemoCurriculumError: it is a run of other demos, or with another config.
    """
    prepare_process()
    wanted = describe(demos, config)
    if not (folder / CONFIG).exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DemoCurriculumError(f"{folder} holds other things than a run; choose another --run-dir")
        wanted.write(folder)
        return wanted, False
    found = Run.read(folder)
    for index, (mine, theirs) in enumerate(zip(found.demos, wanted.demos, strict=False)):
        if mine["fingerprint"] != theirs["fingerprint"]:
            raise DemoCurriculumError(
                f"{folder} is a run of another demo: its demo {index} has fingerprint {mine['fingerprint'][:12]}…, "
                f"the one given {theirs['fingerprint'][:12]}…, or of an earlier version; choose another --run-dir"
            )
    if len(found.demos) != len(wanted.demos):
        raise DemoCurriculumError(f"{folder} is a run of {len(found.demos)} demos, not {len(wanted.demos)}")
    stored, given = found.config.to_json(), config.to_json()
    changed = [
        f"--{name.replace('_', '-')} {value}, not {given[name]}"
        for name, value in stored.items()
        if value != given[name]
    ]
    if changed:
        raise UsageError(
            f"{folder} was begun with {'; '.join(changed)}; a run keeps its config: choose another --run-dir"
        )
    return found, True


def train(
    folder: Path,
    run: Run,
    demos: Sequence[Demo],
    *,
    limits: Limits,
    display: Display | None,
    ranks: Ranks,
    workers: int = 0,
    device: DeviceName = "auto",
    checkpoint_every: float = 60.0,
    keep_checkpoints: int = 20,
    log_to: Sequence[WriterName] = (),
) -> Reason:
    """Trains until a limit is met or SIGINT or SIGTERM arrives, and saves; returns why it stopped.

    A run that has checkpoints goes on from the newest whole one, and then equals a run of as many ranks that was never
    interrupted. Of several ranks the first reads and writes all files and decides when to save and stop.

    Args:
        display: None at all ranks but the first.
        ranks: the processes that train together, this one among them.
        workers: processes of each rank that its simulators live in; 0 for the rank's own.
        device: where the networks live; a run may go on elsewhere.
        checkpoint_every: seconds.
        keep_checkpoints: policies kept for good, spaced by frontier.
        log_to: tools that get the progress too, beside the run's own log.

    Raises:
        DemoCurriculumError: another process trains this run, or another version of this package saved it.
    """
    prepare_process()
    began = time.monotonic()
    on = choose_device(device, pixels=run.config.observation == "pixels")
    if on.type == "cuda":
        torch.cuda.set_device(on)
    with _alone(folder, ranks):
        seen_demos = replay(run, demos, ranks, folder)
        trainer = build_trainer(run, seen_demos, ranks, workers=workers, device=on)
        if ranks.first and run.config.tells_stages(seen_demos[0].observations.shape[1:]):
            write_landmarks(folder, trainer.env.courses[0].landmarks.values())
        seen, features = trainer.policy.seen, seen_demos[0].observations.shape[1]
        if display is not None and seen is not None and len(seen) < features:
            display.message(SEEN.format(seen=len(seen), all=features))
        checkpoints = folder / "checkpoints"
        state = ranks.from_first(lambda: load_latest(checkpoints, display.message if display else print))
        earlier = 0.0
        if state is not None:
            _go_on(trainer, state["trainer"], run)
            earlier = float(state["seconds"])

        milestones = MilestoneKeeper(folder, trainer, keep_checkpoints) if ranks.first else None
        best = BestEpisode(folder, run.demos[0]) if ranks.first else None
        if state is not None and best is not None:
            best.rank = (state["best"][0], state["best"][1])

        def save() -> None:
            whole = trainer.state_dict()
            if best is not None:
                seconds = earlier + time.monotonic() - began
                around = {"seconds": seconds, "best": list(best.rank)}
                save_checkpoint(checkpoints, trainer.update, {"trainer": whole, **around})

        journal = _journal(folder, run, trainer, display, resumed=state is not None, log_to=log_to)
        with journal as write, _stop_requests(twice=ranks.size == 1) as stop:
            if state is None:
                save()
            reason, _ = _agree(ranks, _reached(trainer, limits, time.monotonic() - began, stop), False)
            saved, ticked, steps = time.monotonic(), time.monotonic(), trainer.agent_steps
            updates = trainer.updates()
            while reason is None:
                report = next(updates)
                now = time.monotonic()
                rate = (report.agent_steps - steps) / (now - ticked)
                ticked, steps = now, report.agent_steps
                for record in _records(run, trainer, report, earlier + now - began, rate):
                    write(record)
                kept = [
                    milestones.save_if_due() if milestones is not None else None,
                    best.take(report.outcomes, report.update, report.agent_steps) if best is not None else None,
                ]
                for record in filter(None, kept):
                    write(record)
                wanted = _reached(trainer, limits, now - began, stop)
                reason, due = _agree(ranks, wanted, now - saved >= checkpoint_every)
                if reason is None and due:
                    save()
                    saved = time.monotonic()
            write({"kind": "end", "update": trainer.update, "reason": reason})
            save()
    return reason


def _go_on(trainer: Trainer, state: dict[str, Any], run: Run) -> None:
    """Has ``trainer`` go on from ``state``; what another version saved may have other parts than this one looks for."""
    try:
        trainer.load_state_dict(state)
    except (CurriculumError, LookupError, TypeError, ValueError, RuntimeError) as error:
        begun = " ".join(run.versions[name] for name in ("demo-curriculum", "git") if run.versions.get(name))
        raise DemoCurriculumError(
            f"the checkpoint is of another version of demo-curriculum ({type(error).__name__}: {error}); the run was "
            f"begun with {begun}: go on with that one, or choose another --run-dir"
        ) from error


@contextmanager
def _alone(folder: Path, ranks: Ranks) -> Iterator[None]:
    """Keeps other trainings from the run in ``folder``, whose log and checkpoints two would write over each other."""
    with ExitStack() as stack:

        def lock() -> None:
            try:
                stack.enter_context(write_lock(folder / CONFIG))
            except StoreError as error:
                raise DemoCurriculumError(
                    f"{folder}: another process trains this run; wait for its end, or choose another --run-dir"
                ) from error

        ranks.from_first(lock)
        yield


def _agree(ranks: Ranks, reason: Reason | None, save_due: bool) -> tuple[Reason | None, bool]:
    """Why all ranks stop now, which any one may want, and whether they save, which is up to the first."""
    wishes = ranks.gather((reason, save_due))
    return next((reason for reason, _ in wishes if reason is not None), None), wishes[0][1]


@contextmanager
def _journal(
    folder: Path, run: Run, trainer: Trainer, display: Display | None, *, resumed: bool, log_to: Sequence[WriterName]
) -> Iterator[Callable[[Record], None]]:
    """Takes records to the progress log, to tools and to the display; at all ranks but the first nowhere."""
    if display is None:
        yield lambda record: None
        return
    path = folder / "progress.jsonl"
    if resumed:
        truncate_after(path, trainer.update)
    else:
        path.unlink(missing_ok=True)
    header = run_record(run)
    writers = Writers(log_to, folder, header, resume_at=trainer.agent_steps if resumed else None)
    with ProgressLog(path) as log, writers:

        def write(record: Record) -> None:
            log.write(record)
            writers.write(record)
            if record["kind"] in ("move", "buckets", "remedy"):
                display.event(record)
            elif record["kind"] == "update":
                display.update(record)

        if resumed:
            write({"kind": "resume", "update": trainer.update, "reason": "resumed from a checkpoint"})
            display.message(f"going on from update {trainer.update}, {trainer.agent_steps:,} agent steps")
        else:
            write(header)
        yield write


def run_record(run: Run) -> Record:
    """The progress log's first line."""
    config = run.config
    return {
        "kind": "run",
        "schema": SCHEMA,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "demos": run.demos,
        "protocol": {
            "sticky": config.sticky,
            "noop_max": config.noop_max,
            "jitter": config.jitter if config.rule == "adaptive" else 0,
            "frame_skip": config.frame_skip,
            "observation": config.observation,
            "end_on_life_loss": config.end_on_life_loss,
            "rnd": config.rnd,
            "imitation": config.imitation_weight,
        },
        "rule": config.rule,
        "seed": config.seed,
        "config": config.to_json(),
        "versions": run.versions,
    }


def _reached(trainer: Trainer, limits: Limits, seconds: float, stop: list[int]) -> Reason | None:
    if stop:
        return "interrupted"
    target = limits.until_frontier
    if target is not None and (
        trainer.curriculum.finished if target == 0 else max(trainer.curriculum.frontiers) <= target
    ):
        return "frontier"
    if trainer.stall.stalled:
        return "stalled"
    if limits.seconds is not None and seconds >= limits.seconds:
        return "time limit"
    if limits.agent_steps is not None and trainer.agent_steps >= limits.agent_steps:
        return "agent steps"
    return None


def _records(run: Run, trainer: Trainer, report: UpdateReport, seconds: float, rate: float) -> list[Record]:
    """What one update adds to the log."""
    records: list[Record] = [
        {"kind": "move", "update": report.update, "agent_steps": report.agent_steps, **move._asdict()}
        for move in report.moves
    ]
    if report.remedy is not None:
        stall = {"update": report.update, "agent_steps": report.agent_steps, "left": trainer.curriculum.left}
        records.append({"kind": "remedy", **stall, "remedy": report.remedy, "still": trainer.stall.still})
    demos = trainer.curriculum.report()["demos"]
    outcomes = report.outcomes
    from_reset = [
        outcome.score
        for outcome in outcomes
        if outcome.start[1:] == (-run.demos[outcome.start.demo]["offset"], run.demos[outcome.start.demo]["length"], ())
        and not outcome.setbacks
    ]
    metrics = dict(report.metrics)
    if outcomes:
        metrics["rollout/ep_len_mean"] = float(np.mean([outcome.length for outcome in outcomes]))
        metrics["rollout/ep_rew_mean"] = float(np.mean([outcome.score for outcome in outcomes]))
        for name, some in (
            ("tie_rate", outcomes),
            ("tie_rate_jittered", [outcome for outcome in outcomes if outcome.start.walk]),
            ("tie_rate_after_setbacks", [outcome for outcome in outcomes if outcome.setbacks]),
        ):
            if some:
                metrics[f"rollout/{name}"] = float(np.mean([outcome.tied for outcome in some]))
    records.append(
        {
            "kind": "update",
            "update": report.update,
            "agent_steps": report.agent_steps,
            "frames": report.frames,
            "seconds": round(seconds, 2),
            "steps_per_second": round(rate, 1),
            "frontiers": [demo["frontier"] for demo in demos],
            "segments": [demo["segments"] for demo in demos],
            "tie_rate": [demo["tie_rate"] for demo in demos],
            "reset_tie_rate": [demo["reset_tie_rate"] for demo in demos],
            "reset_trials": [demo["reset_trials"] for demo in demos],
            "score": float(np.mean(from_reset)) if from_reset else None,
            "metrics": metrics,
        }
    )
    if report.update % BUCKETS_EVERY == 0 or report.update <= ALL_BUCKETS:
        records += [
            {
                "kind": "buckets",
                "update": report.update,
                "demo": index,
                "width": buckets.width,
                # No picture shows more digits, and of a long demo these are most of the log.
                "tie_rate": [None if rate is None else round(rate, 2) for rate in buckets.tie_rate],
                "trials": [round(trials) for trials in buckets.trials],
            }
            for index, buckets in enumerate(trainer.curriculum.buckets())
        ]
    return records


@contextmanager
def _stop_requests(*, twice: bool) -> Iterator[list[int]]:
    """A list that fills when SIGINT or SIGTERM arrives, in place of their usual effect.

    With ``twice`` a second SIGINT has that effect; a rank gets one from the terminal and one from its launcher.
    """
    received: list[int] = []

    def request(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if twice:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    before: dict[int, Any] = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
