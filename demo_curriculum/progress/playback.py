"""A climb replayed in the terminal from its progress log."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.live import Live

from demo_curriculum.errors import UsageError
from demo_curriculum.progress.log import Record
from demo_curriculum.progress.story import run_record
from demo_curriculum.progress.view import ClimbView, headline, protocol

FRAMES_PER_SECOND = 10
LASTS = 10.0
"""Seconds that a replay takes when no speed is asked for."""
LINES = 20
BAR_WIDTH = 40


def play_climb(records: Sequence[Record], *, speed: float | None = None, console: Console | None = None) -> None:
    """Replays the climb: animated on a terminal, a line for each of some twenty moments elsewhere.

    Args:
        speed: how many times as fast as the training was; by default the replay takes ten seconds.

    Raises:
        LogError: the log has nothing to show.
        UsageError: the speed is not above 0.
    """
    if speed is not None and not speed > 0:
        raise UsageError(f"speed {speed:g}: must be above 0")
    run = run_record(records)
    view = ClimbView(run)
    console = console or Console()
    times = [float(record["seconds"]) for record in records if record["kind"] == "update"]
    if console.is_terminal:
        count = max(1, round(FRAMES_PER_SECOND * (LASTS if speed is None else times[-1] / speed)))
        with Live(view, console=console, auto_refresh=False) as live:
            for _ in _advance(view, records, (times[-1] * (frame + 1) / count for frame in range(count))):
                live.refresh()
                time.sleep(1 / FRAMES_PER_SECOND)
    else:
        shown = sorted({round(number * (len(times) - 1) / (LINES - 1)) for number in range(LINES)})
        for text in (headline(run), protocol(run)):
            console.print(text, soft_wrap=True, highlight=False, markup=False)
        for _ in _advance(view, records, (times[index] for index in shown)):
            bars = " ".join(bar.plain for bar in view.bars(BAR_WIDTH))
            console.print(f"{bars}  {view.line()}", soft_wrap=True, highlight=False, markup=False)


def _advance(view: ClimbView, records: Sequence[Record], times: Iterable[float]) -> Iterator[None]:
    """Gives ``view`` the records up to each of ``times`` in turn, seconds of training."""
    index = 0
    for moment in times:
        # Some slack, because the last moment is computed and must not fall short of the last update.
        while index < len(records) and records[index].get("seconds", 0.0) <= moment + 1e-6:
            view.add(records[index])
            index += 1
        yield
