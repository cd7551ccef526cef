"""What every benchmark is given: the demo, trainers on it, and a clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from demo_curriculum.demo import Demo
from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.training.config import TrainConfig
from demo_curriculum.training.ranks import Ranks
from demo_curriculum.training.run import Run, build_trainer, describe, replay
from demo_curriculum.training.trainer import Trainer

Rate = Callable[[], float]


class SkippedError(DemoCurriculumError):
    """Something cannot be measured here; says why."""


@dataclass
class Bench:
    """What is measured, and what has to be ended afterwards.

    Attributes:
        seconds: of each turn at least; one update of training takes longer.
    """

    path: Path
    demo: Demo
    envs: int
    seconds: float
    folder: Path
    stack: ExitStack
    _trainers: dict[tuple[Any, ...], Trainer] = field(default_factory=dict)

    def run(self, observation: str, rnd: bool = True) -> Run:
        return describe([self.demo], TrainConfig(observation=observation, envs=self.envs, rnd=rnd))  # type: ignore[arg-type]

    def trainer(self, observation: str, rnd: bool = True, workers: int = 0) -> Trainer:
        key = (observation, rnd, workers)
        if key not in self._trainers:
            run = self.run(observation, rnd)
            trainer = build_trainer(run, replay(run, [self.demo], Ranks(), self.folder), Ranks(), workers=workers)
            self.stack.callback(trainer.env.close)
            self._trainers[key] = trainer
        return self._trainers[key]

    def atari(self) -> None:
        """Raises SkippedError where the demo is not of an Atari game."""
        if not self.demo.simulator.env_id.startswith("ALE/"):
            raise SkippedError("of Atari games alone")

    def repeat(self, work: Callable[[], int]) -> Rate:
        """Calls ``work``, which returns how much it did, again and again; how much that is a second."""
        return partial(timed, work, self.seconds)


def timed(work: Callable[[], int], seconds: float) -> float:
    done, began = 0, time.perf_counter()
    while True:
        done += work()
        passed = time.perf_counter() - began
        if passed >= seconds:
            return done / passed
