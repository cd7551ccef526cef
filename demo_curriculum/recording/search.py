"""Finding a demo without a human: an archive of snapshots, explored at random on all cores.

The first phase of Go-Explore (Ecoffet et al. 2021, "First return, then explore", Nature 590): return to a cell by
restoring its snapshot, explore from it, keep the better way to every cell seen.
"""

from __future__ import annotations

import atexit
import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from demo_curriculum.demo import Demo, SimulatorSpec
from demo_curriculum.errors import UsageError
from demo_curriculum.processes import end_with_parent
from demo_curriculum.recording.archive import RESET, Archive, Way, load_archive, save_archive
from demo_curriculum.recording.cells import Cell, CellName, cell_of
from demo_curriculum.recording.explore import NOOP, TAIL, Explorer, Job, SearchError, Trip
from demo_curriculum.simulators import Simulator, make_simulator, simulator_of
from demo_curriculum.simulators.playback import play_demo, replay_demo

ROUND = 64
"""Trips that are drawn from the archive together, whatever the number of processes, so that it changes nothing."""
SERIAL_FRAMES = 20_000
"""Demo steps that are played before other processes are started; easy searches are over sooner."""
TIDY_FRAMES = 500_000
"""Demo steps that tidying plays at most: its work grows with the square of the way."""

Explore = Callable[[Iterable[Job]], Iterable[Trip]]


@dataclass(frozen=True)
class SearchProgress:
    """How far a search is.

    Attributes:
        frames: demo steps played.
        cells: in the archive.
        score: of the best way on which no life is lost; 0 as long as there is none.
        length: its demo steps.
        polish_left: demo steps still to be played for shorter ways; None before ``until_score`` is reached.
    """

    frames: int
    cells: int
    score: float
    length: int
    polish_left: int | None


