"""Climbs as one page: a self-contained HTML file that shows them without a network.

``assets/`` holds its markup, style and script; Plotly draws the charts. The page carries what this module makes of the
progress logs, as JSON: one *track* for each demo of each run.
"""

from __future__ import annotations

import base64
import html
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.progress.frames import Pictures
from demo_curriculum.progress.schema import Record
from demo_curriculum.progress.view import describe_remedy, headline, protocol, segments_of

POINTS = 1500
"""Moments of one track that the slider can show."""
COLUMNS = 400
"""Of the heat map; more could not be told apart."""
MARKED_REWARDS = 200
LISTED_EVENTS = 400
UNKNOWN_RATE = 255
EVALUATED = ("update", "agent_steps", "protocol", "temperature", "episodes", "mean", "ties")
METRICS = {"bonus": "rnd/bonus", "entropy": "train/entropy"}


@dataclass(frozen=True)
class Climb:
    """One run to show.

    Attributes:
        name: tells it from the others.
        records: of ``story.read_climb``.
        pictures: of its demos, by fingerprint; those of a demo may be missing.
        notes: what the reader should know, for instance that a line of the log was damaged.
    """

    name: str
    records: Sequence[Record]
    pictures: Mapping[str, Pictures]
    notes: Sequence[str] = ()


def draw_page(climbs: Sequence[Climb]) -> str:
    """The page as HTML.

    Raises:
        DemoCurriculumError: plotly is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise DemoCurriculumError("a page needs plotly: pip install 'demo-curriculum[html]'") from error
    pictures = {name: entry._asdict() for climb in climbs for name, entry in climb.pictures.items()}
    data = {
        "tracks": [track for climb in climbs for track in _tracks(climb)],
        "pictures": pictures,
        "notes": [note for climb in climbs for note in climb.notes],
    }
    title = ", ".join(climb.name for climb in climbs)
    parts = {
        "TITLE": html.escape(f"{title}: {climbs[0].records[0]['demos'][0]['env_id']}"),
        "STYLE": _asset("page.css"),
        "PLOTLY": get_plotlyjs(),
        # Nothing in a log can end the element that holds it.
        "DATA": json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        "SCRIPT": _asset("page.js"),
    }
    first, *pieces = _asset("page.html").split("{{")
    return first + "".join(parts[name] + rest for name, rest in (piece.split("}}", 1) for piece in pieces))


def _asset(name: str) -> str:
    return files("demo_curriculum.progress").joinpath("assets", name).read_text(encoding="utf-8")


def _tracks(climb: Climb) -> list[dict[str, Any]]:
    run, *records = climb.records
    return [_track(climb, run, records, index) for index in range(len(run["demos"]))]


def _track(climb: Climb, run: Record, records: Sequence[Record], index: int) -> dict[str, Any]:
    demo = run["demos"][index]
    every = [record for record in records if record["kind"] == "update"]
    updates = [every[i] for i in _spread(len(every), POINTS)]
    rewards = sorted(demo["rewards"], key=lambda reward: -abs(reward[1]))[:MARKED_REWARDS]
    # A run that was gone on with has ends in between.
    latest = next((record for record in reversed(records) if record["kind"] in ("end", "resume", "update")), None)
    return {
        "name": climb.name if len(run["demos"]) == 1 else f"{climb.name}, demo {index}",
        "headline": headline({**run, "demos": [demo]}),
        "protocol": protocol(run),
        "demo": demo.get("fingerprint", ""),
        "length": demo["length"],
        "offset": demo["offset"],
        "target": demo["score"],
        "rewards": sorted(rewards),
        "livesLost": (demo.get("lives_lost") or [])[:MARKED_REWARDS],
        "update": [record["update"] for record in updates],
        "steps": [record["agent_steps"] for record in updates],
        "seconds": [record["seconds"] for record in updates],
        "rate": [record["steps_per_second"] for record in updates],
        "frontier": [record["frontiers"][index] for record in updates],
        "segments": [_segments(record, run["demos"], index) for record in updates],
        "ties": _rounded(record["tie_rate"][index] for record in updates),
        "resetTies": _rounded(record["reset_tie_rate"][index] for record in updates),
        "score": _rounded(record["score"] for record in updates),
        **{name: _rounded(record["metrics"].get(tag) for record in updates) for name, tag in METRICS.items()},
        "heat": _heat(records, every, index),
        "events": _events(records, every, index),
        "evals": [{name: record.get(name) for name in EVALUATED} for record in records if record["kind"] == "eval"],
        "ended": latest["reason"] if latest is not None and latest["kind"] == "end" else "",
        "about": [
            ["run", {"started": run.get("started", ""), "rule": run["rule"], "seed": run["seed"]}],
            ["config", run.get("config", run["protocol"])],
            ["versions", run.get("versions", {})],
        ],
    }


def _segments(update: Record, demos: Sequence[Record], index: int) -> list[list[int]]:
    """[begin, frontier] of each segment of a demo; each ends where the next one begins, the last at the demo's end."""
    return [[begin, frontier] for begin, _, frontier in segments_of(update, demos)[index]]


