"""What every curriculum rule does, and the small records that it takes and gives.

All positions are demo steps (for Atari one emulator frame); agent steps appear nowhere in this room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.demo import Demo, Outcome, Start, new_scores
from demo_curriculum.errors import DemoCurriculumError, UsageError
from demo_curriculum.landmarks import Landmark

BUCKET = 16
"""Demo steps whose starts share one success estimate."""


class CurriculumError(DemoCurriculumError):
    """An outcome or a saved state that does not belong to this curriculum; says which value and why."""


class Timeline(NamedTuple):
    """What a curriculum knows of a demo.

    Attributes:
        length: demo steps T; starts are judged up to there.
        offset: demo steps between the game's own reset and demo step 0; the reset is step ``-offset``.
        rewards: demo steps with a positive reward, increasing. A start after the last of them is tied without doing
            anything, so it teaches nothing. Empty where that cannot be said, as where all rewards are penalties.
        landmarks: demo steps, increasing, that can be told when an agent comes there; goals as good as a reward.
        new_scores: demo steps, increasing, as ``new_scores`` finds them.
    """

    length: int
    offset: int = 0
    rewards: tuple[int, ...] = ()
    landmarks: tuple[int, ...] = ()
    new_scores: tuple[int, ...] = ()

    @classmethod
    def of(cls, demo: Demo, landmarks: Sequence[Landmark] = ()) -> Timeline:
        rewards = tuple(np.flatnonzero(demo.rewards > 0).tolist())
        scenes = tuple(landmark.step for landmark in landmarks)
        return cls(len(demo), demo.offset, rewards, scenes, tuple(new_scores(demo.returns).tolist()))

    @property
    def stages(self) -> list[int]:
        """The steps at which the demo gets as far as it never was, in order."""
        return sorted({*self.landmarks, *self.new_scores})

    @property
    def reset_step(self) -> int:
        return -self.offset

    @property
    def end(self) -> int:
        """The starts worth training are 0..end-1."""
        return self.rewards[-1] + 1 if self.rewards else self.length


def check_timelines(timelines: Sequence[Timeline]) -> tuple[Timeline, ...]:
    """Raises UsageError where there are none, or where one contradicts itself."""
    if not timelines:
        raise UsageError("curriculum: needs at least one demo")
    for demo, (length, offset, rewards, landmarks, _) in enumerate(timelines):
        if length < 1 or offset < 0:
            raise UsageError(f"timeline of demo {demo}: length {length} must be at least 1, offset {offset} at least 0")
        if list(rewards) != sorted(set(rewards)) or (rewards and not 0 <= rewards[0] <= rewards[-1] < length):
            raise UsageError(f"timeline of demo {demo}: reward steps must increase within 0..{length - 1}")
        if list(landmarks) != sorted(set(landmarks)) or (landmarks and not 0 < landmarks[0] <= landmarks[-1] < length):
            raise UsageError(f"timeline of demo {demo}: landmarks must increase within 1..{length - 1}")
    return tuple(timelines)


def check_start(timelines: Sequence[Timeline], start: Start) -> None:
    """Raises CurriculumError where ``start`` is neither on one of the demos nor the game's own reset."""
    if not 0 <= start.demo < len(timelines):
        raise CurriculumError(f"outcome of demo {start.demo}: the demos are 0..{len(timelines) - 1}")
    timeline = timelines[start.demo]
    if not (0 <= start.step < timeline.length or start.step == timeline.reset_step):
        raise CurriculumError(
            f"outcome of start {start.step} in demo {start.demo}: "
            f"starts are 0..{timeline.length - 1} and the reset {timeline.reset_step}"
        )


def draw(rng: np.random.Generator, weights: NDArray[np.float64]) -> int:
    """An index, in proportion to ``weights``, f64 (n,) from 0."""
    sums = np.cumsum(weights)
    return int(np.searchsorted(sums, rng.random() * sums[-1], side="right"))


