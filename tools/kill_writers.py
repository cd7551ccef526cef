#!/usr/bin/env python
"""Kills, or fails, a writer of demo files at every write call in turn, and counts what is left of the store.

Every operation is first traced for its calls that change files; then it is run once for each of them with that call
killed (or answered with "no space left on device"), and the store is read again. Reading must give the demos of before
or, whole, those of after; whatever gives anything else counts as lost. The last row is a negative control: HDF5's own
append in place, which must lose.

    python tools/kill_writers.py [--points 500] [--random 100]

Needs Linux and strace.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from demo_curriculum.demo import Demo
from demo_curriculum.recording.verification import verify_demo
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.playback import play_demo
from demo_curriculum.store import StoreError, append_demo, change_demos, read_demos, write_demos

CALLS = "write,pwrite64,writev,fsync,fdatasync,rename,renameat2,link,linkat,unlink,unlinkat,ftruncate"
Operation = Callable[[Path], None]


@dataclass(frozen=True)
class Case:
    """One operation on a folder in which ``d.h5`` is.

    Attributes:
        name: for the table.
        run: changes the folder.
        changed: the file that it writes.
    """

    name: str
    run: Operation
    changed: str = "d.h5"


def game_demo(length: int, seed: int) -> Demo:
    """Random play of a real game, whose memory does not compress to nothing."""
    simulator = make_simulator("ALE/PrivateEye-v5")
    actions = np.random.default_rng(seed).integers(simulator.action_count, size=length).tolist()
    return play_demo(simulator, actions, origin="script", seed=seed)


def append_in_place(path: Path, demo: Demo) -> None:
    """What the store does not do: the negative control."""
    with h5py.File(path, "r+") as file:
        index = len(file)
        group = file.create_group(f"episode_{index}")
        group.attrs["id"] = index
        for name in ("actions", "rewards", "observations"):
            group.create_dataset(name, data=getattr(demo, name), compression="gzip", chunks=True)
        file.flush()


def cases(length: int, extra: Demo) -> list[Case]:
    def trim(folder: Path) -> None:
        write_demos(folder / "new.h5", [read_demos(folder / "d.h5")[0].trim(length * 3 // 4)])

    def merge(folder: Path) -> None:
        both = [*read_demos(folder / "d.h5"), extra]
        write_demos(folder / "new.h5", both)

    def remove(folder: Path) -> None:
        with change_demos(folder / "d.h5") as held:
            del held[0]

    return [
        Case("record", lambda folder: write_demos(folder / "new.h5", [extra]), "new.h5"),
        Case("append", lambda folder: append_demo(folder / "d.h5", extra)),
        Case("trim", trim, "new.h5"),
        Case("merge", merge, "new.h5"),
        Case("rm", remove),
    ]


def control(extra: Demo) -> Case:
    return Case("in place (control)", lambda folder: append_in_place(folder / "d.h5", extra))


def run_child(case: Case, folder: Path, *options: str) -> int:
    """Runs a case in a forked child under strace; returns its exit code, or minus the signal that ended it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.kill(os.getpid(), signal.SIGSTOP)
            case.run(folder)
            code = 0
        except StoreError:
            code = 3
        finally:
            os._exit(code)
    os.waitpid(child, os.WUNTRACED)
    tracer = subprocess.Popen(
        ["strace", "-f", "-p", str(child), "-e", f"trace={CALLS}", *options], stderr=subprocess.DEVNULL
    )
    while "TracerPid:\t0\n" in Path(f"/proc/{child}/status").read_text() and tracer.poll() is None:
        time.sleep(0.002)
    os.kill(child, signal.SIGCONT)
    _, status = os.waitpid(child, 0)
    tracer.wait()
    return os.waitstatus_to_exitcode(status)


def points_of(case: Case, folder: Path) -> list[tuple[str, int]]:
    """Every call that changes files, as its name and its number among the calls of that name."""
    log = folder.with_suffix(".log")
    assert run_child(case, folder, "-o", str(log)) == 0, "the operation fails when left alone"
    counts: Counter[str] = Counter()
    points = []
    for name in re.findall(r"^\d+ +(\w+)\(", log.read_text(), re.M):
        counts[name] += 1
        points.append((name, counts[name]))
    log.unlink()
    return points


class Folder:
    """Folders that begin as one with the demos in ``d.h5``."""

    def __init__(self, scratch: Path, demos: Sequence[Demo]) -> None:
        self.scratch = scratch
        self.original = scratch / "original"
        self.original.mkdir()
        write_demos(self.original / "d.h5", demos)

    def fresh(self) -> Path:
        folder = self.scratch / "work"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.original, folder)
        return folder


def content(path: Path) -> tuple[str, ...] | None:
    """The fingerprints of what a file holds; None where there is no file."""
    return tuple(demo.fingerprint for demo in read_demos(path)) if path.exists() else None


_verified: dict[str, bool] = {}


