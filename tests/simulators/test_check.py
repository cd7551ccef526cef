from dataclasses import replace

import numpy as np
import pytest

from demo_curriculum.errors import MismatchError
from demo_curriculum.simulators import SnapshotError, make_simulator
from demo_curriculum.simulators.chain import LockedChain
from demo_curriculum.simulators.check import ConformanceError, check_simulator
from demo_curriculum.simulators.playback import play_demo

ID = "LockedChain-30"


def chain_demo(**kwargs):
    chain = LockedChain(ID)
    return play_demo(chain, chain.keys.tolist(), origin="script", **kwargs)


def test_the_chain_keeps_every_promise():
    check_simulator(lambda: LockedChain(ID), chain_demo(snapshot_steps=[7, 20]))


# Q*bert and Tetris have unfinished pictures after a reset; Private Eye's resets differ unless the simulator sees to it.
@pytest.mark.parametrize("game", ["MontezumaRevenge", "Qbert", "Tetris", "PrivateEye", "Pitfall2", "ElevatorAction"])
def test_atari_games_with_ram_keep_every_promise(game):
    check_simulator(lambda: make_simulator(f"ALE/{game}-v5"))


@pytest.mark.parametrize(("game", "size"), [("Qbert", (84, 84)), ("MontezumaRevenge", (105, 80))])
def test_atari_games_with_pixels_keep_every_promise(game, size, monkeypatch):
    monkeypatch.setattr("demo_curriculum.simulators.check.STEPS", 60)
    check_simulator(lambda: make_simulator(f"ALE/{game}-v5", observation="pixels", size=size))


def test_a_demo_is_replayed_from_all_its_snapshots():
    simulator = make_simulator("ALE/MontezumaRevenge-v5")
    actions = np.random.default_rng(1).integers(simulator.action_count, size=250).tolist()
    demo = play_demo(simulator, actions, origin="script", snapshot_steps=[3, 57])
    check_simulator(lambda: make_simulator("ALE/MontezumaRevenge-v5"), demo)
    later = play_demo(simulator, actions[57:], origin="script", begin=demo.snapshots[1].data, offset=57)
    check_simulator(lambda: make_simulator("ALE/MontezumaRevenge-v5"), later)


class ResetForgets(LockedChain):
    def reset(self):
        self.position = getattr(self, "position", -1) + 1
        self.game_over = False


class RewardOfTheClock(LockedChain):
    played = 0

    def play(self, actions):
        self.played += len(actions)
        return super().play(actions) + (self.played > 200)


class RestoresNothing(LockedChain):
    def restore(self, data):
        position, over = self.position, self.game_over
        super().restore(data)
        self.position, self.game_over = position, over


class SavesTooLittle(LockedChain):
    """Whether the last door was red is kept outside the state, and seen."""

    red = False

    def reset(self):
        super().reset()
        self.red = False

    def play(self, actions):
        self.red = actions[-1] == 1
        return super().play(actions)

    @property
    def lives(self):
        return int(self.red)


class SharesItsObservation(LockedChain):
    def observe(self):
        self.picture = getattr(self, "picture", super().observe())
        return self.picture


class WrongShape(LockedChain):
    def observe(self):
        return super().observe()[:-1]


class StalePicture(LockedChain):
    """The picture is drawn only every tenth step played, whatever is restored."""

    played = 0
    seen = None

    def play(self, actions):
        reward = super().play(actions)
        self.played += len(actions)
        return reward

    def observe(self):
        if self.played % 10 == 0 or self.seen is None:
            self.seen = super().observe()
        return self.seen.copy()


class AnyActionGoes(LockedChain):
    def play(self, actions):
        return super().play([action % 4 for action in actions])


class PlaysBeyondTheEnd(LockedChain):
    def play(self, actions):
        reward = super().play(actions)
        return reward + (self.game_over and len(actions) > 1)


class AcceptsGarbage(LockedChain):
    def restore(self, data):
        super().restore(data if len(data) == 3 else self.save())


class WrongError(LockedChain):
    def restore(self, data):
        if len(data) != 3:
            raise IndexError("what is this")
        super().restore(data)


class LosesItsState(LockedChain):
    def restore(self, data):
        try:
            super().restore(data)
        except SnapshotError:
            self.position = 0
            raise


class KeepsStatesToItself(LockedChain):
    """A state is only a number under which this very object remembers it."""

    def save(self):
        self.kept = getattr(self, "kept", [])
        state = super().save()
        if state not in self.kept:
            self.kept.append(state)
        return bytes([self.kept.index(state), 1, 1])

    def restore(self, data):
        kept = getattr(self, "kept", [])
        if len(data) != 3 or data[0] >= len(kept):
            raise SnapshotError("unknown")
        super().restore(kept[data[0]])


@pytest.mark.parametrize(
    ("broken", "finding"),
    [
        (ResetForgets, "a demo cannot be replayed: the game ended"),
        (RewardOfTheClock, "its reward after step"),
        (RestoresNothing, "right after the restore"),
        (SavesTooLittle, "lives right after the restore"),
        (SharesItsObservation, "fresh array"),
        (WrongShape, "promised are uint8"),
        (StalePicture, "its observation after step"),
        (AnyActionGoes, "action -1 is played"),
        (PlaysBeyondTheEnd, "several actions played at once"),
        (AcceptsGarbage, "nothing is not refused"),
        (WrongError, "IndexError instead of SnapshotError"),
        (LosesItsState, "leaves it in another state"),
        (KeepsStatesToItself, "its own state of step 1 is refused: unknown"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_promise_is_found(broken, finding):
    demo = chain_demo()
    with pytest.raises(ConformanceError, match=finding):
        check_simulator(lambda: broken(ID), demo)


def test_a_demo_that_does_not_replay_is_found():
    rewards = chain_demo().rewards.copy()
    rewards[3] = 5
    with pytest.raises(ConformanceError, match="reward at step 3"):
        check_simulator(lambda: LockedChain(ID), replace(chain_demo(), rewards=rewards))


def test_a_demo_of_another_game_is_refused():
    with pytest.raises(MismatchError, match="another game"):
        check_simulator(lambda: LockedChain("LockedChain-31"), chain_demo())


def test_a_game_that_random_actions_end_at_once_needs_a_demo():
    with pytest.raises(ConformanceError, match="give check_simulator a demo"):
        check_simulator(lambda: LockedChain("LockedChain-1"))
