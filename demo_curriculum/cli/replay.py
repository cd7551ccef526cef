"""``demo-curriculum replay``: a run's climb, seen again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.progress.log import LogError, read_log, write_atomically
from demo_curriculum.progress.picture import draw_climb
from demo_curriculum.progress.playback import play_climb, run_record

LOG = "progress.jsonl"
PICTURE = "climb.png"


def main(
    run_dir: Annotated[Path, tyro.conf.Positional],
    *,
    terminal: Annotated[bool, tyro.conf.arg(help_behavior_hint="")] = False,
    png: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None,
    speed: Annotated[float | None, tyro.conf.arg(metavar="FACTOR", help_behavior_hint="")] = None,
) -> None:
    """Shows a run's climb again: in the terminal, and as a picture in climb.png of the run directory.

    Args:
        run_dir: the run directory of a training.
        terminal: only in the terminal.
        png: only the picture, into this file.
        speed: how many times as fast as the training was; by default the replay takes ten seconds.
    """
    log = run_dir / LOG
    if not log.is_file():
        raise DemoCurriculumError(f"{run_dir}: not a run directory, it has no {LOG}; give the --run-dir of a training")
    records = read_log(log)
    try:
        run_record(records)
    except LogError as error:
        raise LogError(f"{log}: {error}") from error
    if terminal or png is None:
        play_climb(records, speed=speed)
    if png is not None or not terminal:
        picture = png or run_dir / PICTURE
        write_atomically(picture, draw_climb(records))
        print(f"wrote {picture}")
