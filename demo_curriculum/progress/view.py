"""What a run's records look like on a terminal: the state of the climb, as a block and as a line."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from demo_curriculum.progress.schema import Record

UNKNOWN = "–"
HEAT = (("·", "#7a3b8f"), ("░", "#3b6fb0"), ("▒", "#21918c"), ("▓", "#5ec962"), ("█", "#fde725"))
"""Characters and colours for tie rates from 0 to 1; either alone says it."""
SPEED_WINDOW = 120.0
"""Seconds of training from which the frontier's recent speed is taken."""


def percent(rate: float | None) -> str:
    return UNKNOWN if rate is None else f"{100 * rate:.0f} %"


def duration(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else str(timedelta(seconds=round(seconds)))


def headline(run: Mapping[str, Any]) -> str:
    """The game and its demos: ``ALE/MontezumaRevenge-v5, demo of 380 steps, score 100``."""
    demos = [f"demo of {demo['length']:,} steps, score {demo['score']:g}" for demo in run["demos"]]
    return ", ".join([run["demos"][0]["env_id"], *demos[:3], *(["…"] if demos[3:] else [])])


def protocol(run: Mapping[str, Any]) -> str:
    """How it is played and trained: ``ram observations, frame skip 4, sticky actions 0.25, adaptive rule, seed 0``."""
    played = run["protocol"]
    parts = [
        f"{played['observation']} observations" if "observation" in played else "",
        f"frame skip {played['frame_skip']}" if "frame_skip" in played else "",
        f"sticky actions {played['sticky']:g}" if "sticky" in played else "",
        f"up to {played['noop_max']} no-ops" if played.get("noop_max") else "",
        f"start jitter {played['jitter']}" if played.get("jitter") else "",
        f"{run['rule']} rule",
        f"seed {run['seed']}",
    ]
    return ", ".join(part for part in parts if part)


def describe_remedy(record: Mapping[str, Any]) -> str:
    """``remedy: bonus up, left 40, still 80``: its name, then all that the record tells of it."""
    told = [
        f"{name.replace('_', ' ')} {value}"
        for name, value in record.items()
        if name not in ("kind", "update", "agent_steps", "seconds", "remedy") and value is not None
    ]
    return ", ".join([f"remedy: {record.get('remedy', 'unnamed')}", *told])


def demo_bar(demo: Mapping[str, Any], segments: Sequence[Sequence[int]], width: int) -> Text:
    """The demo from its beginning to its end, ``width`` characters: rewards, lives lost, frontiers, what lies
    behind each.

    Args:
        demo: an entry of the run record's ``demos``.
        segments: [begin, goal, frontier] of each stretch that is climbed on its own, in demo steps.
    """

    def cell(step: float) -> int:
        # The game's own reset may lie before the demo's first step.
        return min(max(int(step * width / demo["length"]), 0), width - 1)

    cells = [("─", "dim")] * width
    for _, goal, frontier in segments:
        cells[cell(frontier) : cell(goal) + 1] = [("━", "green")] * (cell(goal) + 1 - cell(frontier))
    for begin, _, frontier in segments:
        cells[cell(begin) : cell(frontier)] = [("─", "dim")] * (cell(frontier) - cell(begin))
    for step in demo.get("lives_lost") or ():
        cells[cell(step)] = ("✗", "red")
    for step, reward in demo["rewards"]:
        cells[cell(step)] = ("●", "yellow" if reward > 0 else "red")
    for _, _, frontier in segments:
        cells[cell(frontier)] = ("┃", "bold")
    return Text.assemble(*cells)


def segments_of(update: Mapping[str, Any], demos: Sequence[Mapping[str, Any]]) -> list[list[list[int]]]:
    """Of each demo the [begin, goal, frontier] of its segments; logs written before there were any have one a demo."""
    whole = [[[0, demo["length"], at]] for demo, at in zip(demos, update["frontiers"], strict=True)]
    return update.get("segments", whole)  # type: ignore[no-any-return]


def left_to_climb(segments: Sequence[Sequence[int]]) -> int:
    """Demo steps before the frontiers of a demo's segments, [begin, goal, frontier] each."""
    return sum(frontier - begin for begin, _, frontier in segments)


def heat_strip(demo: Mapping[str, Any], buckets: Mapping[str, Any], width: int) -> Text:
    """How often the starts under each character of ``demo_bar`` tie, fuller and brighter for more; blank if unknown.

    Args:
        buckets: a ``buckets`` record.
    """
    rates, size = buckets["tie_rate"], buckets["width"]
    strip = Text()
    for cell in range(width):
        begin, end = cell * demo["length"] / width, (cell + 1) * demo["length"] / width
        inside = rates[int(begin / size) : max(math.ceil(end / size), int(begin / size) + 1)]
        known = [rate for rate in inside if rate is not None]
        if not known:
            strip.append(" ")
            continue
        level = min(int(sum(known) / len(known) * len(HEAT)), len(HEAT) - 1)
        strip.append(HEAT[level][0], style=HEAT[level][1])
    return strip


class ClimbView:
    """The state of a climb as its records tell it; rich can print it.

    Args:
        run: the ``run`` record.
        kept_events: how many of the last moves and messages are shown.
    """

    def __init__(self, run: Mapping[str, Any], *, kept_events: int = 6) -> None:
        self.run = run
        self.latest: Record | None = None
        self.ended = False
        self._buckets: dict[int, Record] = {}
        self._events: deque[Text] = deque(maxlen=kept_events)
        self._recent: deque[tuple[float, float]] = deque()

    def add(self, record: Record) -> None:
        """Takes in the next record; kinds that change nothing visible are passed over."""
        self.ended = record["kind"] == "end" or (self.ended and record["kind"] not in ("resume", "update"))
        if record["kind"] == "update":
            # Most updates see no episode end that began at the reset; the last known score stays on show.
            shown = None if self.latest is None else self.latest["score"]
            segments = segments_of(record, self.run["demos"])
            score = shown if record["score"] is None else record["score"]
            self.latest = {**record, "score": score, "segments": segments}
            self._recent.append((record["seconds"], sum(map(left_to_climb, segments))))
            while self._recent[0][0] < record["seconds"] - SPEED_WINDOW:
                self._recent.popleft()
        elif record["kind"] == "move":
            self._events.append(self._move(record))
        elif record["kind"] == "buckets":
            self._buckets[record["demo"]] = record
        elif record["kind"] == "remedy":
            self._events.append(Text(f"update {record['update']:,}: {describe_remedy(record)}", style="magenta"))
        elif record["kind"] in ("resume", "end"):
            self.message(f"{record['kind']}: {record['reason']}")

    def message(self, text: str) -> None:
        self._events.append(Text(text))

    @property
    def eta(self) -> float | None:
        """Seconds until nothing is left to climb at the recent speed; None while no frontier moves."""
        if not self._recent:
            return None
        (began, before), (now, left) = self._recent[0], self._recent[-1]
        if left == 0:
            return 0.0
        return left * (now - began) / (before - left) if before > left and now > began else None

    def line(self) -> str:
        """The state on one line, for logs and pipes."""
        if self.latest is None:
            return "no update yet"
        update, demos = self.latest, self.run["demos"]
        positions = ", ".join(_position(*each) for each in zip(demos, update["segments"], strict=True))
        ties, from_reset = (", ".join(map(percent, update[name])) for name in ("tie_rate", "reset_tie_rate"))
        return (
            f"{duration(update['seconds'])}  {update['agent_steps']:,} agent steps  "
            f"{update['steps_per_second']:,.0f}/s  {positions}  ties {ties}  from reset {from_reset}  "
            f"score {_number(update['score'])}  ETA {duration(self.eta)}"
        )

    def bars(self, width: int) -> list[Text]:
        """One bar a demo, ``width`` characters wide."""
        demos = self.run["demos"]
        untouched = [[[0, demo["length"], demo["length"]]] for demo in demos]
        segments = untouched if self.latest is None else self.latest["segments"]
        return [demo_bar(*each, width) for each in zip(demos, segments, strict=True)]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(headline(self.run), style="bold")
        yield Text(protocol(self.run), style="dim")
        width = min(options.max_width, 100)
        for index, bar in enumerate(self.bars(width)):
            yield bar
            if index in self._buckets:
                yield heat_strip(self.run["demos"][index], self._buckets[index], width)
        yield self._figures()
        yield from self._events

    def _figures(self) -> Table:
        table = Table.grid(padding=(0, 2))
        if self.latest is None:
            table.add_row("the first update is under way")
            return table
        update = self.latest
        for index, demo in enumerate(self.run["demos"]):
            table.add_row(
                _position(demo, update["segments"][index]),
                f"ties there {percent(update['tie_rate'][index])}",
                f"from reset {percent(update['reset_tie_rate'][index])} of {update['reset_trials'][index]:,}",
                f"score {_number(update['score'])}" if index == 0 else "",
            )
        table.add_row(
            f"{update['agent_steps']:,} agent steps",
            f"{update['steps_per_second']:,.0f}/s",
            f"{duration(update['seconds'])} trained",
            f"ETA {duration(self.eta)}",
        )
        return table

    def _move(self, record: Record) -> Text:
        tied = f" at {percent(record['tie_rate'])} ties" if record.get("tie_rate") is not None else ""
        trials = f" of {record['trials']:,}" if tied and record.get("trials") is not None else ""
        text = (
            f"update {record['update']:,}: {record['reason']} {record['before']:,} → {record['after']:,}{tied}{trials}"
        )
        return Text(text, style="red" if record["reason"] == "retreat" else "")


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.1f}"


def _position(demo: Mapping[str, Any], segments: Sequence[Sequence[int]]) -> str:
    if len(segments) == 1:
        return f"frontier {segments[0][2]:,} of {demo['length']:,}"
    return f"{left_to_climb(segments):,} of {demo['length']:,} left, {len(segments)} segments"
