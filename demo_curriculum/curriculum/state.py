"""Strict reading of a saved curriculum: every value's kind and range is looked at before anything is taken over."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from typing import Any

from demo_curriculum.curriculum.rule import CurriculumError, Timeline
from demo_curriculum.curriculum.trials import RecentTrials

MOST_PACE = 1e8
"""Agent steps, beyond which no mean length of episodes can be true."""


class StateReader:
    """Takes values out of a JSON object that must hold exactly ``keys``.

    Raises (here and in every method):
        CurriculumError: names the value and what is wrong with it.
    """

    def __init__(self, state: object, where: str, keys: Set[str]) -> None:
        if not isinstance(state, Mapping) or set(state) != keys:
            found = sorted(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
            raise CurriculumError(f"{where}: expected the keys {sorted(keys)}, found {found}")
        self._state, self._where = state, where

    def value(self, key: str) -> Any:
        """As it is, unchecked."""
        return self._state[key]

    def _refuse(self, key: str, expected: str) -> CurriculumError:
        return CurriculumError(f"{self._where}: {key} must be {expected}")

    def integer(self, key: str, low: int, high: int | None = None) -> int:
        value = self._state[key]
        if type(value) is not int or value < low or (high is not None and value > high):
            raise self._refuse(key, f"a whole number from {low}" + ("" if high is None else f" to {high}"))
        return value

    def numbers(self, key: str, count: int) -> list[float]:
        """``count`` finite numbers from 0."""
        values = self._state[key]
        if (
            not isinstance(values, list)
            or len(values) != count
            or not all(type(v) in (int, float) and math.isfinite(v) and v >= 0 for v in values)
        ):
            raise self._refuse(key, f"a list of {count} finite numbers from 0")
        return [float(v) for v in values]

    def pace(self, key: str) -> float:
        """Agent steps of an episode, in the mean; 0 where it is not known."""
        value = self._state[key]
        if type(value) not in (int, float) or not (value == 0 or 1 <= value <= MOST_PACE):
            raise self._refuse(key, f"0 or agent steps from 1 to {MOST_PACE:g}")
        return float(value)

    def integers(self, key: str, high: int) -> tuple[int, ...]:
        """Any number of whole numbers from 0 to ``high``."""
        values = self._state[key]
        if not isinstance(values, list) or not all(type(value) is int and 0 <= value <= high for value in values):
            raise self._refuse(key, f"a list of whole numbers from 0 to {high}")
        return tuple(values)

    def rows(self, key: str, width: int) -> list[list[float]]:
        """Any number of rows of ``width`` finite numbers from 0."""
        rows = self._state[key]
        if not isinstance(rows, list):
            raise self._refuse(key, "a list")
        return [StateReader({"row": row}, f"{self._where}, {key}", {"row"}).numbers("row", width) for row in rows]

    def objects(self, key: str, keys: Set[str]) -> list[StateReader]:
        """A list of objects that each hold exactly ``keys``; at least one."""
        entries = self._state[key]
        if not isinstance(entries, list) or not entries:
            raise self._refuse(key, "a list of at least one")
        return [StateReader(entry, f"{self._where}, {key} {index}", keys) for index, entry in enumerate(entries)]

    def trials(self, key: str, memory: int) -> RecentTrials:
        """What ``save_trials`` wrote."""
        inner = StateReader(self._state[key], f"{self._where}, {key}", {"history", "total"})
        history, total = inner.value("history"), inner.integer("total", 0)
        if not isinstance(history, list) or not all(type(tied) is int and tied in (0, 1) for tied in history):
            raise inner._refuse("history", "a list of 0 and 1")
        if len(history) != min(total, memory):
            raise inner._refuse("history", f"{min(total, memory)} long")
        return RecentTrials(memory, map(bool, history), total)


def save_trials(trials: RecentTrials) -> dict[str, Any]:
    return {"history": trials.history, "total": trials.total}


def save_demos(
    name: str, timelines: Sequence[Timeline], demos: list[dict[str, Any]], **counters: int
) -> dict[str, Any]:
    """The outer form of every rule's ``state_dict``: whose it is, one entry a demo, and what the demos share."""
    rows = [[timeline.length, timeline.offset, list(timeline.rewards)] for timeline in timelines]
    return {"rule": name, "timelines": rows, "demos": demos, **counters}


def load_demos(
    state: object,
    name: str,
    timelines: Sequence[Timeline],
    keys: Set[str],
    *,
    counters: Set[str] = frozenset(),
) -> tuple[StateReader, list[StateReader]]:
    """Readers of what ``save_demos`` made for the same rule and timelines: of the whole, and of each demo's entry."""
    outer = StateReader(state, "curriculum state", {"rule", "timelines", "demos"} | counters)
    rule, demos = outer.value("rule"), outer.value("demos")
    if rule != name:
        raise CurriculumError(f"curriculum state: made by the rule {rule!r}, not by {name!r}")
    if outer.value("timelines") != save_demos(name, timelines, [])["timelines"]:
        raise CurriculumError("curriculum state: made for other demos (their lengths, offsets or rewards differ)")
    if not isinstance(demos, list) or len(demos) != len(timelines):
        raise CurriculumError(f"curriculum state: demos must be a list of {len(timelines)}")
    return outer, [StateReader(demo, f"curriculum state, demo {index}", keys) for index, demo in enumerate(demos)]
