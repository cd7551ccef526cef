"""The default rule: as fast as the success allows, and back when it is gone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.curriculum.climb import Climb
from demo_curriculum.curriculum.lap import Lap
from demo_curriculum.curriculum.rule import (
    BUCKET,
    Buckets,
    Move,
    Span,
    Timeline,
    check_start,
    check_timelines,
    draw,
)
from demo_curriculum.curriculum.segment import SURE_TRIALS, Segment
from demo_curriculum.curriculum.state import load_demos, save_demos
from demo_curriculum.curriculum.trials import RESET_TRIALS, next_pace
from demo_curriculum.demo import Outcome, Start
from demo_curriculum.errors import UsageError

RESET_SHARE, MOST_RESET_SHARE = 0.05, 0.5
"""Of a demo's agent steps those of episodes from the game's own reset: while the first segment is climbed, and where
they come to all others and the reset is the judge. In between the more, the more of the demo they come to: what lies
behind learns nothing from them."""
NEAR, NEAR_AT_BEGINNING = 12 / 19, 4 / 11
"""Of the other episodes those from the frontier's window; the rest begins later."""
EVERYWHERE = 0.02
"""Added to a bucket's p(1 - p), .25 at most, so that what is mastered or lost is still looked at."""
ARRIVALS = 0.5
"""Of the episodes of a segment at its beginning those that begin where agents came by and not where the demo did."""
LAPS = 0.85
"""Of a climbed segment's episodes those that end with the lap they begin in; as they are short, fewer of its steps."""
LEAST_SETBACKS = 0.3
"""Of the setbacks that could be gone on from those that are, where that never ends well."""
MERGED_RATE = 2.0
"""Times the threshold: what two segments have to tie together to become one; less would be lost again at once."""
BRIDGE_TRIALS, BRIDGED_RATE = 200, 0.075
"""Episodes handed over, and times the threshold what they tie less than, where a seam has to be climbed over."""


