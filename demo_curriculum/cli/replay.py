"""``demo-curriculum replay``: a run's climb, seen again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import tyro

from demo_curriculum.errors import UsageError

PICTURE = "climb.png"
THUMBNAILS = 240
"""Pictures of each demo on the page, 3 to 6 kB each."""


def main(
    run_dirs: tyro.conf.Positional[tuple[Path, ...]],
    *,
    terminal: Annotated[bool, tyro.conf.arg(help_behavior_hint="")] = False,
    png: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None,
    html: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None,
    demo: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None,
    speed: Annotated[float | None, tyro.conf.arg(metavar="FACTOR", help_behavior_hint="")] = None,
) -> None:
    """Shows a run's climb again; without a choice, in the terminal and as a picture in climb.png of the run directory.

    Args:
        run_dirs: the run directory of a training; --html takes several and lays them over each other.
        terminal: in the terminal.
        png: a picture, into this file.
        html: a page that needs no network, into this file.
        demo: the demo file, where the run directory has no copy of it; the page shows its frames.
        speed: how many times as fast as the training was; by default the replay takes ten seconds.
    """
    if not run_dirs or (len(run_dirs) > 1 and html is None):
        raise UsageError("replay takes one run directory; with --html FILE several")

    from demo_curriculum.progress.log import write_atomically
    from demo_curriculum.progress.story import read_climb

    notes: list[list[str]] = [[] for _ in run_dirs]

    def warner(told: list[str]) -> Callable[[str], None]:
        def warn(text: str) -> None:
            told.append(text)
            print(f"warning: {text}", file=sys.stderr)

        return warn

    climbs = [read_climb(folder, warner(told)) for folder, told in zip(run_dirs, notes, strict=True)]
    anything = terminal or png is not None or html is not None
    if terminal or not anything:
        from demo_curriculum.progress.playback import play_climb

        play_climb(climbs[0], speed=speed)
    if html is not None:
        from demo_curriculum.progress.frames import Pictures, pictures_of_run
        from demo_curriculum.progress.page import Climb, draw_page

        shown = []
        drawn: dict[str, Pictures] = {}
        for folder, records, told in zip(run_dirs, climbs, notes, strict=True):
            pictures = pictures_of_run(records[0]["demos"], folder, demo, THUMBNAILS, warner(told), drawn)
            shown.append(Climb(folder.resolve().name, records, pictures, told))
        write_atomically(html, draw_page(shown).encode())
        print(f"wrote {html}")
    if png is not None or not anything:
        from demo_curriculum.progress.picture import draw_climb

        picture = png or run_dirs[0] / PICTURE
        write_atomically(picture, draw_climb(climbs[0]))
        print(f"wrote {picture}")
