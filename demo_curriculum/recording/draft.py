"""A recording in progress: the tape, the journal that keeps it safe, and the demo file that it becomes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np

from demo_curriculum.demo import Demo
from demo_curriculum.errors import DemoCurriculumError, MismatchError, UsageError
from demo_curriculum.recording.journal import Edit, Journal, Subject, journal_path
from demo_curriculum.recording.tape import Tape
from demo_curriculum.simulators import Simulator, make_simulator, simulator_of
from demo_curriculum.simulators.playback import check_same_game, play_demo
from demo_curriculum.store import StoreError, read_demos, refuse_existing, write_demos

NOTED_EDITS = 100
"""Edits that a demo's note lists; the note of a longer session counts the others."""
NOTED_BEFORE = 8000
"""Characters of the note of a continued demo that are kept; what a file takes is limited."""

OnStep = Callable[[int, int], None]
"""Called with the steps done and the steps in all."""


class RecordingError(DemoCurriculumError):
    """What was recorded cannot be made a demo of; the journal still has it."""


class Draft:
    """What ``new_draft`` and ``continue_draft`` open, to be played on and then finished.

    Args:
        journal: one that has its subject; what it holds is played.
        old: the demo in the file ``output`` that this one continues; None for a new file.
        on_step: called while what the journal holds is played.

    Attributes:
        edits: by time travel, in order.
        played: steps played in all.
    """

    def __init__(
        self, simulator: Simulator, journal: Journal, output: Path, old: Demo | None, on_step: OnStep | None = None
    ) -> None:
        assert journal.subject is not None
        self.simulator = simulator
        self.journal = journal
        self.subject: Subject = journal.subject
        self.output = output
        self.edits: list[Edit] = list(journal.entries.edits)
        self.played = journal.entries.played
        self.tape = Tape(simulator, self.subject.begin)
        # The demo in the file that this is the next version of; once saved here it goes even when the path was cut.
        self._old = old
        self._said = ""
        # A disk takes tens of milliseconds to be sure, which is several frames.
        self._writer = ThreadPoolExecutor(max_workers=1)
        self._writing: Future[None] | None = None
        self._replay(journal.entries.actions, on_step)

    def _replay(self, actions: list[int], on_step: OnStep | None) -> None:
        """Plays what was recorded before.

        Raises:
            RecordingError: the game ends before, or an action does not exist.
        """
        step = None if on_step is None else lambda index: on_step(index + 1, len(actions))
        try:
            self.tape.play_all(actions, step)
        except ValueError as error:
            raise RecordingError(f"{self.journal.path}: does not play on the installed simulator: {error}") from error

    @property
    def note(self) -> str:
        """How the demo was made, for its file."""
        text = "recorded"
        if self.subject.continued:
            text = f"{self.subject.note[-NOTED_BEFORE:]}; continued at step {self.subject.continued}".removeprefix("; ")
        text += f" by keyboard; steps played: {self.played}, demo: {len(self.tape)}"
        if self.edits:
            others = len(self.edits) - NOTED_EDITS
            listed = ", ".join(f"{edit.kind} {edit.length}→{edit.to}" for edit in self.edits[-NOTED_EDITS:])
            text += "; edits: " + (f"{others} others, then " if others > 0 else "") + listed
        return text

    @property
    def changed(self) -> bool:
        """Whether there is anything that was not there before, or would not be there if it were not saved."""
        if self._old is not None:
            return not np.array_equal(self.tape.actions, self._old.actions)
        return len(self.tape) > 0 and bool(self.played or self.edits)

    def autosave(self) -> None:
        """Begins to bring the journal up to date, unless that is still being done.

        Raises:
            StoreError: the disk refused the last time; the journal is as it was before.
        """
        if self._writing is None or self._writing.done():
            last, self._writing = (
                self._writing,
                self._writer.submit(self.journal.sync, list(self.tape.actions), list(self.edits), self.played),
            )
            if last is not None:
                last.result()

    def demo(self, on_step: OnStep | None = None) -> Demo:
        """The whole path as a demo, played once more from its beginning.

        Raises:
            RecordingError: that gives another game than the one recorded.
        """
        length = len(self.tape)
        try:
            demo = play_demo(
                self.simulator,
                self.tape.actions,
                origin="human",
                begin=self.subject.begin,
                offset=self.subject.offset,
                seed=self.subject.seed,
                note=self.note,
                on_step=None if on_step is None else lambda step: on_step(step + 1, length),
            )
        except DemoCurriculumError as error:
            raise self._not_exact(str(error)) from error
        finally:
            self.tape.again()
        differing = np.flatnonzero(demo.rewards != np.array(self.tape.rewards))
        if len(differing):
            raise self._not_exact(f"the reward of step {differing[0]} is another")
        return demo

    def save(self, on_step: OnStep | None = None) -> str:
        """Writes the output and says what it holds now.

        In a file with other demos these stay. The demo that is continued is replaced as long as the path begins with
        all of it; where time travel has cut it, it stays beside the new one.

        Raises:
            RecordingError: as ``demo``.
            StoreError: the disk refused; the output is as it was.
        """
        demo = self.demo(on_step)
        others: list[Demo] = []
        stays = ""
        if self._old is not None:
            others = read_demos(self.output)
            same = [index for index, other in enumerate(others) if other.fingerprint == self._old.fingerprint]
            if same and (self._said or _continues(demo, self._old)):
                del others[same[-1]]
            elif same:
                stays = f"; the demo it was continued from stays there as episode_{same[-1]}"
        overwrite = self._old is not None or self.subject.overwrite
        write_demos(self.output, [*others, demo], creator="demo-curriculum record", overwrite=overwrite)
        self._old = demo
        self._said = f"wrote {self.output}: {demo.score:.12g} points in {len(demo)} demo steps{stays}"
        return self._said

    def finish(self, on_step: OnStep | None = None) -> str:
        """Saves what is not saved yet, and only then removes the journal; returns what there is to say.

        Raises:
            RecordingError, StoreError: as ``save``, with the way to get at the recording; the journal stays.
        """
        self._writer.shutdown()
        text = self._said or "nothing new was recorded"
        if self.changed:
            # The file is what counts now; the journal is for the case that it cannot be written.
            with suppress(StoreError):
                self.journal.sync(self.tape.actions, self.edits, self.played)
            try:
                text = self.save(on_step)
            except DemoCurriculumError as error:
                self.journal.close()
                raise type(error)(
                    f"{error}; the recording is in {self.journal.path}, {how_to_continue(self.output)}"
                ) from error
        self.journal.remove()
        return text

    def _not_exact(self, reason: str) -> RecordingError:
        return RecordingError(
            f"{self.subject.spec.env_id}: does not play from its beginning as it was recorded: {reason}; the simulator "
            "is not exact, see check_simulator()"
        )