class AdaptiveCurriculum:
    """Moves by success, draws starts by what can be learnt from them. Implements ``Curriculum``.

    *Estimates.* Starts share a Beta posterior per bucket of 16, with counts that fade as newer trials come in.

    *Starts.* Of the agent steps 5 % are played from the game's own reset, more the more of the demo such episodes come
    to, and half where they come to all of its segments. Of the other episodes 63 % begin in the frontier's window,
    uniformly, 36 % once it is 0; the rest later, in buckets drawn in proportion to p(1 - p), which is largest where
    ties and failures are equally likely (Florensa et al. 2017 keep such starts; Rutherford et al. 2024 sample by this
    measure), plus a little everywhere, so that nothing behind is forgotten. Starts after the last reward are never
    drawn. Each segment gets agent steps by how often it fails, and not episodes: one from the reset may take twenty
    times as many as one at a hard spot, which needs the trials.

    *Advance.* When the window has had ``min_trials`` since the last move and ``threshold`` of the latest 64 tied, or 8
    and that is 95 % sure, the frontier moves earlier: by 120 steps where 80 % tied, 60 where 50 %, 40 where 35 %, else
    20.

    *Retreat.* When after ``patience`` trials at most a fifth of the threshold ties, the policy has collapsed or the
    last advance went too far: the frontier moves 24 to 120 steps later, towards the nearest bucket that is not known to
    fail. The next advance takes back at most half of that, and each advance doubles the limit again.

    *Jitter.* As often as a start is tied, its episode begins after up to ``jitter`` no-ops: the agent is where the
    demonstrator was, and all that moves has moved on. So what is mastered is learnt again at other times, as by
    automatic domain randomisation (OpenAI 2019), and the frontier waits for none of it: these episodes never move it.
    The game's own reset is one of the starts.

    *Laps.* Of an episode that goes through a whole segment, minutes of play, a few moments decide. So most that begin
    inside a climbed segment end with their lap, the way from one score or landmark to the next; what a state is worth
    beyond tells the value, which longer ones teach. Laps are drawn in proportion to p(1 - p), too: the same moments are
    met several times as often in as many agent steps.

    *Setbacks.* A life lost in a climbed segment, or having fallen behind there, may be followed by an episode that
    begins right there, to the end of that lap: with one life less or points that the demonstrator never lost, at
    another place and time. That is done the less the less often such episodes tie. No frontier takes note of them.

    *Segments.* With ``split`` the demo is cut after rewards that are at least so many steps apart, and where none comes
    for long at landmarks, and each segment is climbed on its own by the one policy. An episode that ties a segment goes
    on into the next one once that is at its beginning too: always from the reset, else as often as the next one fails.
    Where it arrived further episodes begin, and where it came by scores and landmarks on the way, so that a segment is
    learnt from where the agent comes and not only from where the demo passed: things move at other times there.
    Two neighbours become one when what is handed over ties so often that both together tie ``MERGED_RATE`` times the
    threshold, all when the reset ties the whole demo.

    *Bridges.* The agent may tie a segment and still miss what the next one needs: other points than the demonstrator's,
    and not the key. Where a segment is tied from the demo's states and hardly ever from what is handed over, the two
    become one whose frontier stays at the seam, and the climb goes on from there, over what the first score did not
    show.

    *Cuts.* Where a frontier stands still, what lies before it is climbed meanwhile: the segment is cut at a landmark,
    and success in the earlier one is to come there. Like any two neighbours they become one in the end.

    Args:
        timelines: one a demo. Each has frontiers of its own, and gets agent steps by what there is to learn in all of
            its segments: a long demo more than a short one, and one that is climbed less than one that is not.
        threshold: tie rate in the frontier's window that moves it.
        window: starts that are trained from the frontier on, in demo steps.
        min_trials: trials in the window before an advance.
        patience: trials in the window before a retreat.
        split: least demo steps of a segment; 0 climbs each demo in one piece.
        mixture: draw starts behind the frontier's window too; for measuring what they are worth.
        jitter: no-ops at most, in agent steps.
        setbacks: let episodes begin after setbacks.

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
        min_trials: int = 16,
        patience: int = 64,
        split: int = 0,
        mixture: bool = True,
        jitter: int = 0,
        setbacks: bool = True,
    ) -> None:
        self._timelines = check_timelines(timelines)
        if not 0 < threshold <= 1 or window < 1 or not 1 <= min_trials <= patience or min(split, jitter) < 0:
            raise UsageError(
                f"adaptive curriculum: threshold {threshold} must be within (0, 1], window {window} at least 1, "
                f"min_trials {min_trials} from 1 to patience {patience}, split {split} and jitter {jitter} not negative"
            )
        self._threshold = threshold
        self._window = window
        self._min_trials = min_trials
        self._patience = patience
        self._mixture, self._split = mixture, split
        self._jitter, self._setbacks = jitter, setbacks
        self._climbs = [Climb(timeline, window, split) for timeline in self._timelines]

    @property
    def frontiers(self) -> tuple[int, ...]:
        return tuple(climb.frontier for climb in self._climbs)

    @property
    def left(self) -> int:
        return sum(climb.left for climb in self._climbs)

    @property
    def climbing(self) -> float:
        segments = [segment for climb in self._climbs for segment in climb.segments if segment.left]
        unfinished = sum(segment.goal - segment.begin for segment in segments)
        return unfinished / sum(timeline.length for timeline in self._timelines)

    @property
    def spans(self) -> list[Span]:
        return [
            Span(demo, segment.frontier, segment.goal, segment.imitation)
            for demo, climb in enumerate(self._climbs)
            for segment in climb.segments
        ]

    @property
    def finished(self) -> bool:
        return all(self._done(climb) for climb in self._climbs)

    def _done(self, climb: Climb) -> bool:
        return climb.left == 0 and climb.reset.surely_reach(self._threshold, trials=RESET_TRIALS)

    def sample(self, rng: np.random.Generator) -> Start:
        choices = [(demo, segment) for demo, climb in enumerate(self._climbs) for segment in (None, *climb.segments)]
        demo, segment = choices[draw(rng, np.concatenate([self._weights(climb) for climb in self._climbs]))]
        climb = self._climbs[demo]
        if segment is None:
            first = climb.segments[0]
            return Start(demo, climb.timeline.reset_step, first.goal, self._wait(rng, first.tie_rate))
        laps = [lap for lap in climb.laps if segment.begin <= lap.begin and lap.goal <= segment.goal]
        if segment.left == 0 and self._mixture and len(laps) > 1 and rng.random() < LAPS:
            return self._sample_lap(rng, demo, laps)
        step = self._sample_step(rng, climb, segment)
        if segment.left == 0 and rng.random() < ARRIVALS:
            # Episodes have left places to begin from where they came by, and at the segment's beginning.
            passed = bisect_right(climb.stages, step)
            latest = max(segment.begin, climb.stages[passed - 1] if passed else 0)
            if latest:
                return Start(demo, latest, segment.goal)
        success = float(self.success(demo, np.array([step]))[0])
        return Start(demo, step, segment.goal, self._wait(rng, success))

    def _sample_lap(self, rng: np.random.Generator, demo: int, laps: Sequence[Lap]) -> Start:
        success = np.array([lap.success for lap in laps])
        lap = laps[draw(rng, success * (1 - success) + EVERYWHERE)]
        if lap.begin and rng.random() < ARRIVALS:
            return Start(demo, lap.begin, lap.goal)
        return Start(demo, int(rng.integers(lap.begin, lap.goal)), lap.goal, self._wait(rng, lap.success))

    def _wait(self, rng: np.random.Generator, success: float) -> tuple[int, ...]:
        """The no-ops before an episode from a start that is tied that often."""
        if not self._jitter or rng.random() >= success:
            return ()
        return (0,) * int(rng.integers(1, self._jitter + 1))

    def _weights(self, climb: Climb) -> NDArray[np.float64]:
        """How often episodes begin at the reset and in each segment: so that each gets agent steps by its need."""
        segments = climb.segments
        share = RESET_SHARE + (MOST_RESET_SHARE - RESET_SHARE) * climb.within_reach
        needs = np.array([segment.need for segment in segments])
        wanted = np.array([share * needs.sum(), *((1 - share) * needs)])
        paces = np.array([climb.reset_pace, *(segment.pace for segment in segments)])
        known = paces[paces > 0]
        return wanted / np.where(paces > 0, paces, known.mean() if len(known) else 1.0)

    def _sample_step(self, rng: np.random.Generator, climb: Climb, segment: Segment) -> int:
        border, end = segment.window_end, segment.end
        if border == end or not self._mixture or rng.random() < (NEAR if segment.left else NEAR_AT_BEGINNING):
            return int(rng.integers(segment.frontier, border))
        first = border // BUCKET
        success = climb.estimates.success[first : (end - 1) // BUCKET + 1]
        bucket = first + draw(rng, success * (1 - success) + EVERYWHERE)
        return int(rng.integers(max(border, bucket * BUCKET), min(end, (bucket + 1) * BUCKET)))

    def onward(self, origin: Start, reached: Start, rng: np.random.Generator) -> Start | None:
        climb = self._climbs[reached.demo]
        index = climb.segment_to(reached.goal)
        if index is None or index + 1 == len(climb.segments):
            return None
        following = climb.segments[index + 1]
        if following.left or (origin.step != climb.timeline.reset_step and rng.random() >= following.need):
            return None
        return Start(reached.demo, following.begin, following.goal)

    def again(self, start: Start, step: int, rng: np.random.Generator) -> Start | None:
        climb = self._climbs[start.demo]
        # Who has no more than the demo had before the segment was handed over there all the same.
        segment = climb.segment_at(start.goal - 1)
        lap = climb.lap_at(max(step, segment.begin))
        if not self._setbacks or segment.left or lap is None or step >= start.goal:
            return None
        borne = lap.setbacks.tie_rate
        if rng.random() >= (1.0 if borne is None else max(borne, LEAST_SETBACKS)):
            return None
        return Start(start.demo, max(step, segment.begin), lap.goal)

    def record(self, outcome: Outcome) -> None:
        check_start(self._timelines, outcome.start)
        climb = self._climbs[outcome.start.demo]
        step, goal = outcome.start.step, outcome.start.goal
        index = climb.segment_to(goal)
        lap = climb.lap_at(step)
        on_lap = lap is not None and goal == lap.goal
        if outcome.setbacks:
            if lap is not None and on_lap and not outcome.leg:
                lap.setbacks.add(outcome.tied)
            return
        if lap is not None and on_lap:
            lap.trials.add(outcome.tied)
            if index is None:
                around = climb.segment_at(step)
                around.pace = next_pace(around.pace, outcome.length)
                return
        at_reset = step == climb.timeline.reset_step and outcome.leg == 0
        if at_reset and goal == climb.timeline.length:
            climb.reset_pace = next_pace(climb.reset_pace, outcome.length)
        elif not at_reset and index is not None:
            climb.segments[index].pace = next_pace(climb.segments[index].pace, outcome.length)
        if outcome.start.walk:
            if not at_reset:
                climb.estimates.record(step, outcome.tied)
            return
        if at_reset and goal == climb.timeline.length:
            climb.reset.add(outcome.tied)
            if len(climb.segments) > 1:
                return
        if index is None:
            return
        segment = climb.segments[index]
        if (outcome.leg and step == segment.begin) or (at_reset and len(climb.segments) > 1):
            segment.handed.add(outcome.tied)
            return
        if step >= 0:
            climb.estimates.record(step, outcome.tied)
        # At frontier 0 nearly half of all episodes begin at the reset; they would drown the rest of the window.
        if not at_reset and not outcome.leg and segment.frontier <= step < segment.window_end:
            segment.record(outcome.tied)

    def advance(self) -> list[Move]:
        moves = []
        for demo, climb in enumerate(self._climbs):
            for segment in climb.segments:
                rate, trials, before = segment.window.tie_rate or 0.0, segment.window.total, segment.frontier
                reason = segment.move(self._threshold, self._min_trials, self._patience, climb.estimates.success)
                if reason is not None:
                    moves.append(Move(demo, before, segment.frontier, reason, rate, trials, segment.goal))
            moves += self._merge(demo, climb)
            moves += self._cut(demo, climb)
        return moves

    def ease(self) -> list[Move]:
        moves = []
        for demo, climb in enumerate(self._climbs):
            for segment in climb.segments:
                if segment.left:
                    rate, trials, before = segment.window.tie_rate or 0.0, segment.window.total, segment.frontier
                    segment.ease()
                    moves.append(Move(demo, before, segment.frontier, "retreat", rate, trials, segment.goal))
        return moves

    def _merge(self, demo: int, climb: Climb) -> list[Move]:
        """Joins segments from the demo's end on."""
        moves = []
        for index in reversed(range(len(climb.segments) - 1)):
            first, second = climb.segments[index : index + 2]
            if first.left or second.left:
                continue
            handed = second.handed
            wanted = MERGED_RATE * self._threshold / max(first.tie_rate, 1e-9)
            known = len(first.window) >= self._min_trials and wanted < 1
            whole = climb.reset.surely_reach(self._threshold, trials=RESET_TRIALS)
            rate = 1.0 if handed.tie_rate is None else handed.tie_rate
            if whole or (known and handed.surely_reach(wanted, trials=RESET_TRIALS)):
                moves.append(Move(demo, second.begin, first.begin, "merge", rate, handed.total, second.goal))
                climb.join(index, rate, first.begin)
            elif (
                handed.total >= BRIDGE_TRIALS
                and rate < BRIDGED_RATE * self._threshold
                and second.window.surely_reach(self._threshold, trials=SURE_TRIALS)
            ):
                moves.append(Move(demo, second.begin, second.begin, "bridge", rate, handed.total, second.goal))
                climb.join(index, rate, second.begin)
        return moves

    def _cut(self, demo: int, climb: Climb) -> list[Move]:
        """Divides segments whose frontier stands still, as far as the demo may be in segments."""
        moves = []
        for segment in list(climb.segments) if self._split else []:
            rate, trials = segment.window.tie_rate or 0.0, segment.window.total
            earlier = segment.cut(climb.timeline, self._split)
            if earlier is not None:
                climb.segments.insert(climb.segments.index(segment), earlier)
                moves.append(Move(demo, segment.frontier, earlier.frontier, "cut", rate, trials, earlier.goal))
        return moves

    def success(self, demo: int, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """As in ``Curriculum``: the posterior mean of each start's bucket; 1 after the last reward, where all ties."""
        climb = self._climbs[demo]
        return climb.estimates.success_from(steps, climb.reset)

    def report(self) -> dict[str, Any]:
        demos = []
        for climb in self._climbs:
            rates = [segment.window.tie_rate for segment in climb.segments if segment.window.tie_rate is not None]
            demos.append(
                {
                    "frontier": climb.frontier,
                    "segments": [[segment.begin, segment.goal, segment.frontier] for segment in climb.segments],
                    "tie_rate": sum(rates) / len(rates) if rates else None,
                    "trials": sum(segment.window.total for segment in climb.segments),
                    "reset_tie_rate": climb.reset.tie_rate,
                    "reset_trials": len(climb.reset),
                }
            )
        return {"finished": self.finished, "demos": demos}

    def buckets(self) -> list[Buckets]:
        return [climb.estimates.buckets() for climb in self._climbs]

    def state_dict(self) -> dict[str, Any]:
        return save_demos(self.name, self._timelines, [climb.save() for climb in self._climbs])

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        keys = {"segments", "ties", "trials", "reset", "reset_pace", "laps"}
        _, readers = load_demos(state, self.name, self._timelines, keys)
        self._climbs = [
            Climb.load(timeline, self._window, reader)
            for timeline, reader in zip(self._timelines, readers, strict=True)
        ]
