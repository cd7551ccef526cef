"""How far a search is, on a terminal or in a log, and when it shall end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from demo_curriculum.recording.search import SearchProgress

LINE_EVERY = 5.0
REDRAW_EVERY = 0.2
TIDY = 30.0
"""Seconds beyond its time for which a search may shorten what it found."""
KEEP_EVERY = 60.0
"""Seconds of a search that a crash costs."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Watch:
    """Shows how far a search is, and ends it when its time is over or at the first Ctrl-C or SIGTERM; the second is
    as usual.

    On a terminal it is one line that changes, elsewhere a line every few seconds.
    All of it goes to standard error.

    Args:
        limit: seconds.
        keep: called every minute, to save what the search knows.

    Attributes:
        early: what ended the search before its time, in words; None if nothing did.
        interrupted: whether that was a signal.
    """

    def __init__(self, limit: float, *, keep: Callable[[], None]) -> None:
        self.early: str | None = None
        self.interrupted = False
        self._limit = limit
        self._keep = keep
        self._console = Console(stderr=True)
        self._status = self._console.status("searching")
        self._begin = self._shown = self._kept = time.monotonic()
        self._begin_frames: int | None = None

    def __enter__(self) -> Watch:
        self._handlers = {number: signal.signal(number, self._interrupt) for number in SIGNALS}
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._status.stop()
        self._restore()

    def _interrupt(self, *signal_and_frame: object) -> None:
        self.interrupted = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def __call__(self, progress: SearchProgress) -> bool:
        """Whether the search shall go on."""
        now = time.monotonic()
        if self._begin_frames is None:
            self._begin_frames = progress.frames
        if self._console.is_terminal and now >= self._shown + REDRAW_EVERY:
            self._status.update(self._line(progress, now - self._begin))
            self._shown = now
        elif not self._console.is_terminal and now >= self._shown + LINE_EVERY:
            self._console.print(self._line(progress, now - self._begin), soft_wrap=True, highlight=False)
            self._shown = now
        if now >= self._kept + KEEP_EVERY:
            self._keep()
            self._kept = time.monotonic()
        if self.interrupted:
            self.early = "interrupted"
        elif now >= self._begin + self._limit:
            self.early = "ended by the time limit"
        return self.early is None

    def may_tidy(self) -> bool:
        """Whether there is still time to shorten what was found."""
        return not self.interrupted and (self.early is None or time.monotonic() < self._begin + self._limit + TIDY)

    def _line(self, progress: SearchProgress, seconds: float) -> str:
        best = f"{progress.score:.12g} points in {progress.length:,} frames" if progress.length else "none"
        speed = max(progress.frames - (self._begin_frames or 0), 1) / seconds
        left, what = self._limit - seconds, "at most"
        if progress.polish_left is not None and progress.polish_left / speed < left:
            left, what = progress.polish_left / speed, "about"
        return (
            f"{_clock(seconds)}, {what} {_clock(left)} left; {progress.frames:,} frames ({speed:,.0f}/s), "
            f"{progress.cells:,} cells, best so far: {best}"
        )


def _clock(seconds: float) -> str:
    whole = max(round(seconds), 0)
    return f"{whole // 60}:{whole % 60:02}"
