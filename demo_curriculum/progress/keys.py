"""Keys as they are pressed in a terminal, without waiting for a newline."""

from __future__ import annotations

import os
import select
import sys
from types import TracebackType
from typing import Any

NAMES = {
    b" ": "space",
    b"q": "q",
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1b[C": "right",
    b"\x1b[D": "left",
    b"\x1b[H": "home",
    b"\x1b[F": "end",
    b"\x1b[1~": "home",
    b"\x1b[4~": "end",
    b"\x1bOH": "home",
    b"\x1bOF": "end",
}
LONGEST = max(map(len, NAMES))


class Keys:
    """Reads keys from a terminal's descriptor while it is entered; with None there are none to read.

    Use as a context manager: the terminal is put back as it was.

    Attributes:
        available: whether keys can be read.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._before: Any = None
        self.available = descriptor is not None

    @classmethod
    def of_terminal(cls) -> Keys:
        """Of standard input, where that is a terminal of a system that can do this."""
        try:
            import termios  # noqa: F401 - missing on Windows

            return cls(sys.stdin.fileno() if sys.stdin.isatty() else None)
        except (ImportError, OSError, ValueError):
            return cls(None)

    def __enter__(self) -> Keys:
        if self._descriptor is not None:
            import termios
            import tty

            self._before = termios.tcgetattr(self._descriptor)
            tty.setcbreak(self._descriptor)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            import termios

            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)

    def read(self) -> list[str]:
        """Names of the keys pressed since the last call, in order; returns at once."""
        if self._descriptor is None or not select.select([self._descriptor], [], [], 0)[0]:
            return []
        pressed = os.read(self._descriptor, 1024)
        found = []
        while pressed:
            length = next((size for size in range(LONGEST, 0, -1) if pressed[:size] in NAMES), 0)
            if length:
                found.append(NAMES[pressed[:length]])
            pressed = pressed[max(length, 1) :]
        return found
