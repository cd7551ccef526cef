"""The default rule: as fast as the success allows, and back when it is gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.curriculum.rule import (
    BUCKET,
    Buckets,
    CurriculumError,
    Move,
    Timeline,
    check_start,
    check_timelines,
)
from demo_curriculum.curriculum.state import StateReader, load_demos, save_demos, save_trials
from demo_curriculum.curriculum.trials import RESET_MEMORY, RESET_TRIALS, RecentTrials
from demo_curriculum.demo import Outcome, Start
from demo_curriculum.errors import UsageError

PRIOR_TIES, PRIOR_TRIALS = 0.5, 2.0
"""An untried bucket counts as tied in a quarter: worth trying, and not good enough to stop imitating the demo."""
BUCKET_MEMORY = 50
"""Each new trial of a bucket fades the older ones by 1 - 1/50, so that the estimate follows the policy."""
WINDOW_MEMORY = 64

SHARES = (0.6, 0.35)
"""Episodes from the frontier's window and from later starts; the rest begins at the game's own reset."""
SHARES_AT_BEGINNING = (0.2, 0.35)
"""The same once the frontier is 0, where the reset is the judge."""
EVERYWHERE = 0.02
"""Added to a bucket's p(1 - p), .25 at most, so that what is mastered or lost is still looked at."""
DONE_WEIGHT = 0.3
"""How often a demo is drawn whose frontier is 0 and whose reset is tied, next to 1 for the others."""

STRIDES = ((0.8, 120), (0.5, 60), (0.0, 20))
"""From which tie rate on the frontier advances by how many demo steps."""
MIN_STRIDE, MAX_STRIDE = 8, 120
COLLAPSE = 0.2
"""Below this share of the threshold the frontier counts as lost."""
MIN_RETREAT, MAX_RETREAT = 24, 120


