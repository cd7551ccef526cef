"""``demo-curriculum replay``: a run's climb, seen again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import tyro

from demo_curriculum.errors import DemoCurriculumError, UsageError
from demo_curriculum.progress.schema import Record
from demo_curriculum.progress.writers import WriterName

PICTURE = "climb.png"
THUMBNAILS = 240
"""Pictures of each demo on the page, 3 to 6 kB each."""


def main(
    run_dirs: tyro.conf.Positional[tuple[Path, ...]],
    *,
    terminal: Annotated[bool, tyro.conf.arg(help_behavior_hint="")] = False,
    follow: Annotated[bool, tyro.conf.arg(help_behavior_hint="")] = False,
    png: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None,
    html: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None,
    film: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None,
    demo: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None,
    speed: Annotated[float | None, tyro.conf.arg(metavar="FACTOR", help_behavior_hint="")] = None,
    log_to: tuple[WriterName, ...] = (),
) -> None:
    """Shows a run's climb again; without a choice, in the terminal and as a picture in climb.png of the run directory.

    Args:
        run_dirs: the run directory of a training; --html takes several and lays them over each other.
        terminal: in the terminal; space pauses, the arrows jump and change the speed, q quits.
        follow: in the terminal, live, while the run trains elsewhere; from its log alone.
        png: a picture, into this file.
        html: a page that needs no network, into this file.
        film: a film (MP4) of the policies kept along the climb, each playing from its frontier beside the
            demonstrator, into this file.
        demo: the demo file, where the run directory has no copy of it; page and film show its frames.
        speed: how many times as fast as the training was; by default the replay takes ten seconds.
        log_to: tools that get the film too, as those of the training's --log-to got its figures.
    """
    if not run_dirs or (len(run_dirs) > 1 and html is None):
        raise UsageError("replay takes one run directory; with --html FILE several")
    if log_to and film is None:
        raise UsageError("--log-to takes a film to these tools: give --film FILE too; train --log-to takes the figures")

    if follow:
        from demo_curriculum.progress.playback import follow_climb

        follow_climb(run_dirs[0])
        return

    from demo_curriculum.progress.log import write_atomically
    from demo_curriculum.progress.story import read_climb

    notes: list[list[str]] = [[] for _ in run_dirs]

    def warner(folder: Path, told: list[str]) -> Callable[[str], None]:
        def warn(text: str) -> None:
            # A page that is passed on need not tell where the run was.
            told.append(text.replace(f"{folder}/", f"{folder.resolve().name}/"))
            print(f"warning: {text}", file=sys.stderr)

        return warn

    climbs = [read_climb(folder, warner(folder, told)) for folder, told in zip(run_dirs, notes, strict=True)]
    anything = terminal or any(wanted is not None for wanted in (png, html, film))
    if terminal or not anything:
        from demo_curriculum.progress.playback import play_climb

        play_climb(climbs[0], speed=speed)
    if html is not None:
        from demo_curriculum.progress.frames import Pictures, pictures_of_run
        from demo_curriculum.progress.page import Climb, draw_page

        shown = []
        drawn: dict[str, Pictures] = {}
        for folder, records, told in zip(run_dirs, climbs, notes, strict=True):
            pictures = pictures_of_run(records[0]["demos"], folder, demo, THUMBNAILS, warner(folder, told), drawn)
            shown.append(Climb(folder.resolve().name, records, pictures, told))
        write_atomically(html, draw_page(shown).encode())
        print(f"wrote {html}")
    if film is not None:
        _film(run_dirs[0], climbs[0], demo, film, log_to)
    if png is not None or not anything:
        from demo_curriculum.progress.picture import draw_climb

        picture = png or run_dirs[0] / PICTURE
        write_atomically(picture, draw_climb(climbs[0]))
        print(f"wrote {picture}")


def _film(run_dir: Path, records: list[Record], demo: Path | None, path: Path, log_to: tuple[WriterName, ...]) -> None:
    from demo_curriculum.cli.bars import step_bar
    from demo_curriculum.progress.film import film_climb
    from demo_curriculum.progress.frames import demos_of_run
    from demo_curriculum.progress.view import segments_of
    from demo_curriculum.progress.writers import Writers

    demos = demos_of_run(records[0]["demos"], run_dir, demo)
    if demos is None:
        raise DemoCurriculumError(f"{run_dir} has no copy of its demo; give the file it was trained on with --demo")
    updates = [record for record in records if record["kind"] == "update"]
    # Opened first: a tool that is not installed says so before the work.
    with Writers(log_to, run_dir, records[0]) as writers:
        with step_bar("filming") as done:
            scenes = film_climb(run_dir, demos, path, segments_of(updates[-1], records[0]["demos"])[0], done)
        writers.film(path, updates[-1]["agent_steps"])
    print(f"wrote {path}: {scenes} scenes")
