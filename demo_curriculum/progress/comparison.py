"""Runs compared: how many agent steps the climb took back to each reward of the demo.

Runs that differ in their seed alone are one group. Of each group the interquartile mean and a 95 % interval from a
bootstrap over its seeds are told (Agarwal et al. 2021); a run that never came there counts as endless, so that a group
has a figure where more than three quarters of its seeds came there, and is told how many did.
"""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.errors import DemoCurriculumError, UsageError
from demo_curriculum.progress.schema import Record
from demo_curriculum.progress.view import segments_of

RESAMPLES = 2000
RESET = "the beginning"


@dataclass(frozen=True)
class Group:
    """Runs alike but for their seeds.

    Attributes:
        name: of the run directories.
        label: the settings in which the groups differ; empty where there is one group.
        steps: f64 (seeds, goals), agent steps after which all of the demo from each goal on was trained; infinite where
            it never was.
    """

    name: str
    label: str
    steps: NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """Groups of runs on the same demo.

    Attributes:
        goals: (name, demo step) in the order of the climb; the last one is the demo's beginning.
    """

    goals: list[tuple[str, int]]
    groups: list[Group]

    def to_json(self, seed: int = 0) -> dict[str, Any]:
        """What ``--json`` prints; null stands for endless."""
        rng = np.random.default_rng(seed)
        return {
            "goals": [{"name": name, "step": step} for name, step in self.goals],
            "groups": [
                {
                    "name": group.name,
                    "label": group.label,
                    "seeds": len(group.steps),
                    "goals": [figures(column, rng) for column in group.steps.T],
                }
                for group in self.groups
            ],
        }