class Search:
    """A search for ``until_score``; the same for the same seed, on any number of processes.

    Args:
        simulator: to explore with in this process; other processes make their own from its spec.
        block: demo steps for which an action is held at least; a policy with this frame skip can copy the demo.
        cell: name of the cell function, see ``cells``.
        until_score: return that is enough; infinite for as much as can be found.

    Attributes:
        best: the best way from which the game goes on alive: the higher score up to ``until_score``, then the shorter.
        frames: demo steps played.

    Raises:
        ValueError: ``until_score`` is not above 0.
    """

    def __init__(
        self,
        simulator: Simulator,
        *,
        block: int,
        cell: CellName = "game",
        until_score: float = np.inf,
        seed: int = 0,
    ) -> None:
        if not until_score > 0:
            raise ValueError(f"until_score {until_score} is not above 0")
        self.simulator = simulator
        self.cell_name = cell
        self.until_score = until_score
        self.block = block
        self.seed = seed
        self.frames = 0
        self.rounds = 0
        self.best: Way | None = None
        self.archive = Archive()
        self._explorer = Explorer(simulator, cell=self.cell, block=block, until_score=until_score)
        self._found_at: int | None = None
        self.archive.put(self.cell(simulator), RESET, b"")

    @property
    def cell(self) -> Cell:
        return cell_of(self.simulator.spec.env_id, self.cell_name)

    @property
    def done(self) -> bool:
        return self.best is not None and self.best.score >= self.until_score

    def progress(self, polish_frames: int) -> SearchProgress:
        score, length = (self.best.score, self.best.length) if self.best is not None else (0.0, 0)
        left = None if self._found_at is None else max(self._found_at + polish_frames - self.frames, 0)
        return SearchProgress(self.frames, len(self.archive), score, length * self.block, left)

    def run(
        self,
        *,
        polish_frames: int,
        max_frames: float = np.inf,
        processes: int = 1,
        on_progress: Callable[[SearchProgress], bool] = lambda progress: True,
    ) -> None:
        """Searches on until ``until_score`` is reached without losing a life, and has been polished.

        Args:
            polish_frames: demo steps to go on after the first way was found, for shorter ones.
            max_frames: demo steps after which it ends.
            processes: to explore with; ``simulator``'s game must then be one that every process can make.
            on_progress: called after every trip; the search ends when it returns False. What was found until then is
                kept; only a search that ends between rounds goes on later exactly as if it had never stopped.

        Raises:
            SearchError: one of the processes died.
        """

        def wanted() -> bool:
            return on_progress(self.progress(polish_frames))

        def going_on() -> bool:
            return self.frames < max_frames and self.progress(polish_frames).polish_left != 0 and wanted()

        while (processes == 1 or self.frames < SERIAL_FRAMES) and going_on():
            self._round(lambda jobs: map(self._explorer.trip, jobs), wanted)
        if processes > 1 and self.frames >= SERIAL_FRAMES:
            try:
                with self._explorers(processes) as explore:
                    while going_on():
                        self._round(explore, wanted)
            except BrokenProcessPool as error:
                # A signal to end that goes to all processes ends the explorers before they are told.
                if wanted():
                    raise SearchError(
                        "a process of the search died, perhaps for lack of memory; the others were ended"
                    ) from error

    def tidy(self, going_on: Callable[[], bool] = lambda: True) -> None:
        """One pass along the best way: leaves blocks out, or plays the action before them instead of their own,
        wherever the score is then still reached alive. What remains is no longer and changes action less often.

        Args:
            going_on: called before every block; where it returns False the rest of the way stays as it is.
        """
        if self.best is None:
            return
        explorer, stop = self._explorer, self._explorer.frames + TIDY_FRAMES
        needed = min(self.best.score, self.until_score)
        way = self.best.whole()
        state, score, at = b"", 0.0, 0
        while at < len(way) and explorer.frames < stop and going_on():
            done, rest = way[:at], way[at + 1 :]
            if (length := explorer.reach(state, score, rest, needed)) is not None:
                way = done + rest[:length]
                continue
            if done and done[-1] != way[at]:
                changed = [done[-1], *rest]
                if (length := explorer.reach(state, score, changed, needed)) is not None:
                    way = done + changed[:length]
            explorer.go(state)
            score += explorer.play(way[at])
            state = explorer.pack(self.simulator.save())
            at += 1
        # What is behind the last reward that counts was cut by ``reach``, or is as it was.
        self.best = Way(None, tuple(way), self.best.score, len(way))

    def demo(self) -> Demo:
        """The best way as a demo, played from the reset and verified by playing it again.

        Raises:
            SearchError: there is none with any reward, or it leads elsewhere when played from the reset.
        """
        if self.best is None:
            raise SearchError(f"no reward found in {self.frames:,} frames; search longer or with another seed")
        actions = [action for action in self.best.whole() for _ in range(self.block)]
        self.simulator.reset()
        self.simulator.play(actions)
        if not self.simulator.game_over:
            actions += [NOOP] * TAIL
        demo = play_demo(self.simulator, actions, origin="search")
        if demo.score < min(self.best.score, self.until_score) or not replay_demo(self.simulator, demo).matched:
            raise SearchError(
                f"the way found has {self.best.score:.12g} points in the search but {demo.score:.12g} when played from "
                "the reset: the simulator does not restore its snapshots exactly"
            )
        return demo

    def save(self, path: Path) -> None:
        """Writes all that is needed to go on.

        Raises:
            StoreError: the disk refused.
        """
        spec = self.simulator.spec
        about = {
            "env_id": spec.env_id,
            "versions": dict(spec.versions),
            "cell": self.cell_name,
            "block": self.block,
            "seed": self.seed,
            "frames": self.frames,
            "rounds": self.rounds,
            "until_score": self.until_score if np.isfinite(self.until_score) else None,
            "found_at": self._found_at,
        }
        save_archive(path, self.archive, self.best, about)

    @classmethod
    def load(cls, path: Path, *, until_score: float = np.inf) -> Search:
        """A saved search, to go on exactly as if it had never stopped, or for another score.

        Raises:
            StoreError: there is no such file, or it is damaged.
            SearchError: it is something else, or of another version of the simulator.
            UsageError: it has found more than ``until_score`` already, and was made for more.
            DemoCurriculumError: its simulator is not installed.
        """
        archive, best, about = load_archive(path)
        env_id, cell, (block, seed, frames, rounds) = _checked(path, about)
        search = cls(make_simulator(env_id), block=block, cell=cell, until_score=until_score, seed=seed)
        if about.get("versions") != dict(search.simulator.spec.versions):
            raise SearchError(
                f"{path}: the search was made on {about.get('versions')}, installed is "
                f"{dict(search.simulator.spec.versions)}, which may save states otherwise; begin a new search"
            )
        wanted = about.get("until_score")
        if not isinstance(wanted, int | float):
            wanted = np.inf
        if best is not None and until_score < min(best.score, wanted):
            raise UsageError(
                f"{path}: the search has found {best.score:.12g} points already, and would give them up for "
                f"{until_score:.12g}; go on for as many or more"
            )
        search.archive, search.best, search.frames, search.rounds = archive, best, frames, rounds
        if search.done:
            found_at = about.get("found_at")
            search._found_at = min(found_at, frames) if wanted == until_score and type(found_at) is int else frames
        return search

    def _round(self, explore: Explore, wanted: Callable[[], bool]) -> None:
        """Draws cells, has them explored from, and keeps what was found better, until it is no longer ``wanted``."""
        limit = self.best.length if self.best is not None and self.done else np.inf
        best = (-np.inf, -np.inf) if self.best is None else self._explorer.rank(self.best.score, self.best.length)
        drawn = self.archive.draw(np.random.default_rng([self.seed, self.rounds, ROUND]), ROUND, limit)
        jobs, begins = [], []
        for number, index in enumerate(drawn):
            way = self.archive.ways[index]
            begins.append(way)
            seed = (self.seed, self.rounds, number)
            jobs.append(Job(self.archive.states[index], way.score, way.length, limit, best, seed))
        for begin, trip in zip(begins, explore(jobs), strict=True):
            self._keep(begin, trip)
            if not wanted():
                break
        self.rounds += 1
        if self.done and self._found_at is None:
            self._found_at = self.frames

    def _keep(self, begin: Way, trip: Trip) -> None:
        self.frames += trip.frames
        way, taken = begin, 0
        for visit in trip.visits:
            length = begin.length + visit.taken
            if visit.cell is None:
                found = Way(way, trip.actions[taken : visit.taken], visit.score, length)
                rank = self._explorer.rank
                if self.best is None or rank(found.score, length) > rank(self.best.score, self.best.length):
                    self.best = found
            elif self.archive.wants(visit.cell, visit.score, length):
                way, taken = Way(way, trip.actions[taken : visit.taken], visit.score, length), visit.taken
                self.archive.put(visit.cell, way, visit.state)

    @contextmanager
    def _explorers(self, processes: int) -> Iterator[Explore]:
        # Spawned, because a simulator's threads and a progress bar's do not survive a fork.
        context = multiprocessing.get_context("spawn")
        begin = (self.simulator.spec, self.cell_name, self.block, self.until_score)
        with ProcessPoolExecutor(processes, mp_context=context, initializer=_begin, initargs=begin) as pool:

            def explore(jobs: Iterable[Job]) -> Iterator[Trip]:
                # Ctrl-C goes to all processes of a terminal; blocked while they are started, it reaches this one alone.
                before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
                try:
                    trips = [pool.submit(_explore, job) for job in jobs]
                finally:
                    signal.pthread_sigmask(signal.SIG_SETMASK, before)
                for trip in trips:
                    yield trip.result()

            try:
                yield explore
            finally:
                # Not each trip by itself: where a signal has killed the workers too, the pool fails them meanwhile.
                pool.shutdown(cancel_futures=True)


def _checked(path: Path, about: dict[str, Any]) -> tuple[str, CellName, tuple[int, int, int, int]]:
    names = ("block", "seed", "frames", "rounds")
    numbers = tuple(about.get(name) for name in names)
    env_id, cell = about.get("env_id"), about.get("cell")
    good = all(type(number) is int and number >= 0 for number in numbers) and about["block"] > 0
    if not good or not isinstance(env_id, str) or cell not in ("game", "screen", "observation"):
        raise SearchError(f"{path}: not a search that can be gone on with: it does not say what it searched")
    return env_id, cast(CellName, cell), cast(tuple[int, int, int, int], numbers)


_explorers: list[Explorer] = []


def _begin(spec: SimulatorSpec, cell: CellName, block: int, until_score: float) -> None:
    end_with_parent()
    # The emulator's library complains of what is still there once the interpreter has gone.
    atexit.register(_explorers.clear)
    _explorers.append(
        Explorer(simulator_of(spec), cell=cell_of(spec.env_id, cell), block=block, until_score=until_score)
    )


def _explore(job: Job) -> Trip:
    return _explorers[0].trip(job)
