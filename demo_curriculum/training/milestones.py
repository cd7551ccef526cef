"""Policies kept for good along a climb, so that it can be watched afterwards.

``R/milestones/00000042`` is a checkpoint that holds the policy alone: its weights, and where the climb stood.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from demo_curriculum.progress.schema import Record
from demo_curriculum.training.checkpoint import CheckpointError, checkpoints, load_checkpoint, save_checkpoint
from demo_curriculum.training.trainer import Trainer

MILESTONES = "milestones"


class Milestone(NamedTuple):
    """The policy after update number ``update``, and where the climb stood then.

    Attributes:
        frontiers: one a demo.
        segments: of each demo the [begin, goal, frontier] of its segments.
        left: demo steps still to climb.
        policy: its ``state_dict``.
    """

    update: int
    agent_steps: int
    frontiers: list[int]
    segments: list[list[list[int]]]
    left: int
    policy: dict[str, Tensor]


class MilestoneKeeper:
    """Saves the policy whenever the climb has come another ``count``-th of the way, and at its end.

    Retreats are not a way, so that at most ``count`` + 1 are saved.

    Args:
        run_dir: where ``milestones/`` goes; those from after ``update`` are removed.
        trainer: at the run's beginning, or at the checkpoint from which it goes on.
        count: 0 saves none.
    """

    def __init__(self, run_dir: Path, trainer: Trainer, count: int) -> None:
        self._folder = run_dir / MILESTONES
        self._trainer = trainer
        self._count = count
        whole = sum(len(demo) for demo in trainer.env.demos)
        self._spacing = whole / count if count else 0.0
        self._reached = float(whole)
        for path in checkpoints(self._folder):
            if int(path.name) > trainer.update:
                shutil.rmtree(path)
        kept = read_milestones(run_dir)
        if kept:
            self._reached = float(kept[-1].left)

    def save_if_due(self) -> Record | None:
        """Returns the ``checkpoint`` record for the progress log where a policy was saved."""
        left = self._trainer.curriculum.left
        at_the_beginning = left <= 0 < self._reached
        if not self._count or not (at_the_beginning or self._reached - left >= self._spacing):
            return None
        self._reached = left
        update = self._trainer.update
        told: dict[str, Any] = {"update": update, "agent_steps": self._trainer.agent_steps}
        demos = self._trainer.curriculum.report()["demos"]
        told |= {"frontiers": [demo["frontier"] for demo in demos], "segments": [demo["segments"] for demo in demos]}
        told["left"] = left
        save_checkpoint(self._folder, update, {**told, "policy": self._trainer.policy.state_dict()}, kept=None)
        return {"kind": "checkpoint", **told}


def read_milestones(run_dir: Path) -> list[Milestone]:
    """All of a run that are whole, oldest first."""
    found = []
    for path in checkpoints(run_dir / MILESTONES):
        # A state without one of the fields is another version's.
        with suppress(CheckpointError, KeyError):
            state = load_checkpoint(path)
            found.append(Milestone(**{name: state[name] for name in Milestone._fields}))
    return found
