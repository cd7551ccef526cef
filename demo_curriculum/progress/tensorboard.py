"""The progress of a run as TensorBoard events, under Stable-Baselines3's tags where it has one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from demo_curriculum.errors import DemoCurriculumError


class TensorBoardWriter:
    """Writes update records; the horizontal axis is agent steps.

    Use as a context manager, or call ``close``.

    Args:
        folder: where the event files go.
        resume_at: agent steps of the checkpoint from which the run goes on; later points are dropped by TensorBoard.

    Raises:
        DemoCurriculumError: tensorboard is not installed.
    """

    def __init__(self, folder: Path, *, resume_at: int | None = None) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise DemoCurriculumError(
                "TensorBoard events need tensorboard: pip install 'demo-curriculum[tensorboard]'"
            ) from error
        self._writer = SummaryWriter(str(folder), purge_step=resume_at)

    def write(self, record: Mapping[str, Any]) -> None:
        """Adds an ``update`` record; what is null in it is left out."""
        for tag, value in scalars(record).items():
            self._writer.add_scalar(tag, value, record["agent_steps"])

    def close(self) -> None:
        self._writer.close()

    def __enter__(self) -> TensorBoardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def scalars(record: Mapping[str, Any]) -> dict[str, float]:
    """The tags and values of an ``update`` record; with several demos, theirs end in ``_0``, ``_1``, …"""
    found = {
        **record["metrics"],
        "time/fps": record["steps_per_second"],
        "time/time_elapsed": record["seconds"],
        "curriculum/reset_score": record["score"],
    }
    for name, tag in (("frontiers", "frontier"), ("tie_rate", "tie_rate"), ("reset_tie_rate", "reset_tie_rate")):
        for index, value in enumerate(record[name]):
            suffix = f"_{index}" if len(record[name]) > 1 else ""
            found[f"curriculum/{tag}{suffix}"] = value
    return {tag: float(value) for tag, value in found.items() if value is not None}
