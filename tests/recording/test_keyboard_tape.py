"""The tape: wherever it goes, the game is the one that was played there."""

import numpy as np
import pytest

from demo_curriculum.recording.tape import STATE_EVERY, Tape
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.playback import play_demo

GAME = "ALE/MontezumaRevenge-v5"


class Watched:
    """A tape, and what there was to see at every step of its path."""

    def __init__(self, env_id=GAME, begin=None):
        self.simulator = make_simulator(env_id)
        self.tape = Tape(self.simulator, begin)
        self.seen = [self.look()]

    def look(self):
        simulator = self.simulator
        return simulator.fingerprint(), simulator.lives, simulator.game_over, simulator.render().tobytes()

    def play(self, actions):
        for action in actions:
            del self.seen[self.tape.step + 1 :]
            self.tape.play(int(action))
            self.seen.append(self.look())

    def check(self):
        assert len(self.seen) == len(self.tape) + 1
        now, then = self.look(), self.seen[self.tape.step]
        # What is drawn before anything was played is no picture yet.
        assert now[: 3 if self.tape.step == 0 else 4] == then[: 3 if self.tape.step == 0 else 4]


@pytest.fixture
def watched():
    watched = Watched()
    watched.play(np.random.default_rng(0).integers(18, size=160))
    return watched


@pytest.mark.parametrize("step", [0, 1, 2, STATE_EVERY - 1, STATE_EVERY, STATE_EVERY + 1, 2 * STATE_EVERY, 159, 160])
def test_going_anywhere_shows_the_frame_that_was_seen_there(watched, step):
    watched.tape.go(step)
    assert watched.tape.step == step and len(watched.tape) == 160
    watched.check()


def test_it_stays_on_the_path(watched):
    watched.tape.go(-5)
    assert watched.tape.step == 0
    watched.tape.go(1000)
    assert watched.tape.step == 160
    watched.check()


def test_playing_cuts_what_lies_ahead_and_only_then(watched):
    watched.tape.go(40)
    assert len(watched.tape) == 160
    watched.play([2])
    assert (watched.tape.step, len(watched.tape)) == (41, 41)
    watched.tape.go(3)
    watched.tape.go(41)
    watched.check()


@pytest.mark.parametrize("game", [GAME, "ALE/Breakout-v5", "ALE/Qbert-v5"])
def test_any_way_through_time_ends_in_a_path_that_plays_from_the_reset(game):
    rng = np.random.default_rng(1)
    watched = Watched(game)
    for _ in range(60):
        match rng.integers(4):
            case 0:
                watched.tape.go(watched.tape.step - int(rng.integers(1, 60)))
            case 1:
                watched.tape.go(int(rng.integers(len(watched.tape) + 1)))
            case _ if not watched.tape.game_over:
                watched.play(np.repeat(rng.integers(watched.simulator.action_count, size=5), 6))
        watched.check()
    tape = watched.tape
    demo = play_demo(make_simulator(game), tape.actions, origin="human")
    assert demo.rewards.tolist() == tape.rewards
    assert demo.lives.tolist() == tape.lives
    assert tape.rewarded == np.flatnonzero(demo.rewards).tolist()
    assert tape.losses == (np.flatnonzero(np.diff(demo.lives) < 0) + 1).tolist()
    tape.go(len(tape))
    assert tape.score == demo.score


def test_the_score_is_that_of_the_position():
    watched = Watched("ALE/SpaceInvaders-v5")
    watched.play([1] * 500)
    tape = watched.tape
    assert tape.rewarded, "a shot hits something"
    first = tape.rewarded[0]
    assert (tape.go(first), tape.score) == (None, 0)
    assert (tape.go(first + 1), tape.score) == (None, tape.rewards[first])


def test_a_take_brings_back_path_and_position(watched):
    watched.tape.go(90)
    take = watched.tape.take()
    actions, seen = list(watched.tape.actions), list(watched.seen)
    watched.play([3] * 50)
    watched.tape.put(take)
    assert (watched.tape.actions, watched.tape.step) == (actions, 90)
    watched.seen = seen
    watched.check()
    watched.tape.go(160)
    watched.check()


def test_a_path_passes_a_take_as_long_as_it_leads_through_it(watched):
    watched.tape.go(90)
    take = watched.tape.take()
    watched.play([3] * 5)
    assert watched.tape.passes(take)
    watched.tape.go(89)
    assert watched.tape.passes(take)
    # The same action again is the same path, and another is not.
    watched.play([take.actions[89]])
    assert watched.tape.passes(take)
    watched.tape.go(89)
    watched.play([(take.actions[89] + 1) % 18])
    assert not watched.tape.passes(take)
    watched.tape.go(30)
    watched.play([0] * 120)
    assert not watched.tape.passes(take)


def test_losses_of_lives_are_found_from_any_position():
    watched = Watched()
    watched.play([3] * 130 + [0] * 200)
    losses = watched.tape.losses
    assert len(losses) >= 2, "walking right off the platform costs lives"
    for loss in losses:
        assert watched.tape.lives[loss] == watched.tape.lives[loss - 1] - 1
    assert watched.tape.loss_before(losses[0] - 1) is None
    assert watched.tape.loss_before(losses[0]) == losses[0]
    assert watched.tape.loss_before(losses[1] - 1) == losses[0]
    assert watched.tape.loss_before(len(watched.tape)) == losses[-1]


def test_the_games_end_counts_as_a_loss_where_there_are_no_lives_and_nothing_follows_it():
    watched = Watched("LockedChain-4")
    keys = watched.simulator.keys
    watched.play([keys[0], (keys[1] + 1) % 4])
    assert watched.tape.loss_before(2) == 2
    with pytest.raises(ValueError, match="the game is over"):
        watched.tape.play(0)
    assert len(watched.tape) == 2
    watched.tape.go(1)
    watched.play(keys[1:])
    assert watched.tape.rewards == [0, 0, 0, 1]


def test_an_action_that_does_not_exist_changes_nothing(watched):
    watched.tape.go(50)
    with pytest.raises(ValueError, match="18"):
        watched.tape.play(18)
    assert (watched.tape.step, len(watched.tape)) == (50, 160)
    watched.check()


def test_a_path_may_begin_at_a_state(watched):
    watched.tape.go(100)
    later = Watched(begin=watched.simulator.save())
    later.play(watched.tape.actions[100:])
    assert later.look() == watched.seen[160]
    later.tape.go(0)
    assert later.look()[:3] == watched.seen[100][:3]
