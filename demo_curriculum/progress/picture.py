"""A climb as one picture: the frontier, the tie rate of every bucket of starts, and the play from the reset."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.progress.schema import Record
from demo_curriculum.progress.story import run_record
from demo_curriculum.progress.view import duration, headline, protocol, segments_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FRONTIER, TIES, SCORE, RETREAT, REWARD, PENALTY = "#1b4965", "#2a9d8f", "#7b2d8b", "#d62828", "#c99700", "#d62828"
SMOOTHED = 20
"""Updates over which the score from the reset is averaged."""
MARKED_REWARDS = 40
"""Above this many the marks would hide the frontier; the largest are drawn."""
LABEL_DISTANCE = 0.035
"""Labels closer than this share of the demo would overlap."""


def draw_climb(records: Sequence[Record]) -> bytes:
    """The climb as a PNG, one column a demo.

    Raises:
        LogError: the log has nothing to show.
        DemoCurriculumError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DemoCurriculumError(
            "a picture needs matplotlib: pip install 'demo-curriculum[plots]', or replay with --terminal"
        ) from error
    run = run_record(records)
    count = len(run["demos"])
    # A figure of its own, not pyplot's global one: this may run beside another program's plots.
    figure = Figure(figsize=(min(10 * count, 40), 10), layout="constrained")
    axes = figure.subplots(3, count, squeeze=False, sharex=True, gridspec_kw={"height_ratios": [3, 2.2, 1.8]})
    for index in range(count):
        _draw_frontier(axes[0, index], records, index)
        _draw_buckets(figure, axes[1, index], records, index)
        _draw_reset(axes[2, index], records, index)
    figure.suptitle(_title(run, records), fontsize=11)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return picture.getvalue()


def _title(run: Record, records: Sequence[Record]) -> str:
    last = [record for record in records if record["kind"] == "update"][-1]
    effort = f"{last['frames']:,} frames in {duration(last['seconds'])}"
    return f"{headline(run)}\n{protocol(run)}; {effort}"


def _updates(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if record["kind"] == "update"]


