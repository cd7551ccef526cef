"""How far one demo is climbed."""

from __future__ import annotations

from typing import Any

from demo_curriculum.curriculum.estimates import StartEstimates
from demo_curriculum.curriculum.lap import SAVED as SAVED_LAP
from demo_curriculum.curriculum.lap import Lap, laps_of
from demo_curriculum.curriculum.rule import BUCKET, CurriculumError, Timeline
from demo_curriculum.curriculum.segment import SAVED, Segment, cut
from demo_curriculum.curriculum.state import StateReader, save_trials
from demo_curriculum.curriculum.trials import RESET_MEMORY, RecentTrials


class Climb:
    """One demo's progress.

    Attributes:
        segments: from the demo's beginning to its end, each with a frontier of its own; one in the end.
        estimates: success by start.
        stages: as the timeline's.
        laps: from each stage to the next.
        reset: the trials from the game's own reset, judged up to the demo's end.
        reset_pace: agent steps of a whole episode from there, in the mean of the latest; 0 before the first.
    """

    def __init__(self, timeline: Timeline, window: int, split: int) -> None:
        self.timeline = timeline
        self.segments = [Segment(timeline, begin, goal, span=window) for begin, goal in cut(timeline, split)]
        self.estimates = StartEstimates(timeline)
        self.stages = timeline.stages
        self.laps = laps_of(timeline)
        self.reset = RecentTrials(RESET_MEMORY)
        self.reset_pace = 0.0

    @classmethod
    def load(cls, timeline: Timeline, window: int, state: StateReader) -> Climb:
        climb = cls(timeline, window, 0)
        begin, segments = 0, []
        for entry in state.objects("segments", SAVED):
            segments.append(Segment.load(timeline, entry, begin, span=window))
            begin = segments[-1].goal
        if begin != timeline.length:
            raise CurriculumError(f"curriculum state: the segments end at {begin}, the demo at {timeline.length}")
        goals = {*timeline.landmarks, *(step + 1 for step in timeline.rewards), timeline.length}
        if unknown := [segment.goal for segment in segments if segment.goal not in goals]:
            raise CurriculumError(f"curriculum state: segments end at {unknown}, where nothing tells that they do")
        climb.segments = segments
        climb.estimates = StartEstimates.load(timeline, state)
        climb.reset = state.trials("reset", RESET_MEMORY)
        climb.reset_pace = state.pace("reset_pace")
        laps = state.objects("laps", SAVED_LAP)
        if len(laps) != len(climb.laps):
            raise CurriculumError(f"curriculum state: {len(laps)} laps, of a demo that has {len(climb.laps)}")
        for lap, entry in zip(climb.laps, laps, strict=True):
            lap.load(entry)
        return climb

    def save(self) -> dict[str, Any]:
        return {
            "segments": [segment.save() for segment in self.segments],
            **self.estimates.save(),
            "reset": save_trials(self.reset),
            "reset_pace": self.reset_pace,
            "laps": [lap.save() for lap in self.laps],
        }

    @property
    def frontier(self) -> int:
        """Of the last segment: from there on the demo is climbed in one piece."""
        return self.segments[-1].frontier

    @property
    def left(self) -> int:
        """Demo steps still to climb; each seam between segments counts as one more."""
        return sum(segment.left for segment in self.segments) + len(self.segments) - 1

    @property
    def within_reach(self) -> float:
        """How much of the demo, in [0, 1], is of segments that an episode from the reset comes to, in the mean."""
        steps, arriving = 0.0, 1.0
        for segment in self.segments:
            if segment.left:
                break
            steps += arriving * (segment.goal - segment.begin)
            arriving *= segment.tie_rate
        return steps / self.timeline.length

    def segment_at(self, step: int) -> Segment:
        return next(segment for segment in self.segments if step < segment.goal)

    def lap_at(self, step: int) -> Lap | None:
        """In which a start at ``step`` lies, the game's own reset in the first; None after the last."""
        return next((lap for lap in self.laps if step < lap.goal), None)

    def segment_to(self, goal: int) -> int | None:
        """The index of the segment that is judged at ``goal``; None where it was merged into a later one."""
        return next((index for index, segment in enumerate(self.segments) if segment.goal == goal), None)

    def join(self, index: int, rate: float, frontier: int) -> None:
        """Makes one of segment ``index`` and the one after it, which ties ``rate`` of the episodes handed over."""
        first, second = self.segments[index : index + 2]
        joined = Segment(self.timeline, first.begin, second.goal, span=first.span)
        joined.frontier = joined.lowest = frontier
        self.segments[index : index + 2] = [joined]
        # What was tied up to the seam is now judged at the later goal.
        self.estimates.ties[first.begin // BUCKET : second.begin // BUCKET] *= rate
