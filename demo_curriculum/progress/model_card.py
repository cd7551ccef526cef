"""A run as a folder for others: weights, config, results and a model card; ready for a model hub, uploading nothing.

The folder is a run directory without what only training needs, so that ``eval`` and ``replay`` take it as one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from demo_curriculum.errors import DemoCurriculumError, UsageError
from demo_curriculum.progress.log import Warn, write_atomically
from demo_curriculum.progress.schema import Record
from demo_curriculum.progress.story import CONFIG, DEMO, EVALS, LOG, read_climb
from demo_curriculum.progress.view import duration, headline, left_to_climb, protocol, segments_of
from demo_curriculum.training.checkpoint import save_checkpoint
from demo_curriculum.training.run import Run, load_policy
from demo_curriculum.training.stages import LANDMARKS

CARD = "README.md"
COPIED = (CONFIG, LANDMARKS, LOG, EVALS, DEMO)


def export_run(run_dir: Path, folder: Path, warn: Warn, *, film: Path | None = None) -> None:
    """Writes ``run_dir`` for others into the new folder ``folder``, which appears whole or not at all.

    Args:
        film: a film of the run, to go with it.

    Raises:
        UsageError: there is something at ``folder`` already.
        DemoCurriculumError: not a run directory, or nothing was saved yet.
    """
    if folder.exists():
        raise UsageError(f"{folder} exists already; give a new folder")
    if film is not None and not film.is_file():
        raise DemoCurriculumError(f"{film}: no such film; `demo-curriculum replay {run_dir} --film {film}` makes it")
    run, policy, update, agent_steps = load_policy(run_dir)
    records = read_climb(run_dir, warn)
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        weights = {"policy": policy.state_dict(), "update": update, "agent_steps": agent_steps}
        save_checkpoint(temporary / "checkpoints", update, {"trainer": weights, "seconds": 0.0})
        for name in COPIED:
            if (run_dir / name).is_file():
                shutil.copyfile(run_dir / name, temporary / name)
        if film is not None:
            shutil.copyfile(film, temporary / "climb.mp4")
        card = model_card(run, records, update, agent_steps, film=film is not None)
        write_atomically(temporary / CARD, card.encode())
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def model_card(run: Run, records: Sequence[Record], update: int, agent_steps: int, *, film: bool) -> str:
    """The card in Markdown: what the policy is, how it was trained and how it was judged, with the figures."""
    last = [record for record in records if record["kind"] == "update"][-1]
    whole = sum(demo["length"] for demo in run.demos)
    left = sum(map(left_to_climb, segments_of(last, run.demos)))
    score = max(demo["score"] for demo in run.demos)
    own = [record for record in records if record["kind"] == "eval" and record["update"] == update]
    # The latest of each protocol and temperature.
    evals = list({(record["protocol"], record.get("temperature", 1.0)): record for record in own}.values())
    rows = [
        f"| {record['protocol']} | {record.get('temperature', 1.0):g} | {record['episodes']} | {record['mean']:,.1f} | "
        f"{_shown(record, 'iqm')} | {_shown(record, 'best')} | {record['ties']:.0%} |"
        for record in evals
    ]
    results = (
        [
            "| protocol | temperature | episodes | mean | IQM | best | ties the demo |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"An episode was cut at {evals[0].get('max_frames', 0):,} demo steps. Deterministic adds no randomness, "
            "noop begins with up to 30 no-ops, sticky repeats the action before with probability .25 on each frame, "
            "epsilon plays a random action with probability .01.",
        ]
        if rows
        else ["This policy was not evaluated yet: run `demo-curriculum eval` on the run directory, then export again."]
    )
    return "\n".join(
        [
            "---",
            "library_name: demo-curriculum",
            "tags: [reinforcement-learning, learning-from-demonstration, curriculum-learning]",
            f"env_id: {json.dumps(run.env_id)}",
            "---",
            "",
            f"# {headline(records[0])}",
            "",
            "A policy trained with a curriculum of starts that climbs back through a demonstration, and an exploration",
            f"bonus where one is set: {protocol(records[0])}.",
            "",
            "## From the game's own reset",
            "",
            f"The demonstration has {score:,g} points. Actions are sampled from the policy, its logits divided by the "
            "temperature; every episode counts.",
            "",
            *results,
            "",
            "## Training",
            "",
            f"{agent_steps:,} agent steps ({last['frames']:,} emulator frames, replays to a start included) in "
            f"{duration(last['seconds'])}. Of {whole:,} demo steps {left:,} were left to climb.",
            "",
            *(["[The climb as a film](climb.mp4)", ""] if film else []),
            "## Use",
            "",
            "```console",
            "demo-curriculum eval .",
            "demo-curriculum replay . --html climb.html",
            "```",
            "",
            "`checkpoints/` holds the weights (safetensors), `config.json` the settings, the demo's fingerprint and",
            "all versions, `progress.jsonl` the climb, `evals.jsonl` the results.",
            "",
            "## Settings",
            "",
            "```json",
            json.dumps({"config": run.config.to_json(), "versions": run.versions}, indent=1),
            "```",
            "",
        ]
    )


def _shown(record: Record, name: str) -> str:
    value: Any = record.get(name)
    return "–" if value is None else f"{value:,.1f}"
