"""The story of a run, as its directory tells it: the progress log, and what others wrote beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.progress.log import LogError, ProgressLog, Warn, read_log, write_atomically
from demo_curriculum.progress.schema import Record

LOG = "progress.jsonl"
EVALS = "evals.jsonl"
CONFIG = "config.json"
DEMO = "demo.h5"
MOST = 4000
"""Updates that a view gets to see; no screen has as many columns."""


def read_climb(run_dir: Path, warn: Warn) -> list[Record]:
    """The records of a run, its ``run`` record first, its evaluations last, updates thinned to what a view needs.

    A log that lost its first line gets one made from the run directory's config.

    Args:
        warn: told what could not be read.

    Raises:
        DemoCurriculumError: not a run directory.
        LogError: there is nothing to show.
    """
    log = run_dir / LOG
    if not log.is_file():
        raise DemoCurriculumError(f"{run_dir}: not a run directory, it has no {LOG}; give the --run-dir of a training")
    records = read_log(log, warn, most=MOST)
    if not any(record["kind"] == "run" for record in records):
        made = _header(run_dir / CONFIG)
        if made is None:
            raise LogError(f"{log}: the progress log does not begin with a run and its demos; is it empty?")
        if log.stat().st_size:
            warn(f"{log}: the first line is lost; the run is described from {CONFIG} instead")
        records.insert(0, made)
    evals = read_log(run_dir / EVALS, warn) if (run_dir / EVALS).is_file() else []
    run, *rest = sorted(records, key=lambda record: record["kind"] != "run")
    rest = [record for record in rest if record["kind"] != "run"]
    whole = [record for record in rest if _of_these_demos(record, len(run["demos"]))]
    if len(whole) < len(rest):
        warn(f"{log}: {len(rest) - len(whole)} records of other demos than the run's were left out")
    try:
        run_record([run, *whole])
    except LogError as error:
        raise LogError(f"{log}: {error}") from error
    return [run, *whole, *(record for record in evals if record["kind"] == "eval")]


def run_record(records: Sequence[Record]) -> Record:
    """The ``run`` record of a log that has something to show.

    Raises:
        LogError: the log does not begin with a run record, or holds no update, or one of other demos.
    """
    if not records or records[0]["kind"] != "run" or not records[0]["demos"]:
        raise LogError("the progress log does not begin with a run and its demos; is it empty?")
    updates = [record for record in records if record["kind"] == "update"]
    if not updates:
        raise LogError("the progress log holds no update yet; train for longer first")
    for update in updates:
        if len(update["frontiers"]) != len(records[0]["demos"]):
            raise LogError(f"update {update['update']} has {len(update['frontiers'])} frontiers, not one for each demo")
    return records[0]


def keep_demo_file(path: Path, run_dir: Path) -> None:
    """Puts a copy of the demo file that is trained on into the run directory, unless there is one.

    Everything that shows the climb later is then in one place.
    """
    copy = run_dir / DEMO
    if not copy.exists():
        write_atomically(copy, path.read_bytes())


def add_evaluation(run_dir: Path, record: Record) -> None:
    """Notes an ``eval`` record in the run directory, in a log of its own: the progress log has one writer."""
    with ProgressLog(run_dir / EVALS) as log:
        log.write({"kind": "eval", **record})


def _of_these_demos(record: Record, demos: int) -> bool:
    if record["kind"] == "update":
        names = ("frontiers", "tie_rate", "reset_tie_rate", "reset_trials", "segments")
        return all(len(record[name]) == demos for name in names if name in record)
    return record["kind"] not in ("move", "buckets") or record["demo"] in range(demos)


def _header(path: Path) -> Record | None:
    """A ``run`` record from a run directory's config; None where there is none."""
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        config = document["config"]
        shown = ("sticky", "frame_skip", "observation", "end_on_life_loss", "rnd", "imitation")
        return {
            "kind": "run",
            "demos": list(document["demos"]),
            "protocol": {name: config[name] for name in shown if name in config},
            "rule": config["rule"],
            "seed": config["seed"],
            "config": config,
            "versions": document["versions"],
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None