class _Climb:
    """One demo's progress.

    Attributes:
        frontier: the earliest start now trained, 0..latest.
        latest: the first frontier, beyond which there is nothing to retreat to.
        stride: demo steps of the next advance at most.
        ties, trials: f64 (buckets,) faded counts.
        window: the trials from the frontier's window since the frontier last moved.
        reset: the trials from the game's own reset.
    """

    def __init__(self, timeline: Timeline, window: int) -> None:
        self.timeline = timeline
        self.latest = max(0, timeline.end - (window + 1) // 2)
        self.frontier = self.latest
        self.stride = MAX_STRIDE
        buckets = -(-timeline.length // BUCKET)
        self.ties = np.zeros(buckets)
        self.trials = np.zeros(buckets)
        self.window = RecentTrials(WINDOW_MEMORY)
        self.reset = RecentTrials(RESET_MEMORY)

    @classmethod
    def load(cls, timeline: Timeline, window: int, state: StateReader) -> _Climb:
        climb = cls(timeline, window)
        climb.frontier = state.integer("frontier", 0, climb.latest)
        climb.stride = state.integer("stride", MIN_STRIDE, MAX_STRIDE)
        climb.ties = np.array(state.numbers("ties", len(climb.ties)))
        climb.trials = np.array(state.numbers("trials", len(climb.trials)))
        # The faded counts add up to the memory at most, give or take a rounding.
        if (climb.ties > climb.trials).any() or (climb.trials > BUCKET_MEMORY + 1e-6).any():
            raise CurriculumError(
                f"curriculum state: a bucket has more ties than trials or over {BUCKET_MEMORY} trials"
            )
        climb.window = state.trials("window", WINDOW_MEMORY)
        climb.reset = state.trials("reset", RESET_MEMORY)
        return climb

    def save(self) -> dict[str, Any]:
        return {
            "frontier": self.frontier,
            "stride": self.stride,
            "ties": self.ties.tolist(),
            "trials": self.trials.tolist(),
            "window": save_trials(self.window),
            "reset": save_trials(self.reset),
        }

    @property
    def success(self) -> NDArray[np.float64]:
        """f64 (buckets,): the posterior mean of each bucket's tie rate."""
        return (self.ties + PRIOR_TIES) / (self.trials + PRIOR_TRIALS)

    @property
    def tie_rates(self) -> list[float | None]:
        """(buckets,): as tried, without the prior."""
        counts = zip(self.ties.tolist(), self.trials.tolist(), strict=True)
        return [ties / trials if trials else None for ties, trials in counts]


class AdaptiveCurriculum:
    """Moves by success, draws starts by what can be learnt from them. Implements ``Curriculum``.

    *Estimates.* Starts share a Beta posterior per bucket of 16, with counts that fade as newer trials come in.

    *Starts.* 60 % of the episodes begin in the frontier's window, uniformly; 35 % later, in buckets drawn in proportion
    to p(1 - p), which is largest where ties and failures are equally likely (Florensa et al. 2017 keep such starts;
    Rutherford et al. 2024 sample by this measure), plus a little everywhere, so that nothing behind is forgotten; 5 %
    at the game's own reset. At frontier 0 the reset gets 45 %. Starts after the last reward are never drawn.

    *Advance.* When the window has had ``min_trials`` since the last move and ``threshold`` of the latest 64 tied, the
    frontier moves 120 steps earlier where 80 % tied, 60 where 50 % did, else 20.

    *Retreat.* When after ``patience`` trials at most a fifth of the threshold ties, the policy has collapsed or the
    last advance went too far: the frontier moves 24 to 120 steps later, towards the nearest bucket that is not known to
    fail. The next advance takes back at most half of that, and each advance doubles the limit again.

    Args:
        timelines: one a demo. Each has its own frontier; a finished one is drawn less.
        threshold: tie rate in the frontier's window that moves it.
        window: starts that are trained from the frontier on, in demo steps.
        min_trials: trials in the window before an advance.
        patience: trials in the window before a retreat.

    Raises:
        UsageError: an argument is out of range.
    """

    name = "adaptive"

    def __init__(
        self,
        timelines: Sequence[Timeline],
        *,
        threshold: float = 0.2,
        window: int = 64,
        min_trials: int = 32,
        patience: int = 200,
    ) -> None:
        self._timelines = check_timelines(timelines)
        if not 0 < threshold <= 1 or window < 1 or not 1 <= min_trials <= patience:
            raise UsageError(
                f"adaptive curriculum: threshold {threshold} must be within (0, 1], window {window} at least 1, "
                f"and min_trials {min_trials} from 1 to patience {patience}"
            )
        self._threshold = threshold
        self._window = window
        self._min_trials = min_trials
        self._patience = patience
        self._climbs = [_Climb(timeline, window) for timeline in self._timelines]

    @property
    def frontiers(self) -> tuple[int, ...]:
        return tuple(climb.frontier for climb in self._climbs)

    @property
    def finished(self) -> bool:
        return all(self._done(climb) for climb in self._climbs)

    def _done(self, climb: _Climb) -> bool:
        return climb.frontier == 0 and climb.reset.surely_reach(self._threshold, trials=RESET_TRIALS)

    def _window_end(self, climb: _Climb) -> int:
        return min(climb.frontier + self._window, climb.timeline.end)

    def sample(self, rng: np.random.Generator) -> Start:
        demo = _draw(rng, np.array([DONE_WEIGHT if self._done(climb) else 1.0 for climb in self._climbs]))
        climb = self._climbs[demo]
        return Start(demo, self._sample_step(rng, climb), climb.timeline.length)

    def _sample_step(self, rng: np.random.Generator, climb: _Climb) -> int:
        near, later = SHARES if climb.frontier > 0 else SHARES_AT_BEGINNING
        border, end = self._window_end(climb), climb.timeline.end
        kind = rng.random()
        if kind >= near + later:
            return climb.timeline.reset_step
        if kind < near or border == end:
            return int(rng.integers(climb.frontier, border))
        first = border // BUCKET
        success = climb.success[first : (end - 1) // BUCKET + 1]
        bucket = first + _draw(rng, success * (1 - success) + EVERYWHERE)
        return int(rng.integers(max(border, bucket * BUCKET), min(end, (bucket + 1) * BUCKET)))

    def record(self, outcome: Outcome) -> None:
        check_start(self._timelines, outcome.start)
        climb = self._climbs[outcome.start.demo]
        step = outcome.start.step
        if step >= 0:
            bucket = step // BUCKET
            fade = 1 - 1 / BUCKET_MEMORY
            climb.ties[bucket] = fade * climb.ties[bucket] + outcome.tied
            climb.trials[bucket] = fade * climb.trials[bucket] + 1
        # At frontier 0 nearly half of all episodes begin at the reset; they would drown the rest of the window.
        if step == climb.timeline.reset_step:
            climb.reset.add(outcome.tied)
        elif climb.frontier <= step < self._window_end(climb):
            climb.window.add(outcome.tied)

    def advance(self) -> list[Move]:
        moves = [self._move(demo, climb) for demo, climb in enumerate(self._climbs)]
        return [move for move in moves if move is not None]

    def _move(self, demo: int, climb: _Climb) -> Move | None:
        rate, trials, before = climb.window.tie_rate, climb.window.total, climb.frontier
        if rate is None or trials < self._min_trials:
            return None
        reason: Literal["advance", "retreat"]
        if rate >= self._threshold and before > 0:
            stride = next(length for least, length in STRIDES if rate >= least)
            climb.frontier = max(0, before - min(stride, climb.stride))
            climb.stride = min(2 * climb.stride, MAX_STRIDE)
            reason = "advance"
        elif rate <= COLLAPSE * self._threshold and trials >= self._patience and before < climb.latest:
            climb.frontier = min(before + self._retreat(climb), climb.latest)
            climb.stride = max(min(climb.stride, climb.frontier - before) // 2, MIN_STRIDE)
            reason = "retreat"
        else:
            return None
        climb.window = RecentTrials(WINDOW_MEMORY)
        return Move(demo, before, climb.frontier, reason, rate, trials)

    def _retreat(self, climb: _Climb) -> int:
        """Demo steps from the frontier to the nearest later bucket that is not known to fail, within the limits."""
        first = (climb.frontier + MIN_RETREAT) // BUCKET
        candidates = np.flatnonzero(climb.success[first:] >= self._threshold)
        if not len(candidates):
            return MAX_RETREAT
        distance = (first + int(candidates[0])) * BUCKET - climb.frontier
        return min(max(distance, MIN_RETREAT), MAX_RETREAT)

    def success(self, demo: int, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """As in ``Curriculum``: the posterior mean of each start's bucket; 1 after the last reward, where all ties."""
        climb = self._climbs[demo]
        known = climb.success[np.clip(steps, 0, climb.timeline.length - 1) // BUCKET]
        reset = (climb.reset.ties + PRIOR_TIES) / (len(climb.reset) + PRIOR_TRIALS)
        return np.where(steps >= climb.timeline.end, 1.0, np.where(steps < 0, reset, known))

    def report(self) -> dict[str, Any]:
        demos = [
            {
                "frontier": climb.frontier,
                "tie_rate": climb.window.tie_rate,
                "trials": climb.window.total,
                "reset_tie_rate": climb.reset.tie_rate,
                "reset_trials": len(climb.reset),
            }
            for climb in self._climbs
        ]
        return {"finished": self.finished, "demos": demos}

    def buckets(self) -> list[Buckets]:
        return [Buckets(BUCKET, climb.tie_rates, climb.trials.tolist()) for climb in self._climbs]

    def state_dict(self) -> dict[str, Any]:
        return save_demos(self.name, self._timelines, [climb.save() for climb in self._climbs])

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        keys = {"frontier", "stride", "ties", "trials", "window", "reset"}
        _, readers = load_demos(state, self.name, self._timelines, keys)
        self._climbs = [
            _Climb.load(timeline, self._window, reader)
            for timeline, reader in zip(self._timelines, readers, strict=True)
        ]


def _draw(rng: np.random.Generator, weights: NDArray[np.float64]) -> int:
    """An index, in proportion to ``weights``."""
    sums = np.cumsum(weights)
    return int(np.searchsorted(sums, rng.random() * sums[-1], side="right"))
