"""``demo-curriculum verify``: whether demos play on the installed simulator as they were recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from demo_curriculum.errors import MismatchError

if TYPE_CHECKING:
    from demo_curriculum.recording.verification import Verification


def main(file: Annotated[Path, tyro.conf.Positional], *, rebuild: bool = False, json: bool = False) -> int:
    """Replays every demo of a file and compares all rewards, lives, observations and snapshots; exits with 3 if
    anything differs. Long demos are replayed by segments on all cores.

    A demo from the reset is proved by its actions alone. One that begins later is proved from the state in which it
    begins; that state nothing in the file can prove, so its fingerprint is printed: compare it with its author's.

    Args:
        file: a demo file.
        rebuild: where the rewards match but the rest does not, as with another version of the simulator, put a file
            with new snapshots in this one's place; where rewards differ the file stays as it is.
        json: print one JSON document.
    """
    from json import dumps

    from demo_curriculum.cli.bars import step_bar
    from demo_curriculum.recording.verification import verify_demo
    from demo_curriculum.simulators import simulator_of
    from demo_curriculum.store import read_demos

    demos = read_demos(file)
    simulator_of(demos[0].simulator)  # before any progress is shown: whether it is installed
    if rebuild:
        return _rebuild(file, json)
    findings = []
    for index, demo in enumerate(demos):
        name = f"episode_{index}"
        with step_bar(f"playing {name}") as advance:
            problem = _problem(verify_demo(demo, on_progress=advance))
        begins = f"{demo.offset:,} steps after the reset" if demo.offset else "reset"
        findings.append(
            {"id": name, "matched": problem is None, "problem": problem}
            | {"begins": begins, "fingerprint": demo.fingerprint}
        )
        if not json:
            good = f"OK, {len(demo):,} steps, score {demo.score:,g}, {len(demo.snapshots):,} snapshots"
            if demo.offset:
                good += (
                    f"; true from the state it begins in, {begins}, which only its author can vouch for: fingerprint "
                    f"{demo.fingerprint}"
                )
            print(f"{name}: {problem or good}", flush=True)
    if json:
        print(dumps({"file": str(file), "demos": findings}, indent=2))
    return 0 if all(finding["matched"] for finding in findings) else MismatchError.exit_code


def _rebuild(file: Path, json: bool) -> int:
    from json import dumps

    from demo_curriculum.cli.bars import step_bar
    from demo_curriculum.errors import DemoCurriculumError
    from demo_curriculum.recording.mending import rebuild
    from demo_curriculum.simulators import simulator_of
    from demo_curriculum.store import change_demos

    with change_demos(file, creator="demo-curriculum verify --rebuild") as demos:
        simulator = simulator_of(demos[0].simulator)
        for index, demo in enumerate(demos):
            name = f"episode_{index}"
            try:
                with step_bar(f"playing {name}") as advance:
                    total = len(demo)
                    demos[index] = rebuild(simulator, demo, on_step=lambda step: advance(step + 1, total))  # noqa: B023
            except DemoCurriculumError as error:
                raise MismatchError(f"{file}: {name} cannot be rebuilt, the file is as it was: {error}") from error
    versions = ", ".join(f"{name} {version}" for name, version in simulator.spec.versions.items()) or "no version"
    snapshots = sum(len(demo.snapshots) for demo in demos)
    if json:
        print(dumps({"file": str(file), "demos": len(demos), "versions": dict(simulator.spec.versions)}, indent=2))
    else:
        print(f"wrote {file}: {len(demos):,} demos with {snapshots:,} new snapshots of {versions}; all rewards match")
    return 0


def _problem(verification: Verification) -> str | None:
    """What differs, on one line; None where nothing does."""
    if verification.matched:
        return None
    if verification.problem:
        return f"DIFFERS: {verification.problem}"
    found = [
        f"{len(steps)} {what} ({_first_few(steps)})"
        for what in ("rewards", "snapshots", "observations", "lives")
        if (steps := getattr(verification, what))
    ]
    return f"DIFFERS: {' and '.join(found)}"


def _first_few(steps: Sequence[int]) -> str:
    return "at steps " + ", ".join(str(step) for step in steps[:5]) + (", …" if len(steps) > 5 else "")
