"""The progress of a run for the tools that people watch experiments with, beside the run's own log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.progress.schema import Record
from demo_curriculum.progress.view import left_to_climb, segments_of

WriterName = Literal["tensorboard", "wandb", "trackio"]
MOST_BINS = 64
"""All three tools draw as many; W&B refuses more than 512."""
PROJECT = "demo-curriculum"
"""The project that a tool which has projects keeps all runs in, unless its environment variable says otherwise."""


class Histogram(NamedTuple):
    """``counts``, f64 (bins,), between ``edges``, f64 (bins + 1,), increasing."""

    counts: NDArray[np.float64]
    edges: NDArray[np.float64]


class Writer(Protocol):
    """Where figures go; the horizontal axis of everything is agent steps."""

    def scalars(self, values: Mapping[str, float], agent_steps: int) -> None: ...

    def histogram(self, tag: str, histogram: Histogram, agent_steps: int) -> None: ...

    def film(self, tag: str, path: Path, agent_steps: int) -> None:
        """Takes in an MP4."""
        ...

    def close(self) -> None: ...


class Writers:
    """Brings the records of a run to every writer asked for.

    Use as a context manager.

    Args:
        names: of the writers; none is fine.
        run_dir: of the run; its name is the run's name.
        run: the ``run`` record.
        resume_at: agent steps of the checkpoint from which the run goes on.

    Raises:
        DemoCurriculumError: one of them is not installed.
    """

    def __init__(
        self, names: Sequence[WriterName], run_dir: Path, run: Record, *, resume_at: int | None = None
    ) -> None:
        self._demos = run["demos"]
        self._writers: list[Writer] = []
        with ExitStack() as opened:
            for name in dict.fromkeys(names):
                self._writers.append(_open(name, run_dir, run, resume_at))
                opened.callback(self._writers[-1].close)
            self._opened = opened.pop_all()
        self._agent_steps = resume_at or 0

    def write(self, record: Record) -> None:
        """Takes in an ``update`` or ``buckets`` record, and passes over others; what is null in it is left out."""
        if not self._writers:
            return
        if record["kind"] == "update":
            self._agent_steps = record["agent_steps"]
            values = scalars(record, self._demos)
            for writer in self._writers:
                writer.scalars(values, self._agent_steps)
        elif record["kind"] == "buckets" and record.get("trials"):
            tag = "curriculum/starts" + (f"_{record['demo']}" if len(self._demos) > 1 else "")
            starts = histogram_of_starts(record, self._demos[record["demo"]]["length"])
            for writer in self._writers:
                writer.histogram(tag, starts, self._agent_steps)

    def film(self, path: Path, agent_steps: int) -> None:
        for writer in self._writers:
            writer.film("climb", path, agent_steps)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()


def _open(name: WriterName, run_dir: Path, run: Record, resume_at: int | None) -> Writer:
    if name == "tensorboard":
        from demo_curriculum.progress.tensorboard import TensorBoardWriter

        return TensorBoardWriter(run_dir / "tensorboard", resume_at=resume_at)
    from demo_curriculum.progress.trackers import TrackioWriter, WandbWriter

    config = {**run.get("config", {}), "demos": run["demos"], "versions": run.get("versions", {})}
    return (WandbWriter if name == "wandb" else TrackioWriter)(run_dir.resolve(), config)


def scalars(record: Mapping[str, Any], demos: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The tags and values of an ``update`` record, under Stable-Baselines3's tags where it has one; with several demos,
    theirs end in ``_0``, ``_1``, …"""
    found = {
        **record["metrics"],
        "time/fps": record["steps_per_second"],
        "time/time_elapsed": record["seconds"],
        "curriculum/reset_score": record["score"],
        "curriculum/left": sum(map(left_to_climb, segments_of(record, demos))),
    }
    for name, tag in (("frontiers", "frontier"), ("tie_rate", "tie_rate"), ("reset_tie_rate", "reset_tie_rate")):
        for index, value in enumerate(record[name]):
            suffix = f"_{index}" if len(record[name]) > 1 else ""
            found[f"curriculum/{tag}{suffix}"] = value
    return {tag: float(value) for tag, value in found.items() if value is not None}


def histogram_of_starts(buckets: Mapping[str, Any], length: int) -> Histogram:
    """From which demo steps the recent episodes began, from a ``buckets`` record; at most ``MOST_BINS`` bins.

    Args:
        length: demo steps of the demo, where the last bin ends.
    """
    trials = np.asarray(buckets["trials"], np.float64)
    together = -(-len(trials) // MOST_BINS)
    firsts = np.arange(0, len(trials), together)
    edges = np.minimum(np.append(firsts, len(trials)) * buckets["width"], length).astype(np.float64)
    return Histogram(np.add.reduceat(trials, firsts), edges)
