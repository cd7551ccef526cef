"""Durations as people write them."""

from __future__ import annotations

import re

from demo_curriculum.errors import UsageError

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds_of(text: str) -> float:
    """``90``, ``90s``, ``1.5m``, ``2h`` -> seconds.

    Raises:
        UsageError: anything else.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a duration; write for instance 90s, 10m or 2h")
    return float(match[1]) * UNITS[match[2]]