def how_to_continue(output: Path) -> str:
    return f"go on with it by demo-curriculum record --continue {output}"


def new_draft(env_id: str, output: Path, *, overwrite: bool = False) -> Draft:
    """A recording from the reset, to become ``output``.

    Raises:
        StoreError: ``output``, or the journal of an unfinished recording of it, is there and ``overwrite`` is false;
            or the folder takes no file.
        DemoCurriculumError: there is no such simulator.
    """
    if not overwrite:
        refuse_existing(output)
    simulator = make_simulator(env_id)
    journal = Journal(journal_path(output))
    if journal.subject is not None and not overwrite:
        journal.close()
        raise StoreError(
            f"{journal.path}: holds an unfinished recording of {len(journal.entries.actions):,} steps; "
            f"{how_to_continue(output)}, or drop it by --overwrite"
        )
    try:
        journal.begin(Subject(spec=simulator.spec, overwrite=overwrite))
    except StoreError:
        journal.remove()
        raise
    return Draft(simulator, journal, output, old=None)


def continue_draft(
    path: Path,
    output: Path | None = None,
    *,
    env_id: str | None = None,
    overwrite: bool = False,
    on_step: OnStep | None = None,
) -> Draft:
    """Goes on with the last demo of the file at ``path``, or with the unfinished recording of it that is there.

    Args:
        output: another file to write; by default the demo goes back into its own.
        env_id: which game it must be of; None for any.
        overwrite: whether another file that is there may be replaced.

    Raises:
        StoreError: there is neither, one is damaged, or the output cannot be written.
        MismatchError: the demo does not play on the installed simulator as recorded.
        UsageError: it is of another game than ``env_id``, or must go to another file.
    """
    unfinished = journal_path(path).exists()
    if output is None or output.absolute() == path.absolute():
        continued = _continue_journal if unfinished else _continue_demo
        return continued(path, path, env_id, on_step, overwrite=overwrite)
    if unfinished:
        raise UsageError(f"{path}: has an unfinished recording; go on with that first, without -o")
    if not overwrite:
        refuse_existing(output)
    return _continue_demo(path, output, env_id, on_step, overwrite=overwrite)


