"""The progress of a run in Weights & Biases and in trackio.

Neither uses the network unless its own environment variables ask for that: W&B keeps everything in the run directory
until ``wandb sync`` (``WANDB_MODE=online`` sends it at once), trackio in its folder on this machine
(``TRACKIO_SPACE_ID`` sends it to a Space). Neither can take points back: what a run did after the checkpoint from which
it goes on shows twice.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.progress.writers import PROJECT, Histogram

AXIS = "agent_steps"


class WandbWriter:
    """Writes to W&B, offline by default. Implements ``Writer``.

    Args:
        run_dir: whose ``wandb`` folder keeps the files; a run that is in there already is gone on with.
        config: what W&B shows as the run's config.

    Raises:
        DemoCurriculumError: wandb is not installed, or refuses.
    """

    def __init__(self, run_dir: Path, config: Mapping[str, Any]) -> None:
        if os.environ.get("WANDB_MODE", "offline") != "online":
            # Its helper process reports its own errors home even when it is offline.
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        try:
            import wandb
        except ImportError as error:
            raise DemoCurriculumError("W&B needs wandb: pip install 'demo-curriculum[wandb]'") from error
        self._wandb: Any = wandb
        # W&B names its folders ….-run-<time>-<id>.
        earlier = sorted((run_dir / "wandb").glob("*run-*-*"))
        try:
            self._run = self._wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                name=run_dir.name,
                dir=run_dir,
                config=dict(config),
                mode=os.environ.get("WANDB_MODE", "offline"),
                id=earlier[-1].name.rsplit("-", 1)[-1] if earlier else None,
                resume="allow" if earlier else None,
                # Its banner, and its hold of the terminal, would break into the display of the training.
                settings=wandb.Settings(silent=True, console="off"),
            )
        except wandb.errors.Error as error:
            raise DemoCurriculumError(f"W&B refuses: {error}; WANDB_MODE=offline needs no account") from error
        self._run.define_metric("*", step_metric=AXIS)

    def scalars(self, values: Mapping[str, float], agent_steps: int) -> None:
        self._run.log({**values, AXIS: agent_steps})

    def histogram(self, tag: str, histogram: Histogram, agent_steps: int) -> None:
        drawn = self._wandb.Histogram(np_histogram=(histogram.counts.tolist(), histogram.edges.tolist()))
        self._run.log({tag: drawn, AXIS: agent_steps})

    def film(self, tag: str, path: Path, agent_steps: int) -> None:
        self._run.log({tag: self._wandb.Video(str(path), format="mp4"), AXIS: agent_steps})

    def close(self) -> None:
        self._run.finish()


class TrackioWriter:
    """Writes to trackio, on this machine by default. Implements ``Writer``.

    Args:
        run_dir: whose name is the run's; a run of that name that is there already is gone on with.
        config: what trackio shows as the run's config.

    Raises:
        DemoCurriculumError: trackio is not installed.
    """

    def __init__(self, run_dir: Path, config: Mapping[str, Any]) -> None:
        try:
            import trackio
        except ImportError as error:
            raise DemoCurriculumError("trackio is not installed: pip install 'demo-curriculum[trackio]'") from error
        self._trackio: Any = trackio
        # Standard output is for results.
        with redirect_stdout(sys.stderr):
            self._run = self._trackio.init(
                project=os.environ.get("TRACKIO_PROJECT", PROJECT),
                name=run_dir.name,
                config=dict(config),
                resume="allow",
                embed=False,
                auto_log_cpu=False,
                auto_log_gpu=False,
            )

    def scalars(self, values: Mapping[str, float], agent_steps: int) -> None:
        self._run.log(dict(values), step=agent_steps)

    def histogram(self, tag: str, histogram: Histogram, agent_steps: int) -> None:
        drawn = self._trackio.Histogram(np_histogram=(histogram.counts.tolist(), histogram.edges.tolist()))
        self._run.log({tag: drawn}, step=agent_steps)

    def film(self, tag: str, path: Path, agent_steps: int) -> None:
        self._run.log({tag: self._trackio.Video(str(path))}, step=agent_steps)

    def close(self) -> None:
        # Not the run's own method: trackio would finish it once more as the process ends.
        with redirect_stdout(sys.stderr):
            self._trackio.finish()
