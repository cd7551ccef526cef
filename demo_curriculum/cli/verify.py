"""``demo-curriculum verify``: whether demos play on the installed simulator as they were recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from demo_curriculum.errors import DemoCurriculumError, MismatchError

if TYPE_CHECKING:
    from demo_curriculum.demo import Demo
    from demo_curriculum.simulators import Simulator


def main(file: Annotated[Path, tyro.conf.Positional], *, json: bool = False) -> int:
    """Replays every demo of a file and compares all rewards and snapshots; exits with 3 if anything differs.

    Args:
        file: a demo file.
        json: print one JSON document.
    """
    from json import dumps

    from demo_curriculum.simulators import simulator_of
    from demo_curriculum.store import read_demos

    demos = read_demos(file)
    simulator = simulator_of(demos[0].simulator)
    findings = []
    for index, demo in enumerate(demos):
        name = f"episode_{index}"
        problem = _problem(simulator, demo, name)
        findings.append({"id": name, "matched": problem is None, "problem": problem})
        if not json:
            good = f"OK, {len(demo):,} steps, score {demo.score:,g}, {len(demo.snapshots):,} snapshots"
            print(f"{name}: {problem or good}", flush=True)
    if json:
        print(dumps({"file": str(file), "demos": findings}, indent=2))
    return 0 if all(finding["matched"] for finding in findings) else MismatchError.exit_code


def _problem(simulator: Simulator, demo: Demo, name: str) -> str | None:
    """What differs, on one line; None where nothing does."""
    from demo_curriculum.cli.bars import step_bar
    from demo_curriculum.simulators.playback import replay_demo

    try:
        with step_bar(f"playing {name}") as advance:
            comparison = replay_demo(simulator, demo, on_step=lambda step: advance(step + 1, len(demo)))
    except DemoCurriculumError as error:
        return f"DIFFERS: {error}"
    if comparison.matched:
        return None
    found = [
        f"{len(steps)} {what} ({_first_few(steps)})"
        for what, steps in (("rewards", comparison.rewards), ("snapshots", comparison.snapshots))
        if steps
    ]
    return f"DIFFERS: {' and '.join(found)}"


def _first_few(steps: Sequence[int]) -> str:
    return "at steps " + ", ".join(str(step) for step in steps[:5]) + (", …" if len(steps) > 5 else "")