def _heat(records: Sequence[Record], updates: Sequence[Record], index: int) -> dict[str, Any] | None:
    """Tie rates by bucket of starts (rows) and time (columns): bytes of per cent, row by row, in base64.

    ``steps`` and ``seconds`` are where each column ends; it begins where the one before it does.
    """
    logged = [record for record in records if record["kind"] == "buckets" and record["demo"] == index]
    columns = [logged[i] for i in _spread(len(logged), COLUMNS)]
    width = columns[0]["width"] if columns else 0
    columns = [record for record in columns if record["width"] == width]
    if not columns:
        return None
    rates = np.full((max(len(record["tie_rate"]) for record in columns), len(columns)), np.nan)
    for column, record in enumerate(columns):
        rates[: len(record["tie_rate"]), column] = [np.nan if rate is None else rate for rate in record["tie_rate"]]
    percent = np.where(np.isnan(rates), UNKNOWN_RATE, np.rint(100 * np.nan_to_num(rates))).astype(np.uint8)
    times = _times(updates)
    ends = [times(record["update"]) for record in columns]
    return {
        "width": width,
        "rows": len(percent),
        "steps": [round(steps) for steps, _ in ends],
        "seconds": [round(seconds, 1) for _, seconds in ends],
        "percent": base64.b64encode(percent.tobytes()).decode(),
    }


def _events(records: Sequence[Record], updates: Sequence[Record], index: int) -> list[dict[str, Any]]:
    """What the page lists: retreats, joined segments, remedies, best episodes, interruptions; of many moves some."""
    moves = [
        record
        for record in records
        if record["kind"] == "move" and record["demo"] == index and record["reason"] != "advance"
    ]
    shown = [moves[i] for i in _spread(len(moves), LISTED_EVENTS)]
    shown += [record for record in records if record["kind"] in ("remedy", "best", "resume", "end")]
    times = _times(updates)
    found = []
    for record in sorted(shown, key=lambda record: record["update"]):
        steps, seconds = times(record["update"])
        if record["kind"] == "move":
            text = f"{record['reason']} {record['before']:,} → {record['after']:,}"
        elif record["kind"] == "remedy":
            text = describe_remedy(record)
        elif record["kind"] == "best":
            text = f"best episode from the reset so far: {record['score']:,g} points in {record['steps']:,} steps"
        else:
            text = f"{record['kind']}: {record['reason']}"
        kind = record["reason"] if record["kind"] == "move" else record["kind"]
        event = {"kind": kind, "text": text, "steps": round(steps), "seconds": round(seconds, 1)}
        found.append({**event, "at": record["after"]} if record["kind"] == "move" else event)
    return found


def _times(updates: Sequence[Record]) -> Any:
    """A function from the number of an update to its agent steps and seconds; of thinned ones, in between."""
    numbers = np.array([0, *(record["update"] for record in updates)])
    steps = np.array([0, *(record["agent_steps"] for record in updates)])
    seconds = np.array([0, *(record["seconds"] for record in updates)])
    return lambda update: (float(np.interp(update, numbers, steps)), float(np.interp(update, numbers, seconds)))


def _spread(count: int, most: int) -> list[int]:
    """At most ``most`` of the indices 0..count-1, even and with both ends."""
    return sorted({round(index) for index in np.linspace(0, count - 1, min(count, most))}) if count else []


def _rounded(values: Iterable[float | None]) -> list[float | None]:
    return [
        float(f"{value:.4g}") if isinstance(value, int | float) and math.isfinite(value) else None for value in values
    ]