def iqm(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interquartile mean along the last axis: of the middle half, its ends counted by their share."""
    ordered = np.sort(values, axis=-1)
    count = values.shape[-1]
    weights = np.diff(np.clip(np.arange(count + 1), count / 4, 3 * count / 4))
    # A weight of 0 takes out an endless run; 0 times infinity would not.
    kept = weights > 0
    mean: NDArray[np.float64] = (ordered[..., kept] * weights[kept]).sum(axis=-1) / weights.sum()
    return mean


def compare_runs(runs: Sequence[tuple[str, Sequence[Record]]]) -> Comparison:
    """Compares runs, each given by its name and the records of ``story.read_climb``.

    Raises:
        UsageError: they were not trained on the same demo.
    """
    first = runs[0][1][0]["demos"][0]
    for name, records in runs:
        if records[0]["demos"][0].get("fingerprint") != first.get("fingerprint"):
            raise UsageError(f"{name} was trained on another demo than {runs[0][0]}; compare runs on the same one")
    goals = [(f"{reward:+,.0f}", int(step)) for step, reward in sorted(first["rewards"], reverse=True)]
    goals.append((RESET, 0))
    grouped: dict[str, list[tuple[str, Sequence[Record]]]] = {}
    for name, records in runs:
        grouped.setdefault(json.dumps(_settings(records[0]), sort_keys=True), []).append((name, records))
    settings = [_settings(members[0][1][0]) for members in grouped.values()]
    differing = [
        key
        for key in dict.fromkeys(itertools.chain(*settings))
        if any(s.get(key) != settings[0].get(key) for s in settings)
    ]
    groups = []
    for members, mine in zip(grouped.values(), settings, strict=True):
        differs = [f"{key} {mine[key]}" for key in differing if key in mine]
        steps = np.array([[reached(records, step) for _, step in goals] for _, records in members])
        groups.append(Group(", ".join(name for name, _ in members), ", ".join(differs), steps))
    return Comparison(goals, groups)


def _settings(run: Record) -> dict[str, Any]:
    config: Any = run.get("config", run["protocol"])
    return {"rule": run["rule"], **{name: value for name, value in config.items() if name != "seed"}}


def reached(records: Sequence[Record], step: int) -> float:
    """Agent steps when first all of the demo from ``step`` on was trained, in however many segments."""
    return min(
        (float(record["agent_steps"]) for record in records if _climbed(records[0], record, step)), default=np.inf
    )


def _climbed(run: Record, record: Record, step: int) -> bool:
    return record["kind"] == "update" and all(
        frontier <= max(begin, step) for begin, _, frontier in segments_of(record, run["demos"])[0]
    )


def figures(steps: NDArray[np.float64], rng: np.random.Generator) -> dict[str, Any]:
    """Of ``steps``, f64 (seeds,): IQM, 95 % interval, how many are finite; null stands for endless."""
    resampled = iqm(rng.choice(steps, (RESAMPLES, len(steps))))
    # Whole numbers of resamples, because between a number and infinity there is nothing to interpolate.
    low, high = np.quantile(resampled, [0.025, 0.975], method="nearest")
    return {
        "reached": int(np.isfinite(steps).sum()),
        "iqm": _finite(float(iqm(steps))),
        "low": _finite(float(low)),
        "high": _finite(float(high)),
        "steps": [_finite(value) for value in steps.tolist()],
    }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def draw_comparison(comparison: Comparison) -> bytes:
    """The comparison as a PNG: agent steps to each goal, with intervals.

    Raises:
        DemoCurriculumError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DemoCurriculumError("a picture needs matplotlib: pip install 'demo-curriculum[plots]'") from error
    document = comparison.to_json()
    goals = document["goals"]
    figure = Figure(figsize=(max(7, 1.1 * len(goals)), 5), layout="constrained")
    axes = figure.subplots()
    for index, group in enumerate(document["groups"]):
        x = np.arange(len(goals)) + 0.12 * (index - (len(document["groups"]) - 1) / 2)
        known = [(at, entry) for at, entry in zip(x, group["goals"], strict=True) if entry["iqm"] is not None]
        middle = [entry["iqm"] for _, entry in known]
        # An endless upper end has no bar; the share below says how many came there.
        bars = [
            [entry["iqm"] - entry["low"] for _, entry in known],
            [(entry["high"] or entry["iqm"]) - entry["iqm"] for _, entry in known],
        ]
        name = group["label"] or group["name"]
        label = f"{name} ({group['seeds']} {'seed' if group['seeds'] == 1 else 'seeds'})"
        drawn = axes.errorbar([at for at, _ in known], middle, bars, marker="o", capsize=3, label=label)
        for at, entry in zip(x, group["goals"], strict=True):
            if entry["reached"] < group["seeds"]:
                axes.annotate(
                    f"{entry['reached']} of {group['seeds']}",
                    (at, 0.01 + 0.035 * index),
                    xycoords=("data", "axes fraction"),
                    ha="center",
                    fontsize=8,
                    color=drawn.lines[0].get_color(),
                )
    axes.set_xticks(range(len(goals)), [f"{goal['name']}\nstep {goal['step']:,}" for goal in goals])
    axes.set_ylim(bottom=0)
    axes.set_xlim(-0.5, len(goals) - 0.5)
    axes.set_ylabel("agent steps (IQM, 95 % interval)")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_title("Agent steps until the whole rest is trained from before each reward", loc="left", fontsize=11)
    figure.legend(fontsize=8, loc="outside lower left")
    axes.grid(alpha=0.3)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return picture.getvalue()


def comparison_page(comparison: Comparison) -> str:
    """The picture and the table of figures as one HTML file that needs no network."""
    import base64
    import html

    document = comparison.to_json()
    picture = base64.b64encode(draw_comparison(comparison)).decode()
    head = "".join(f"<th>{html.escape(goal['name'])}<br>step {goal['step']:,}</th>" for goal in document["goals"])
    rows = "".join(
        f"<tr><th>{html.escape(group['label'] or group['name'])}<br><small>{html.escape(group['name'])}</small></th>"
        + "".join(f"<td>{describe(entry, group['seeds'])}</td>" for entry in group["goals"])
        + "</tr>"
        for group in document["groups"]
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Runs compared</title>'
        "<style>:root{color-scheme:light dark;font:16px/1.4 system-ui,sans-serif}body{max-width:70rem;margin:1rem auto;"
        "padding:0 .7rem}img{max-width:100%;background:#fff;border-radius:.5rem}div{overflow-x:auto}"
        "table{border-collapse:collapse}th,td{border-top:1px solid #8886;padding:.3rem .7rem;text-align:left;"
        "vertical-align:top;font-variant-numeric:tabular-nums}</style>"
        "<h1>Agent steps to each reward of the demo</h1>"
        f'<img alt="Agent steps to each reward, one line for each group of runs" src="data:image/png;base64,{picture}">'
        "<p>Interquartile mean over seeds and the 95 % interval of a bootstrap over them; a run that never came there "
        f"counts as endless.</p><div><table><tr><th></th>{head}</tr>{rows}</table></div></html>"
    )


def describe(entry: dict[str, Any], seeds: int) -> str:
    """``123,456 (98,000–150,000), 3 of 3``; of a single seed ``123,456`` or ``never``."""

    def shown(value: float | None) -> str:
        return "∞" if value is None else f"{value:,.0f}"

    if not entry["reached"]:
        return "never" if seeds == 1 else f"never, 0 of {seeds}"
    if seeds == 1:
        return shown(entry["iqm"])
    return f"{shown(entry['iqm'])} ({shown(entry['low'])}–{shown(entry['high'])}), {entry['reached']} of {seeds}"