def _draw_frontier(axes: Axes, records: Sequence[Record], index: int) -> None:
    demo = records[0]["demos"][index]
    updates = _updates(records)
    steps = [0, *(update["agent_steps"] for update in updates)]
    moves = [record for record in records if record["kind"] == "move" and record["demo"] == index]
    last = [move["before"] for move in moves if move.get("goal", demo["length"]) == demo["length"]]
    first = last[0] if last else updates[0]["frontiers"][index]
    frontier = [first, *(update["frontiers"][index] for update in updates)]
    others = _other_frontiers(records, index)
    labelled: list[float] = []
    for step, reward in sorted(demo["rewards"], key=lambda reward: -abs(reward[1]))[:MARKED_REWARDS]:
        colour = REWARD if reward > 0 else PENALTY
        axes.axhline(step, color=colour, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        if all(abs(step - other) > LABEL_DISTANCE * demo["length"] for other in labelled):
            labelled.append(step)
            axes.annotate(
                f"{reward:+g}",
                (1, step),
                xycoords=("axes fraction", "data"),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=colour,
            )
    axes.fill_between(steps, frontier, demo["length"], step="post", color=FRONTIER, alpha=0.10, linewidth=0)
    axes.step(steps, frontier, where="post", color=FRONTIER, linewidth=1.8, label="frontier", zorder=3)
    for goal, (moments, at) in others.items():
        axes.fill_between(moments, at, goal, step="post", color=FRONTIER, alpha=0.10, linewidth=0)
        axes.step(moments, at, where="post", color=FRONTIER, linewidth=1.3, zorder=3)
    retreats = [move for move in moves if move["reason"] == "retreat"]
    if retreats:
        axes.plot(
            [move["agent_steps"] for move in retreats],
            [move["after"] for move in retreats],
            linestyle="none",
            marker="^",
            markersize=6,
            color=RETREAT,
            label="retreat",
            zorder=4,
        )
    axes.set_ylim(-0.02 * demo["length"], 1.02 * demo["length"])
    axes.set_ylabel("demo step")
    axes.set_title("where training starts (dashed: the demo's rewards)", loc="left", fontsize=10)
    axes.legend(loc="best", fontsize=8)


def _other_frontiers(records: Sequence[Record], index: int) -> dict[int, tuple[list[int], list[int]]]:
    """Of each segment but the last, by its goal: agent steps, and its frontier then."""
    found: dict[int, tuple[list[int], list[int]]] = {}
    for update in _updates(records):
        for _, goal, frontier in segments_of(update, records[0]["demos"])[index][:-1]:
            moments, at = found.setdefault(goal, ([], []))
            moments.append(update["agent_steps"])
            at.append(frontier)
    return found


def _draw_buckets(figure: Figure, axes: Axes, records: Sequence[Record], index: int) -> None:
    demo = records[0]["demos"][index]
    updates = _updates(records)
    agent_steps = {update["update"]: update["agent_steps"] for update in updates}
    columns = [
        record
        for record in records
        if record["kind"] == "buckets" and record["demo"] == index and record["update"] in agent_steps
    ]
    axes.set_title("how often each start ties the demo", loc="left", fontsize=10)
    axes.set_ylabel("demo step")
    axes.set_ylim(-0.02 * demo["length"], 1.02 * demo["length"])
    axes.set_facecolor("#eeeeee")
    if not columns:
        axes.text(0.5, 0.5, "not logged", transform=axes.transAxes, ha="center", color="grey")
        return
    width = columns[0]["width"]
    rates = np.full((max(len(record["tie_rate"]) for record in columns), len(columns)), np.nan)
    for column, record in enumerate(columns):
        rates[: len(record["tie_rate"]), column] = _numbers(record["tie_rate"])
    # A record tells of the updates since the one before it, so its column ends where it was written.
    edges = [0, *(agent_steps[record["update"]] for record in columns)]
    mesh = axes.pcolormesh(
        edges, width * np.arange(len(rates) + 1), rates, vmin=0, vmax=1, cmap="viridis", rasterized=True
    )
    axes.step(
        [0, *(update["agent_steps"] for update in updates)],
        [updates[0]["frontiers"][index], *(update["frontiers"][index] for update in updates)],
        where="post",
        color="black",
        linewidth=1,
    )
    for moments, at in _other_frontiers(records, index).values():
        axes.step(moments, at, where="post", color="black", linewidth=1)
    colours = figure.colorbar(mesh, ax=axes, label="tie rate", format=lambda rate, _: f"{100 * rate:.0f} %", pad=0.01)
    colours.ax.tick_params(labelsize=8)


def _draw_reset(axes: Axes, records: Sequence[Record], index: int) -> None:
    updates = _updates(records)
    steps = np.array([update["agent_steps"] for update in updates])

    ties = _numbers(update["reset_tie_rate"][index] for update in updates)
    axes.plot(steps, 100 * ties, color=TIES, linewidth=1.8)
    axes.set_xlim(0, steps[-1])
    axes.set_ylim(-3, 103)
    axes.set_ylabel("ties, %", color=TIES)
    axes.set_xlabel("agent steps")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_title("from the game's own reset", loc="left", fontsize=10)

    # Many updates see no episode from the reset, the others a few: points, and their mean over time.
    score = axes.twinx()
    scores = _numbers(update["score"] for update in updates)
    known = np.isfinite(scores)
    score.plot(steps[known], scores[known], ".", color=SCORE, markersize=3, alpha=0.35)
    score.plot(steps[known], _running_mean(scores[known]), color=SCORE, linewidth=1.4)
    score.set_ylabel("mean score", color=SCORE)
    score.set_ylim(bottom=min(0, score.get_ylim()[0]))


def _numbers(values: Iterable[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _running_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each value and those before it, at most ``SMOOTHED`` of them."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(sums))
    begins = np.maximum(ends - SMOOTHED, 0)
    means: NDArray[np.float64] = (sums[ends] - sums[begins]) / (ends - begins)
    return means
