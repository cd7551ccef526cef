"""How often each start of a demo is tied, as far as is known."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.curriculum.rule import BUCKET, Buckets, CurriculumError, Timeline
from demo_curriculum.curriculum.state import StateReader
from demo_curriculum.curriculum.trials import RecentTrials

PRIOR_TIES, PRIOR_TRIALS = 0.5, 2.0
"""An untried bucket counts as tied in a quarter: worth trying, and not good enough to stop imitating the demo."""
BUCKET_MEMORY = 50
"""Each new trial of a bucket fades the older ones by 1 - 1/50, so that the estimate follows the policy."""


class StartEstimates:
    """A Beta posterior per bucket of starts, with counts that fade as newer trials come in.

    Attributes:
        ties, trials: f64 (buckets,) faded counts.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        buckets = -(-timeline.length // BUCKET)
        self.ties = np.zeros(buckets)
        self.trials = np.zeros(buckets)

    @classmethod
    def load(cls, timeline: Timeline, state: StateReader) -> StartEstimates:
        """From the two entries that ``save`` made. Raises CurriculumError where they are damaged."""
        estimates = cls(timeline)
        ties = np.array(state.numbers("ties", len(estimates.ties)))
        trials = np.array(state.numbers("trials", len(estimates.trials)))
        # The faded counts add up to the memory at most, give or take a rounding.
        if (ties > trials).any() or (trials > BUCKET_MEMORY + 1e-6).any():
            raise CurriculumError(
                f"curriculum state: a bucket has more ties than trials or over {BUCKET_MEMORY} trials"
            )
        estimates.ties, estimates.trials = ties, trials
        return estimates

    def save(self) -> dict[str, Any]:
        return {"ties": self.ties.tolist(), "trials": self.trials.tolist()}

    def record(self, step: int, tied: bool) -> None:
        """Takes note of a trial from ``step``, 0..T-1."""
        bucket = step // BUCKET
        fade = 1 - 1 / BUCKET_MEMORY
        self.ties[bucket] = fade * self.ties[bucket] + tied
        self.trials[bucket] = fade * self.trials[bucket] + 1

    @property
    def success(self) -> NDArray[np.float64]:
        """f64 (buckets,): the posterior mean of each bucket's tie rate."""
        return (self.ties + PRIOR_TIES) / (self.trials + PRIOR_TRIALS)

    def success_from(self, steps: NDArray[np.int64], reset: RecentTrials) -> NDArray[np.float64]:
        """f64 (n,): the same by start; from the trials at the ``reset`` before step 0, and 1 after the last reward."""
        known = self.success[np.clip(steps, 0, self._timeline.length - 1) // BUCKET]
        from_reset = (reset.ties + PRIOR_TIES) / (len(reset) + PRIOR_TRIALS)
        return np.where(steps >= self._timeline.end, 1.0, np.where(steps < 0, from_reset, known))

    def buckets(self) -> Buckets:
        """As tried, without the prior."""
        counts = zip(self.ties.tolist(), self.trials.tolist(), strict=True)
        return Buckets(BUCKET, [ties / trials if trials else None for ties, trials in counts], self.trials.tolist())
