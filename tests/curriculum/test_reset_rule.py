"""The control without a demo, by hand."""

import numpy as np

from demo_curriculum.curriculum import ResetCurriculum, Span, Timeline
from demo_curriculum.demo import Outcome, Start


def test_every_episode_begins_at_the_reset_and_is_judged_to_the_end() -> None:
    curriculum = ResetCurriculum([Timeline(50, offset=9, rewards=(30,)), Timeline(70)])
    rng = np.random.default_rng(0)
    starts = {curriculum.sample(rng) for _ in range(100)}
    assert starts == {Start(0, -9, 50), Start(1, 0, 70)}


def test_only_the_ties_from_the_reset_finish_it() -> None:
    curriculum = ResetCurriculum([Timeline(50, offset=9, rewards=(30,))])
    for trial in range(50):
        assert not curriculum.finished
        curriculum.record(Outcome(Start(0, -9, 50), 1.0, 7, trial % 2 == 0, "tie"))
    # 25 of 50 are surely above a fifth.
    assert curriculum.advance() == [] and curriculum.finished
    again = ResetCurriculum([Timeline(50, offset=9, rewards=(30,))])
    again.load_state_dict(curriculum.state_dict())
    assert again.finished and again.frontiers == (0,) and again.spans == [Span(0, 0, 50)]
