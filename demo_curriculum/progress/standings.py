"""Who learnt what for how much: groups of runs on one demo, each group one way to learn."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.progress.comparison import figures, reached
from demo_curriculum.progress.schema import Record
from demo_curriculum.progress.story import read_climb

SURELY_TIED, TRIALS = 0.2, 50
"""Share of the recent episodes from the reset that tie, over so many, that counts as having solved the game."""
CURVE = 200


def standings(groups: Mapping[str, Sequence[Path]], seed: int = 0) -> dict[str, Any]:
    """JSON values only. For each group of run directories: the scores from the reset under each protocol, the share of
    episodes that tied, agent steps until the frontier was 0 and until the reset was tied, all frames, seconds.

    Figures are as ``comparison.figures`` gives them: the interquartile mean over seeds with the 95 % interval of a
    bootstrap over them (Agarwal et al. 2021).

    Raises:
        DemoCurriculumError: a run directory cannot be read.
    """
    rng = np.random.default_rng(seed)
    rows = []
    demo = None
    for name, folders in groups.items():
        climbs = [read_climb(folder, lambda text: None) for folder in folders]
        demo = climbs[0][0]["demos"][0]
        last = [_updates(records)[-1] for records in climbs]
        judged = [{record["protocol"]: record for record in records if record["kind"] == "eval"} for records in climbs]
        rows.append(
            {
                "name": name,
                "seeds": len(climbs),
                "protocols": {
                    protocol: {
                        what: figures(np.array([evals[protocol][what] for evals in judged], float), rng)
                        for what in ("mean", "ties")
                    }
                    for protocol in judged[0]
                },
                "frontier_0": figures(np.array([_climbed(records) for records in climbs]), rng),
                "reset_tied": figures(np.array([_solved(records) for records in climbs]), rng),
                "agent_steps": [update["agent_steps"] for update in last],
                "frames": [update["frames"] for update in last],
                "seconds": [update["seconds"] for update in last],
                "curve": _curve(climbs),
            }
        )
    return {"demo": demo, "rows": rows}


def _updates(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if record["kind"] == "update"]


def _climbed(records: Sequence[Record]) -> float:
    """Agent steps until the frontier was 0; endless too where no frontier was moved, as it then says nothing."""
    return reached(records, 0) if any(record["kind"] == "move" for record in records) else np.inf


def _solved(records: Sequence[Record]) -> float:
    steps = (
        update["agent_steps"]
        for update in _updates(records)
        if update["reset_trials"][0] >= TRIALS and update["reset_tie_rate"][0] >= SURELY_TIED
    )
    return float(next(steps, np.inf))


def _curve(climbs: Sequence[Sequence[Record]]) -> list[list[float]]:
    """[agent steps, tie rate from the reset], the latter a mean over the seeds as far as each was trained."""
    most = max(_updates(records)[-1]["agent_steps"] for records in climbs)
    at = np.linspace(0, most, CURVE)
    rates = []
    for records in climbs:
        known = [(update["agent_steps"], update["reset_tie_rate"][0] or 0.0) for update in _updates(records)]
        steps, ties = zip(*known, strict=True)
        rates.append(np.interp(at, (0, *steps), (0.0, *ties)))
    return np.stack([at, np.mean(rates, axis=0)], axis=1).round(4).tolist()  # type: ignore[no-any-return]


def draw_standings(document: Mapping[str, Any]) -> bytes:
    """As a PNG: scores from the reset with intervals, and the ties from the reset along the training.

    Raises:
        DemoCurriculumError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DemoCurriculumError("a picture needs matplotlib: pip install 'demo-curriculum[plots]'") from error
    rows, demo = document["rows"], document["demo"]
    figure = Figure(figsize=(13, 2 + 0.42 * len(rows)), layout="constrained")
    scores, curves = figure.subplots(1, 2)
    y = np.arange(len(rows))[::-1]
    protocols = list(rows[0]["protocols"])
    for index, protocol in enumerate(protocols):
        entries = [row["protocols"][protocol]["mean"] for row in rows]
        middle = np.array([entry["iqm"] for entry in entries])
        ends = np.array([[entry["low"], entry["high"]] for entry in entries]).T
        offset = 0.18 * ((len(protocols) - 1) / 2 - index)
        scores.errorbar(
            middle, y + offset, xerr=np.abs(ends - middle), fmt="o", capsize=3, label=protocol, markersize=5
        )
    scores.axvline(demo["score"], color="0.6", linestyle=":", label="the demo")
    scores.set_yticks(y, [row["name"] for row in rows])
    scores.set_xlabel("score from the reset (IQM over seeds, 95 % interval)")
    scores.legend(fontsize=8)
    styles = ("-", "--", ":")
    for index, row in enumerate(rows):
        at, ties = np.array(row["curve"]).T
        curves.plot(at, ties, styles[index % len(styles)], label=row["name"], linewidth=1.4)
    curves.set_xlabel("agent steps")
    curves.set_ylabel("ties from the reset while training (mean)")
    curves.set_ylim(-0.02, 1.02)
    curves.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    curves.legend(fontsize=7, ncols=2)
    for axes in (scores, curves):
        axes.grid(alpha=0.3)
    figure.suptitle(f"{demo['env_id']}, a demo of {demo['length']:,} steps, {demo['score']:,.0f} points", fontsize=11)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return picture.getvalue()