class Move(NamedTuple):
    """A frontier that was moved: ``before`` and ``after`` in demo steps, and the tie rate and trials behind it.

    Where a demo is climbed in segments, it is the frontier of the one that is judged at ``goal``; a merge or a bridge
    moves the beginning of that segment to the beginning of the one before it, and a bridge leaves the frontier where it
    was. A cut makes two of one whose frontier was at ``before``: the earlier one is judged at ``goal``, and its
    frontier begins at ``after``.
    """

    demo: int
    before: int
    after: int
    reason: Literal["advance", "retreat", "merge", "bridge", "cut"]
    tie_rate: float
    trials: int
    goal: int


class Span(NamedTuple):
    """Demo steps ``first`` to ``end - 1`` of a demo that are now trained, and how much the demo is imitated there."""

    demo: int
    first: int
    end: int
    imitation: float = 1.0


class Buckets(NamedTuple):
    """One demo's success by start: bucket i holds the starts ``i * width .. (i + 1) * width - 1``.

    A tie rate is None where the bucket was never tried; ``trials`` are those behind the estimate.
    """

    width: int
    tie_rate: list[float | None]
    trials: list[float]


class Curriculum(Protocol):
    """Decides at which start each episode begins.

    An episode's start is drawn by ``sample``, its outcome given to ``record``, and ``advance`` called once an update of
    the policy. Everything that changes is in ``state_dict``; randomness comes in through ``sample``'s generator only.
    """

    @property
    def name(self) -> str: ...

    @property
    def frontiers(self) -> tuple[int, ...]:
        """Each demo's earliest start from which all the rest is trained, in demo steps; 0 is the demo's beginning."""
        ...

    @property
    def left(self) -> int:
        """How much is still to climb, all demos together; demo steps, more or less."""
        ...

    @property
    def climbing(self) -> float:
        """The share of the demos' steps that are in stretches whose frontier is yet to move.

        For a rule that does not settle 1 until it is finished.
        """
        ...

    @property
    def spans(self) -> list[Span]:
        """The stretches now trained."""
        ...

    @property
    def finished(self) -> bool:
        """Whether every frontier is 0 and the game's own reset is tied often enough, over enough recent trials."""
        ...

    def sample(self, rng: np.random.Generator) -> Start:
        """Where the next episode begins; changes nothing but ``rng``, so that processes with copies stay alike."""
        ...

    def onward(self, origin: Start, reached: Start, rng: np.random.Generator) -> Start | None:
        """What an episode that has tied ``reached`` goes on with, as if begun there; None where it ends.

        Changes nothing but ``rng``. ``origin`` is where the episode began.
        """
        ...

    def again(self, start: Start, step: int, rng: np.random.Generator) -> Start | None:
        """What follows an episode that began at ``start`` and has lost a life or fallen behind, where the game is not
        over: an episode that begins right there, as if at the start returned; None for a start drawn anew.

        Changes nothing but ``rng``. ``step`` is the demo step of the latest score or landmark that the agent reached;
        beyond the demo's end where that never had as much.
        """
        ...

    def record(self, outcome: Outcome) -> None:
        """Takes note of a finished episode, or of the finished leg of one that went on.

        Raises:
            CurriculumError: the outcome's start is not on a demo of this curriculum.
        """
        ...

    def advance(self) -> list[Move]:
        """Moves the frontiers where that is due; to be called once an update."""
        ...

    def ease(self) -> list[Move]:
        """Makes starts easier where the climb stands still: frontiers later, windows wider; what the rule has of it."""
        ...

    def success(self, demo: int, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """f64 (n,) in [0, 1]: the estimated probability to tie from each of ``steps``, i64 (n,)."""
        ...

    def report(self) -> dict[str, Any]:
        """The present state for people and logs, JSON values only.

        ``finished`` and, in ``demos``, for each demo: ``frontier``; ``segments`` as [begin, goal, frontier];
        ``tie_rate`` at the frontiers and ``trials`` since their last moves; ``reset_tie_rate`` and ``reset_trials`` of
        the recent episodes from the game's own reset. Rates are None without a trial.
        """
        ...

    def buckets(self) -> list[Buckets]:
        """Each demo's success by start."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes, JSON values only."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over a ``state_dict``; a refused one changes nothing.

        Raises:
            CurriculumError: the state is damaged, or another rule's or other demos'.
        """
        ...
