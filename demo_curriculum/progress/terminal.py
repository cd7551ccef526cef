"""The display of a training run while it runs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live

from demo_curriculum.progress.schema import Record
from demo_curriculum.progress.view import ClimbView, headline, protocol

LINE_EVERY = 5.0
REDRAW_EVERY = 0.2


class TrainingDisplay:
    """Shows a run's records as they come: a live block on a terminal, a line every few seconds elsewhere.

    Use as a context manager. It draws only when called, from the caller's thread, so that it never competes with the
    simulators; ``console`` is standard error by default, which leaves standard output to results.
    """

    def __init__(self, run: Mapping[str, Any], console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._view = ClimbView(run)
        self._live = Live(self._view, console=self._console, auto_refresh=False)
        self._drawn = float("-inf")

    def __enter__(self) -> TrainingDisplay:
        if self._console.is_terminal:
            self._live.start(refresh=True)
        else:
            self._print(headline(self._view.run))
            self._print(protocol(self._view.run))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.refresh()
            self._live.stop()
        else:
            self._print(self._view.line())

    def update(self, record: Record) -> None:
        """Takes in an ``update`` record."""
        self._view.add(record)
        self._draw()

    def event(self, record: Record) -> None:
        """Takes in a ``move``, ``buckets`` or ``remedy`` record; it shows with the next update."""
        self._view.add(record)

    def message(self, text: str) -> None:
        """Shows a line of text: at once, and among the last events."""
        if self._console.is_terminal:
            self._view.message(text)
            self._live.refresh()
        else:
            self._print(text)

    def _draw(self) -> None:
        now = time.monotonic()
        if self._console.is_terminal and now >= self._drawn + REDRAW_EVERY:
            self._live.refresh()
            self._drawn = now
        elif not self._console.is_terminal and now >= self._drawn + LINE_EVERY:
            self._print(self._view.line())
            self._drawn = now

    def _print(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, highlight=False, markup=False)
