"""A climb in the terminal, from its progress log: played, paused, sought through, or followed while it goes on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from demo_curriculum.errors import UsageError
from demo_curriculum.progress.keys import Keys
from demo_curriculum.progress.log import LogError, LogTail
from demo_curriculum.progress.schema import Record
from demo_curriculum.progress.story import LOG, read_climb, run_record
from demo_curriculum.progress.view import ClimbView, duration, headline, protocol

FRAMES_PER_SECOND = 10
LASTS = 10.0
"""Seconds that a replay takes when no speed is asked for."""
LINES = 20
BAR_WIDTH = 40
JUMPS = 20
"""Jumps from a climb's beginning to its end."""
FOLLOW_HELP = "following a live run   q quit"
HELP = "space play or pause   ← → jump   ↑ ↓ faster, slower   home end   q quit"


class ClimbPlayer:
    """Where a replay stands: a moment of the training, how fast it passes, and the view of it.

    Args:
        records: of ``story.read_climb``.
        speed: how many times as fast as the training was; by default the whole takes ten seconds.

    Raises:
        LogError: the log has nothing to show.
        UsageError: the speed is not above 0.
    """

    def __init__(self, records: Sequence[Record], speed: float | None = None) -> None:
        if speed is not None and not speed > 0:
            raise UsageError(f"speed {speed:g}: must be above 0")
        self._run = run_record(records)
        self._records = records
        self.times = [float(record["seconds"]) for record in records if record["kind"] == "update"]
        self.speed = speed if speed is not None else self.times[-1] / LASTS
        self.paused = False
        self.quit = False
        self.seek(0.0)

    @property
    def ended(self) -> bool:
        return self.moment >= self.times[-1]

    def seek(self, moment: float) -> None:
        """To a moment, in seconds of training."""
        self.moment, self._next = 0.0, 0
        self.view = ClimbView(self._run)
        self.advance(min(max(moment, 0.0), self.times[-1]))

    def advance(self, seconds: float) -> None:
        """Onwards by so many seconds of training."""
        self.moment = min(self.moment + seconds, self.times[-1])
        # Some slack, because the moment is computed and must not fall short of the last update.
        while self._next < len(self._records) and self._seconds(self._next) <= self.moment + 1e-6:
            self.view.add(self._records[self._next])
            self._next += 1

    def _seconds(self, index: int) -> float:
        # What is logged between two updates is shown with the one before it.
        return float(self._records[index].get("seconds", 0.0)) if self._records[index]["kind"] == "update" else 0.0

    def press(self, key: str) -> None:
        """Takes in a key, as ``Keys`` names it; unknown ones do nothing."""
        jump = self.times[-1] / JUMPS
        if key == "space":
            if self.ended:
                self.seek(0.0)
                self.paused = False
            else:
                self.paused = not self.paused
        elif key in ("left", "right"):
            self.seek(self.moment + (jump if key == "right" else -jump))
        elif key in ("home", "end"):
            self.seek(0.0 if key == "home" else self.times[-1])
        elif key in ("up", "down"):
            self.speed *= 2 if key == "up" else 0.5
        elif key == "q":
            self.quit = True

    def screen(self) -> Group:
        state = "paused" if self.paused else "at its end" if self.ended else "playing"
        where = f"{duration(self.moment)} of {duration(self.times[-1])}, {state}, {self.speed:,.3g} times as fast"
        return Group(self.view, Text(where, style="bold"), Text(HELP, style="dim"))


def play_climb(
    records: Sequence[Record], *, speed: float | None = None, console: Console | None = None, keys: Keys | None = None
) -> None:
    """Replays the climb: animated on a terminal, a line for each of some twenty moments elsewhere.

    Where keys can be read, they steer it, and it stays at its end until ``q``.

    Raises:
        LogError: the log has nothing to show.
        UsageError: the speed is not above 0.
    """
    player = ClimbPlayer(records, speed)
    console = console or Console()
    if not console.is_terminal:
        _print_moments(player, records[0], console)
        return
    with keys or Keys.of_terminal() as pressed, Live(console=console, auto_refresh=False) as live:
        while not player.quit:
            live.update(player.screen(), refresh=True)
            if player.ended and not pressed.available:
                return
            time.sleep(1 / FRAMES_PER_SECOND)
            for key in pressed.read():
                player.press(key)
            if not player.paused:
                player.advance(player.speed / FRAMES_PER_SECOND)


def _print_moments(player: ClimbPlayer, run: Record, console: Console) -> None:
    def show(text: str) -> None:
        console.print(text, soft_wrap=True, highlight=False, markup=False)

    show(headline(run))
    show(protocol(run))
    shown = sorted({round(number * (len(player.times) - 1) / (LINES - 1)) for number in range(LINES)})
    for index in shown:
        player.advance(player.times[index] - player.moment)
        bars = " ".join(bar.plain for bar in player.view.bars(BAR_WIDTH))
        show(f"{bars}  {player.view.line()}")


def follow_climb(
    run_dir: Path, *, console: Console | None = None, every: float = 0.5, keys: Keys | None = None
) -> None:
    """Shows a run while it trains, from its log alone, until it ends; where keys can be read, or until ``q``.

    A run that has no update yet is waited for; one that goes on from a checkpoint is shown from there.

    Args:
        every: seconds between two looks at the log.
    """
    console = console or Console()
    tail = LogTail(run_dir / LOG)
    view: ClimbView | None = None
    seen = 0
    live = Live(Text("waiting for the first update"), console=console, auto_refresh=False)
    pressed = keys or Keys.of_terminal()
    with pressed, live if console.is_terminal else nullcontext():
        while (view is None or not view.ended) and "q" not in pressed.read():
            fresh = tail.read()
            if view is None or fresh is None:
                view = _current(run_dir)
                if view is not None and view.latest is not None:
                    seen = view.latest["update"]
                    _show(view, console, live)
            else:
                # What was read with the whole log may be in the tail too.
                new = [record for record in fresh if record.get("update", 0) > seen or record["kind"] == "end"]
                for record in new:
                    view.add(record)
                if any(record["kind"] == "update" for record in new) or view.ended:
                    _show(view, console, live)
            if view is None or not view.ended:
                time.sleep(every)


def _show(view: ClimbView, console: Console, live: Live) -> None:
    if console.is_terminal:
        live.update(Group(view, Text(FOLLOW_HELP, style="dim")), refresh=True)
    else:
        console.print(view.line(), soft_wrap=True, highlight=False, markup=False)


def _current(run_dir: Path) -> ClimbView | None:
    """The view of a run as it stands; None while there is nothing to show."""
    if not (run_dir / LOG).is_file():
        return None
    try:
        records = read_climb(run_dir, lambda text: None)
    except LogError:
        return None
    view = ClimbView(records[0])
    for record in records[1:]:
        view.add(record)
    return view