def verifies(path: Path) -> bool:
    """Whether every demo of a file replays; remembered, because nearly all files hold the same demos."""
    for demo in read_demos(path) if path.exists() else []:
        if demo.fingerprint not in _verified:
            _verified[demo.fingerprint] = verify_demo(demo, processes=1).matched
        if not _verified[demo.fingerprint]:
            return False
    return True


def outcome(case: Case, folder: Path, before: dict[str, object], after: dict[str, object]) -> str:
    """``old``, ``new`` or ``LOST``."""
    if "control" in case.name:
        return _old_by_hdf5(folder / "d.h5", before["d.h5"])
    try:
        now = {name: content(folder / name) for name in ("d.h5", "new.h5")}
        whole = all(verifies(folder / name) for name in ("d.h5", "new.h5"))
    except (StoreError, OSError):
        return "LOST"
    if not whole or now not in (before, after):
        return "LOST"
    return "new" if now == after else "old"


def _old_by_hdf5(path: Path, before: object) -> str:
    """Whether plain HDF5 still reads the actions of the demos of before; what was appended does not matter."""
    try:
        with h5py.File(path, "r") as file:
            for index in range(len(before)):  # type: ignore[arg-type]
                file[f"episode_{index}/actions"][()], file[f"episode_{index}/observations"][()]
    except (OSError, RuntimeError, KeyError):
        return "LOST"
    return "old"


def sweep(case: Case, folders: Folder, *, fail: str = "", most: int = 10**9) -> Counter[str]:
    """Kills at every call in turn, or lets it fail with ``fail`` (an errno's name); counts the outcomes."""
    folder = folders.fresh()
    before = {name: content(folder / name) for name in ("d.h5", "new.h5")}
    points = points_of(case, folder)
    after = before if "control" in case.name else {name: content(folder / name) for name in ("d.h5", "new.h5")}
    counts: Counter[str] = Counter()
    for name, number in points[:: max(1, len(points) // most)]:
        folder = folders.fresh()
        action = f"error={fail}" if fail else "signal=KILL"
        code = run_child(case, folder, "-o", "/dev/null", "-e", f"inject={name}:{action}:when={number}")
        counts["points"] += 1
        result = outcome(case, folder, before, after)
        if code == 0 and result == "old" and "control" not in case.name:
            result = "LOST"  # reported as saved
        if fail and code not in (0, 3):
            counts["CRASHED"] += 1
        counts[result] += 1
    return counts


def random_kills(folders: Folder, extra: Demo, trials: int, rng: random.Random) -> Counter[str]:
    """A writer that appends again and again and reports each demo is killed at any moment."""
    counts: Counter[str] = Counter()
    for _ in range(trials):
        folder = folders.fresh()
        held = len(read_demos(folder / "d.h5"))
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            for number in range(1000):
                append_demo(folder / "d.h5", replace(extra, seed=number))
                os.write(writer, b".")
        os.close(writer)
        time.sleep(rng.uniform(0.0, 0.5))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        reported = len(os.read(reader, 10_000))
        os.close(reader)
        counts["points"] += 1
        counts["saved"] += reported
        try:
            good = len(read_demos(folder / "d.h5")) in (held + reported, held + reported + 1)
        except StoreError:
            good = False
        counts["new" if good else "LOST"] += 1
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=500, help="kill points, at least, over all operations")
    parser.add_argument("--random", type=int, default=100, help="kills at random moments")
    arguments = parser.parse_args()
    rows: list[tuple[str, Counter[str]]] = []
    with tempfile.TemporaryDirectory() as scratch:
        total: Counter[str] = Counter()
        table: dict[str, Counter[str]] = {}
        length = 0
        while total["points"] < arguments.points:
            length = length % 9000 + 1000
            room = Path(tempfile.mkdtemp(dir=scratch))
            extra = game_demo(length // 2, 9)
            folders = Folder(room, [game_demo(length, 1), game_demo(length // 3, 2), game_demo(100, 3)])
            for case in cases(length, extra):
                counts = sweep(case, folders)
                table[case.name] = table.get(case.name, Counter()) + counts
                total += counts
        rows += list(table.items())
        rows.append(("all kills", total))
        failed: Counter[str] = Counter()
        for case in cases(length, extra):
            failed += sweep(case, folders, fail="ENOSPC")
        rows.append(("disk full", failed))
        rows.append(("random SIGKILL", random_kills(folders, extra, arguments.random, random.Random(0))))
        rows.append(("in place (control)", sweep(control(extra), folders)))
    print(f"{'operation':20} {'points':>7} {'old':>6} {'new':>6} {'LOST':>6} {'CRASHED':>8}")
    for name, counts in rows:
        print(f"{name:20} " + " ".join(f"{counts[key]:>{width}}" for key, width in COLUMNS))
    *good, (_, negative) = rows
    lost = sum(counts["LOST"] + counts["CRASHED"] for _, counts in good)
    return 0 if lost == 0 and negative["LOST"] > 0 else 1


COLUMNS = (("points", 7), ("old", 6), ("new", 6), ("LOST", 6), ("CRASHED", 8))

if __name__ == "__main__":
    sys.exit(main())
