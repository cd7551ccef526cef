import pytest

from demo_curriculum.demo import Outcome, Start
from demo_curriculum.recording.verification import verify_on
from demo_curriculum.simulators import make_simulator
from demo_curriculum.store import read_demos
from demo_curriculum.training.best import BEST, BestEpisode
from tests.training.test_milestones import climb

CHAIN = {"env_id": "LockedChain-5", "kwargs": {}}
WHOLE = Start(0, 0, 5)


def outcome(score, path):
    return Outcome(WHOLE, score, len(path), True, "tie", path=tuple(path))


def test_a_climb_leaves_its_best_episode_as_a_demo(tmp_path):
    reason, records = climb(tmp_path, keep=0, length=20)
    assert reason == "frontier"
    demo = read_demos(tmp_path / BEST)[0]
    told = [record for record in records if record["kind"] == "best"]
    assert (told[-1]["score"], told[-1]["steps"]) == (demo.score, len(demo)) == (1.0, 20)
    assert demo.origin == "policy" and verify_on(make_simulator("LockedChain-20"), demo).matched


def test_a_better_file_of_an_earlier_sitting_stays(tmp_path):
    keys = make_simulator("LockedChain-5").keys.tolist()
    best = BestEpisode(tmp_path, CHAIN)
    assert best.take([Outcome(WHOLE, 0.0, 3, False, "life")], 1, 10) is None
    told = best.take([outcome(1.0, keys)], 2, 20)
    assert told == {"kind": "best", "update": 2, "agent_steps": 20, "score": 1.0, "steps": 5}
    assert best.take([outcome(1.0, keys)], 3, 30) is None
    # Goes on from a checkpoint of before: told again, as by an uninterrupted run, and not overwritten.
    before = (tmp_path / BEST).read_bytes()
    resumed = BestEpisode(tmp_path, CHAIN)
    assert resumed.take([outcome(1.0, keys)], 2, 20) == told
    assert (tmp_path / BEST).read_bytes() == before


def test_what_does_not_replay_is_not_kept(tmp_path):
    keys = make_simulator("LockedChain-5").keys.tolist()
    with pytest.warns(RuntimeWarning, match="not exact"):
        BestEpisode(tmp_path, CHAIN).take([outcome(2.0, keys)], 1, 10)
    assert not (tmp_path / BEST).exists()


def test_a_path_ends_where_the_game_did(tmp_path):
    """An agent step plays all its actions, though the game may end with the first."""
    keys = make_simulator("LockedChain-5").keys.tolist()
    best = BestEpisode(tmp_path, CHAIN)
    best.take([outcome(1.0, [*keys, 0, 0, 0])], 1, 10)
    assert read_demos(tmp_path / BEST)[0].actions.tolist() == keys