def _continue_journal(
    path: Path, output: Path, env_id: str | None, on_step: OnStep | None, *, overwrite: bool
) -> Draft:
    journal = Journal(journal_path(path))
    try:
        if journal.subject is None:
            raise StoreError(f"{journal.path}: was cut short before anything was recorded; remove it")
        _check_env_id(path, journal.subject.spec.env_id, env_id)
        simulator = simulator_of(journal.subject.spec)
        differences = journal.subject.spec.differences(simulator.spec)
        if differences:
            raise MismatchError(f"{journal.path}: is of another game than is installed: {'; '.join(differences)}")
        # A new recording that may overwrite replaces what is there; anything else there is an earlier version of it.
        replaces = journal.subject.overwrite and not journal.subject.continued
        old = None if replaces or not path.exists() else _last_demo(path, simulator)
        return Draft(simulator, journal, path, old, on_step)
    except BaseException:
        journal.close()
        raise


def _continue_demo(path: Path, output: Path, env_id: str | None, on_step: OnStep | None, *, overwrite: bool) -> Draft:
    demo = read_demos(path)[-1]
    _check_env_id(path, demo.simulator.env_id, env_id)
    simulator = simulator_of(demo.simulator)
    check_same_game(simulator, demo)
    in_place = output == path
    if in_place:
        _last_demo(path, simulator)
    journal = Journal(journal_path(output))
    subject = Subject(
        spec=simulator.spec,
        seed=demo.seed,
        begin=demo.snapshots[0].data if demo.offset else None,
        offset=demo.offset,
        note=demo.note,
        continued=len(demo),
        overwrite=overwrite,
    )
    try:
        if journal.subject is not None and not overwrite:
            raise StoreError(f"{journal.path}: holds an unfinished recording; {how_to_continue(output)}")
        journal.begin(subject)
        journal.sync(demo.actions.tolist(), [], 0)
        draft = Draft(simulator, journal, output, demo if in_place else None, on_step)
        differing = np.flatnonzero(demo.rewards != np.array(draft.tape.rewards))
        if len(differing):
            raise MismatchError(f"{path}: the reward of step {differing[0]} is another on the installed simulator")
    except BaseException as error:
        # Nothing was recorded yet; an unfinished recording of before is left alone.
        if journal.subject is subject:
            journal.remove()
        journal.close()
        if isinstance(error, RecordingError):
            raise MismatchError(f"{path}: does not play on the installed simulator: {error.__cause__}") from error
        raise
    return draft


def _check_env_id(path: Path, found: str, wanted: str | None) -> None:
    if wanted not in (None, found):
        raise UsageError(f"{path}: is of {found}, not of {wanted}")


def _last_demo(path: Path, simulator: Simulator) -> Demo:
    demo = read_demos(path)[-1]
    if demo.simulator != simulator.spec:
        raise UsageError(
            f"{path}: was recorded with {dict(demo.simulator.versions)}, installed is {dict(simulator.spec.versions)}, "
            "and a file holds demos of one version only; write to another file with -o"
        )
    return demo


def _continues(demo: Demo, old: Demo) -> bool:
    """Whether ``demo`` begins with all of ``old``."""
    return len(demo) >= len(old) and np.array_equal(demo.actions[: len(old)], old.actions)
