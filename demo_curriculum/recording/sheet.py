"""A demo as one picture: frames along it, its score, the lives left, and where its snapshots are."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.demo import Demo
from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.simulators import Simulator
from demo_curriculum.simulators.playback import check_same_game

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS, ROWS = 6, 2
SCORE, REWARD, PENALTY, LIFE, SNAPSHOT = "#1b4965", "#c99700", "#d62828", "#d62828", "#6c757d"
LABELLED = 12
"""Rewards with their points beside them; more would hide the curve."""
APART = 0.05
"""Labels closer than this share of the demo would overlap."""


def draw_sheet(simulator: Simulator, demo: Demo, *, title: str, on_step: Callable[[int], None] | None = None) -> bytes:
    """The contact sheet as a PNG; the demo is played on ``simulator`` for its frames.

    Args:
        on_step: called with each demo step played.

    Raises:
        DemoCurriculumError: matplotlib is not installed, or the simulator does not play the demo.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DemoCurriculumError("a picture needs matplotlib: pip install 'demo-curriculum[plots]'") from error
    steps = sheet_steps(demo)
    frames = _frames(simulator, demo, steps, on_step)
    height, width = frames[0].shape[:2]
    cell = 2.3
    tall = cell * min(max(height / width, 0.25), 1.4)
    figure = Figure(figsize=(COLUMNS * cell, ROWS * (tall + 0.35) + 4.4), layout="constrained")
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[ROWS * (tall + 0.35), 4.0])[:, 0]
    for number, (axes, step, frame) in enumerate(zip(upper.subplots(ROWS, COLUMNS).flat, steps, frames, strict=False)):
        axes.imshow(frame, aspect="auto", interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(f"{number + 1}: step {step:,} · {demo.returns[step]:,g} points", fontsize=9, loc="left", pad=3)
    for axes in upper.axes[len(frames) :]:
        axes.set_axis_off()
    curve, lives = lower.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1]})
    _draw_score(curve, demo, steps)
    _draw_lives(lives, demo)
    figure.suptitle(title, fontsize=12)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=100)
    return picture.getvalue()


def sheet_steps(demo: Demo) -> list[int]:
    """Demo steps to show: beginning, end and evenly between, each moved to where a reward is close by."""
    count = min(COLUMNS * ROWS, len(demo) + 1)
    even = np.linspace(0, len(demo), count).round().astype(int)
    behind = np.flatnonzero(demo.rewards) + 1
    steps = {0, len(demo)}
    for step in even[1:-1].tolist():
        near = behind[np.abs(behind - step) <= len(demo) / count / 2]
        steps.add(int(near[np.abs(near - step).argmin()]) if len(near) else step)
    return sorted(steps)


def _frames(
    simulator: Simulator, demo: Demo, steps: list[int], on_step: Callable[[int], None] | None
) -> list[NDArray[np.uint8]]:
    check_same_game(simulator, demo)
    if demo.offset > 0:
        simulator.restore(demo.snapshots[0].data)
    else:
        simulator.reset()
    frames = [simulator.render()]
    for step, action in enumerate(demo.actions.tolist(), 1):
        if simulator.game_over:
            raise DemoCurriculumError(f"the game ended at demo step {step - 1}, before the demo did; see verify")
        try:
            simulator.play([action])
        except ValueError as error:
            raise DemoCurriculumError(f"demo step {step - 1}: {error}") from error
        if step in steps:
            frames.append(simulator.render())
        if on_step is not None:
            on_step(step - 1)
    return frames


def _draw_score(axes: Axes, demo: Demo, steps: list[int]) -> None:
    at = np.arange(len(demo) + 1)
    axes.step(at, demo.returns, where="post", color=SCORE, linewidth=1.8)
    axes.fill_between(at, demo.returns, step="post", color=SCORE, alpha=0.1, linewidth=0)
    rewards = np.flatnonzero(demo.rewards)
    for good, colour in ((True, REWARD), (False, PENALTY)):
        chosen = rewards[(demo.rewards[rewards] > 0) == good]
        axes.plot(chosen + 1, demo.returns[chosen + 1], "o", color=colour, markersize=4)
    labelled: list[int] = []
    for step in sorted(rewards.tolist(), key=lambda step: -abs(demo.rewards[step])):
        if len(labelled) < LABELLED and all(abs(step - other) > APART * len(demo) for other in labelled):
            labelled.append(step)
            axes.annotate(
                f"{demo.rewards[step]:+,g}",
                (step + 1, demo.returns[step + 1]),
                xytext=(-4, 5),
                textcoords="offset points",
                ha="right",
                fontsize=8,
                color=REWARD if demo.rewards[step] > 0 else PENALTY,
            )
    low, high = min(0.0, float(demo.returns.min())), float(demo.returns.max())
    span = (high - low) or 1.0
    axes.set_ylim(low - 0.04 * span, high + 0.22 * span)
    for number, step in enumerate(steps):
        axes.axvline(step, color="#bbbbbb", linewidth=0.7, zorder=0)
        axes.annotate(
            f"{number + 1}",
            (step, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, -3),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=8,
            color="#555555",
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "#bbbbbb", "linewidth": 0.6},
        )
    axes.set_ylabel("score")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axes.set_title("score; dots are rewards, the numbered lines are the frames above", loc="left", fontsize=10)


def _draw_lives(axes: Axes, demo: Demo) -> None:
    top = max(1, int(demo.lives.max()))
    axes.set_ylim(-0.45 * top, 1.25 * top)
    if demo.lives.any():
        axes.step(np.arange(len(demo) + 1), demo.lives, where="post", color=LIFE, linewidth=1.6)
        axes.set_yticks([0, top])
        axes.set_ylabel("lives", color=LIFE)
        lives = "lives"
    else:
        axes.set_yticks([])
        lives = "a game without lives"
    axes.set_xlim(-0.01 * len(demo), 1.01 * len(demo))
    places = [snapshot.step for snapshot in demo.snapshots]
    axes.plot(places, np.full(len(places), -0.22 * top), "|", color=SNAPSHOT, markersize=8)
    axes.set_title(
        f"{lives}, and the {len(places):,} snapshots as ticks below" if places else f"{lives}; there are no snapshots",
        loc="left",
        fontsize=10,
    )
    axes.set_xlabel("demo step")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
