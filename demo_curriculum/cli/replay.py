"""``demo-curriculum replay``: a run's climb, seen again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro

from demo_curriculum.progress.log import write_atomically
from demo_curriculum.progress.picture import draw_climb
from demo_curriculum.progress.playback import play_climb
from demo_curriculum.progress.story import read_climb

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
    records = read_climb(run_dir, lambda text: print(f"warning: {text}", file=sys.stderr))
    if terminal or png is None:
        play_climb(records, speed=speed)
    if png is not None or not terminal:
        picture = png or run_dir / PICTURE
        write_atomically(picture, draw_climb(records))
        print(f"wrote {picture}")
