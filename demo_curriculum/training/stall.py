"""Notices when a climb stands still, and says what to try next."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

from demo_curriculum.curriculum import Curriculum

Remedy = Literal["entropy up, learning rate down", "easier starts", "bonus up", "imitation up", "self-imitation up"]
REMEDIES: tuple[Remedy, ...] = get_args(Remedy)
"""In the order in which they are tried; each stays until there is progress again."""

STRONGER = 3.0
SLOWER = 0.5
TIE_STEP = 0.05


class Factors(NamedTuple):
    """What settings are multiplied with."""

    entropy: float = 1.0
    lr: float = 1.0
    bonus: float = 1.0
    imitation: float = 1.0
    self_imitation: float = 1.0


class Left(NamedTuple):
    """What is left to climb: seams between segments, and demo steps. Less is less in this order.

    To climb over a seam brings its steps back, and is progress all the same.
    """

    seams: int
    steps: int

    @classmethod
    def of(cls, curriculum: Curriculum) -> Left:
        return cls(sum(len(demo["segments"]) - 1 for demo in curriculum.report()["demos"]), curriculum.left)


def progress_of(curriculum: Curriculum) -> tuple[Left, int, float, bool]:
    """What ``StallWatch.update`` wants to know."""
    demos = curriculum.report()["demos"]
    reset_ties = sum(round((demo["reset_tie_rate"] or 0) * demo["reset_trials"]) for demo in demos)
    rate = sum(demo["tie_rate"] or 0 for demo in demos) / len(demos)
    return Left.of(curriculum), reset_ties, rate, curriculum.finished


class StallWatch:
    """Counts updates without progress: neither less left to climb than ever before nor then more ties.

    Those from the reset count most, those of the frontiers' windows in steps of 5 %. Moves to and fro before a hard
    spot are no progress.

    Args:
        patience: updates before the first remedy, and before each one after it; 0 waits for ever.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.best: tuple[int, ...] | None = None
        self.still = 0
        self.tried = 0

    def update(self, left: Left, reset_ties: int, tie_rate: float, finished: bool = False) -> Remedy | None:
        """Once per training update; returns the remedy that is due now.

        Args:
            left: seams and steps.
            reset_ties: of the recent episodes from the game's own reset, all demos together.
            tie_rate: at the frontiers, the mean over all.
            finished: nothing needs a remedy any more.
        """
        progress = (-left.seams, -left.steps, reset_ties, int(tie_rate / TIE_STEP))
        if self.best is None or progress > self.best or finished:
            self.best, self.still, self.tried = progress, 0, 0
            return None
        self.still += 1
        if not self.patience or self.still < self.patience * (self.tried + 1) or self.tried == len(REMEDIES):
            return None
        self.tried += 1
        return REMEDIES[self.tried - 1]

    def begin_anew(self) -> None:
        """Where what is left was counted anew."""
        self.best, self.still, self.tried = None, 0, 0

    @property
    def stalled(self) -> bool:
        """Whether every remedy was given its time, to no avail."""
        return self.tried == len(REMEDIES) and self.still >= self.patience * (self.tried + 1)

    @property
    def factors(self) -> Factors:
        """Of the remedies in force."""
        names = REMEDIES[: self.tried]
        return Factors(
            entropy=STRONGER if "entropy up, learning rate down" in names else 1.0,
            lr=SLOWER if "entropy up, learning rate down" in names else 1.0,
            bonus=STRONGER if "bonus up" in names else 1.0,
            imitation=STRONGER if "imitation up" in names else 1.0,
            self_imitation=STRONGER if "self-imitation up" in names else 1.0,
        )

    def state_dict(self) -> dict[str, Any]:
        return {"best": None if self.best is None else list(self.best), "still": self.still, "tried": self.tried}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best = None if state["best"] is None else tuple(state["best"])
        self.still, self.tried = state["still"], state["tried"]
