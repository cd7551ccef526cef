"""Where a demo's scene changes for good, and whether an agent has come there."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from demo_curriculum.landmarks import Landmark, find_landmarks

ENTRIES = 40


def seen(scenes: list[tuple[int, int]], entries: int = 20) -> np.ndarray:
    """What is seen in scenes of (kind, demo steps): ``entries`` entries of the scene's, the others never still."""
    kinds = np.repeat([kind for kind, _ in scenes], [steps for _, steps in scenes])
    observations = np.arange(len(kinds) * ENTRIES, dtype=np.uint32).reshape(len(kinds), ENTRIES)
    observations[:, :entries] = 7 * kinds[:, None] + np.arange(entries)
    return observations


def rewarded(observations: np.ndarray, *steps: int) -> np.ndarray:
    rewards = np.zeros(len(observations) - 1)
    rewards[list(steps)] = 5.0
    return rewards


def steps_of(observations: np.ndarray, *gains: int) -> list[int]:
    return [landmark.step for landmark in find_landmarks(observations, rewarded(observations, *gains))]


def test_a_landmark_is_where_another_scene_is_whole() -> None:
    observations = seen([(0, 100), (1, 100)])
    # It is drawn within three steps, half of it at once.
    observations[101, :10] -= 7
    observations[100, :20] -= 7
    (landmark,) = find_landmarks(observations, rewarded(observations))
    assert landmark.step == 102
    assert landmark.entries.tolist() == list(range(20))
    assert landmark.values.tolist() == [7 + entry for entry in range(20)]


def test_it_takes_a_twelfth_of_what_is_seen_and_both_sides_to_be_still() -> None:
    assert steps_of(seen([(0, 100), (1, 100)], entries=4)) == [100]
    assert steps_of(seen([(0, 100), (1, 100)], entries=3)) == []
    # From step 36 on, and up to 32 steps before the end.
    assert steps_of(seen([(0, 36), (1, 33)])) == [36]
    assert steps_of(seen([(0, 32), (1, 33)])) == []
    assert steps_of(seen([(0, 36), (1, 32)])) == []
    assert steps_of(seen([(0, 100), (1, 31), (2, 100)])) == []
    assert steps_of(seen([(0, 3)])) == steps_of(np.zeros((500, 0), np.uint8)) == []


def test_what_was_seen_lately_is_no_landmark() -> None:
    assert steps_of(seen([(0, 100), (1, 50), (0, 100), (1, 50)]), 120) == [100]
    # Scene 0 was last seen 401 steps before it comes back, and then 399.
    assert steps_of(seen([(0, 100), (1, 401), (0, 50)]), 120) == [100, 501]
    assert steps_of(seen([(0, 100), (1, 399), (0, 50)]), 120) == [100]


def test_where_the_demo_goes_back_for_nothing_is_no_landmark() -> None:
    there_and_back = seen([(0, 100), (1, 500), (0, 100), (2, 50)])
    assert steps_of(there_and_back) == [600, 700]
    # What a step pays is seen after it: the one at 599 is still within scene 1.
    assert steps_of(there_and_back, 100) == steps_of(there_and_back, 599) == [100, 600, 700]
    assert steps_of(there_and_back, 99) == steps_of(there_and_back, 600) == [600, 700]
    told = find_landmarks(there_and_back, rewarded(there_and_back), told=True)
    assert [landmark.step for landmark in told] == [100, 600, 700], "one who is told can go on"
    losses = -rewarded(there_and_back, 300)
    assert [landmark.step for landmark in find_landmarks(there_and_back, losses)] == [600, 700]
    # It is looked for until step 2100.
    assert steps_of(seen([(0, 100), (1, 2000), (0, 50)])) == [2100]
    assert steps_of(seen([(0, 100), (1, 2001), (0, 50)])) == [100, 2101]
    # Three quarters of the twenty entries are enough.
    for alike, found in ((15, [600, 700]), (14, [100, 600, 700])):
        observations = there_and_back.copy()
        observations[600:700, alike:20] += 70
        assert steps_of(observations) == found
    # What it goes back to is what was seen before half of the change was drawn.
    observations = there_and_back.copy()
    observations[99, :10] += 7
    assert steps_of(observations) == [600, 700]


def test_it_tells_for_how_long_the_demo_had_not_seen_its_scene() -> None:
    def news(*scenes: tuple[int, int]) -> list[int]:
        observations = seen(list(scenes))
        return [landmark.news for landmark in find_landmarks(observations, rewarded(observations, 120))]

    # Scene 1 never before; scene 0 at step 99, and then, at 501, not for 401 steps.
    assert news((0, 100), (1, 401), (0, 50)) == [100, 401]
    assert news((0, 100), (1, 1999), (0, 50)) == [100, 1999]
    assert news((0, 100), (1, 2500), (0, 50)) == [100, 2000], "no further back is it looked for"


def test_pictures_and_blocks_of_entries() -> None:
    whole = np.concatenate([seen([(0, 100), (1, 100)])] * 15, axis=1)
    (flat,) = find_landmarks(whole, rewarded(whole))
    (shaped,) = find_landmarks(whole.reshape(200, 4, 150), rewarded(whole))
    assert len(flat.entries) == 300 and flat.entries.max() == 14 * 40 + 19
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(flat, shaped, strict=True))
    assert shaped.seen(whole[150].reshape(4, 150)) and not shaped.seen(whole[50].reshape(4, 150))


def test_a_fifth_of_a_scene_may_be_else() -> None:
    landmark = Landmark(5, np.arange(0, 20, 2), np.ones(10), 5)
    observation = np.zeros((4, 5))
    observation.reshape(-1)[:16:2] = 1
    assert landmark.seen(observation)
    observation.reshape(-1)[0] = 0
    assert not landmark.seen(observation)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(40, 200)), min_size=1, max_size=12))
def test_every_lasting_scene_is_found_once(scenes: list[tuple[int, int]]) -> None:
    observations = seen(scenes)
    kinds = (observations[:, 0] // 7).tolist()
    expected = [
        step
        for step in range(1, len(kinds))
        if kinds[step] != kinds[step - 1]
        and kinds[step] not in kinds[max(step - 400, 0) : step - 4]
        and kinds[step - 1] not in kinds[step : step + 2001]
    ]
    assert steps_of(observations) == expected


def test_what_is_not_seen_makes_no_landmark_and_is_none_of_its_marks() -> None:
    # Of twelve entries the last six change at step 100, and all at 300.
    observations = np.zeros((500, 12), np.uint8)
    observations[100:, 6:] = 1
    observations[300:] = 2
    rewards = np.zeros(499)
    assert [landmark.step for landmark in find_landmarks(observations, rewards)] == [100, 300]
    entries = np.array([1, 2, 5])
    (landmark,) = find_landmarks(observations, rewards, seen=entries)
    assert landmark.step == 300 and landmark.entries.tolist() == [1, 2, 5] and landmark.values.tolist() == [2, 2, 2]
    observations[300, 6:] = 9
    assert landmark.seen(observations[300])
