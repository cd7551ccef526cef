"""What nothing on the screen depends on."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo_curriculum.demo import Demo, SimulatorSpec
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.inert import Stretch, find_inert, find_relevant
from demo_curriculum.simulators.playback import play_demo
from demo_curriculum.store import read_demos, read_openai_demo

DEMOS = Path(__file__).parents[2] / "demos"


class Machine:
    """A memory of which some bytes are drawn, and of which others do what their name says; every step adds 1 to all.

    Args:
        drawn: entries that are in the picture.
        fuse: an entry; when it is a multiple of 100, the step pays a reward of 1.
        together: two entries; while they are equal, which they never are by themselves, the picture is white.
        rooms: two entries; the first is in the picture while entry 0 is below 100, the second from then on.
        flags: an entry that never changes by itself, of which one bit of eight is in the picture.
    """

    spec = SimulatorSpec(env_id="Machine-v0", kwargs={}, adapter="test/1", versions={}, rom_md5="")
    action_count, action_meanings = 2, ("NOOP", "ACT")
    observation_dtype = np.dtype(np.uint8)
    game_over, lives = False, 0

    def __init__(
        self,
        size: int,
        *,
        drawn: set[int],
        fuse: int | None = None,
        together: tuple[int, int] | None = None,
        rooms: tuple[int, int] | None = None,
        flags: int | None = None,
    ) -> None:
        self.observation_shape = (size,)
        self.drawn, self.fuse, self.together, self.rooms, self.flags = sorted(drawn), fuse, together, rooms, flags
        self.reset()

    def reset(self) -> None:
        # By 2 apart, so that no two become equal.
        self.memory = (2 * np.arange(self.observation_shape[0])).astype(np.uint8)

    def play(self, actions: list[int]) -> float:
        reward = 0.0
        for _ in actions:
            self.memory[np.arange(len(self.memory)) != self.flags] += 1
            reward += self.fuse is not None and self.memory[self.fuse] % 100 == 0
        return reward

    def observe(self) -> np.ndarray:
        return self.memory.copy()

    def save(self) -> bytes:
        return self.memory.tobytes()

    def restore(self, data: bytes) -> None:
        self.memory = np.frombuffer(data, np.uint8).copy()

    def fingerprint(self) -> int:
        return int(self.memory.astype(np.int64).sum())

    def render(self) -> np.ndarray:
        picture = np.zeros((1, 1 + len(self.drawn), 3), np.uint8)
        if self.rooms is not None:
            picture[0, 0, 1] = self.memory[self.rooms[int(self.memory[0] >= 100)]]
        if self.flags is not None:
            picture[0, 0, 2] = self.memory[self.flags] & 16
        picture[0, 1:, 0] = self.memory[self.drawn]
        if self.together is not None:
            first, second = self.memory[list(self.together)]
            picture[0, 0] = 255 * (first == second)
        return picture


class PokableMachine(Machine):
    def poke(self, entry: int, value: int) -> None:
        self.memory[entry] = value


def demo_on(simulator: Machine, steps: int = 120) -> Demo:
    return play_demo(simulator, [1] * steps, origin="script")


@given(st.sets(st.integers(0, 15)))
def test_what_is_drawn_matters_and_nothing_else(drawn: set[int]) -> None:
    simulator = PokableMachine(16, drawn=drawn)
    assert set(np.flatnonzero(~find_inert(simulator, [demo_on(simulator)])).tolist()) == drawn


def test_what_shows_only_later_or_in_a_reward_matters_too() -> None:
    # From 6 to 126: once, at step 94, it pays, and never within 48 steps of the first few moments.
    simulator = PokableMachine(8, drawn={1}, fuse=3)
    assert np.flatnonzero(~find_inert(simulator, [demo_on(simulator)])).tolist() == [1, 3]


def test_what_shows_only_together_with_another_is_inert() -> None:
    """Each alone changes nothing; divided, neither half is to blame."""
    simulator = PokableMachine(8, drawn={1}, together=(2, 5))
    demo = demo_on(simulator)
    # The one value that both entries have somewhere else in the demo is given to both here.
    demo.observations[:, [2, 5]] = [7, 7]
    assert np.flatnonzero(~find_inert(simulator, [demo])).tolist() == [1]


def test_the_same_demos_always_give_the_same() -> None:
    (demo,) = read_demos(DEMOS / "montezuma-key.h5")
    simulator = make_simulator("ALE/MontezumaRevenge-v5")
    first = find_inert(simulator, [demo])
    simulator.play([3] * 50)
    assert (find_inert(simulator, [demo]) == first).all()
    assert (find_inert(make_simulator("ALE/MontezumaRevenge-v5"), [demo]) == first).all()


@pytest.mark.parametrize("name", ["montezuma-key", "montezuma-door"])
def test_montezumas_places_matter_and_its_sound_and_random_numbers_do_not(name: str) -> None:
    demos = read_demos(DEMOS / f"{name}.h5")
    inert = find_inert(make_simulator("ALE/MontezumaRevenge-v5"), demos)
    # The room; where the player is; where the skull is; what the player carries; lives.
    assert not inert[[3, 42, 43, 47, 65, 58]].any()
    # Random numbers; pointers of the sound.
    assert inert[[5, 6, 108, 109, 110, 111, 112]].all()
    assert 80 <= inert.sum() <= 100


def test_only_bytes_that_can_be_overwritten_are_tried() -> None:
    simulator = Machine(8, drawn={1})
    assert not find_inert(simulator, [demo_on(simulator)]).any()
    screens = make_simulator("ALE/MontezumaRevenge-v5", observation="pixels")
    assert find_inert(screens, [play_demo(screens, [1] * 20, origin="script")]).shape == (84, 84)
    assert not find_inert(screens, [play_demo(screens, [1] * 20, origin="script")]).any()


def test_a_demo_of_one_step_can_be_looked_at() -> None:
    simulator = PokableMachine(4, drawn={2})
    assert find_inert(simulator, [demo_on(simulator, steps=1)]).tolist() == [True, True, False, True]


def test_what_is_drawn_in_one_room_matters_there_alone() -> None:
    simulator = PokableMachine(8, drawn={1}, rooms=(3, 5))
    demo = demo_on(simulator, steps=200)
    # What is watched of the first ends at step 98.
    stretches = [Stretch(0, 0, 50), Stretch(0, 100, 200), Stretch(0, 0, 200)]
    entries = np.array([0, 2, 3, 5, 1])
    assert find_relevant(simulator, [demo], stretches, entries).tolist() == [
        [True, False, True, False, True],
        [True, False, False, True, True],
        [True, False, True, True, True],
    ]


def test_a_flag_that_never_changes_in_the_demo_matters_where_it_shows() -> None:
    simulator = PokableMachine(8, drawn={1}, flags=6)
    demo = demo_on(simulator)
    assert find_relevant(simulator, [demo], [Stretch(0, 20, 80)], np.arange(8)).tolist() == [
        [entry in (1, 6) for entry in range(8)]
    ]


def test_a_stretch_of_no_steps_is_looked_at_from_before_its_end() -> None:
    """A demo may end with its last score; what matters then did before."""
    simulator = PokableMachine(8, drawn={1}, rooms=(3, 5))
    demo = demo_on(simulator, steps=160)
    (found,) = find_relevant(simulator, [demo], [Stretch(0, 160, 160)], np.arange(8))
    assert np.flatnonzero(found).tolist() == [0, 1, 5]
    for steps in (1, 2, 9):
        demo = demo_on(simulator, steps=steps)
        (found,) = find_relevant(simulator, [demo], [Stretch(0, 0, steps)], np.arange(8))
        assert {1, 3} <= set(np.flatnonzero(found).tolist()) <= {0, 1, 3}


def test_of_what_cannot_be_tried_all_matters() -> None:
    simulator = Machine(8, drawn={1})
    assert find_relevant(simulator, [demo_on(simulator)], [Stretch(0, 0, 120)], np.arange(8)).all()


def test_the_skull_matters_in_its_room() -> None:
    path = Path(__file__).parents[2] / "../shared/data/openai-demos/MontezumaRevenge.demo"
    if not path.exists():
        pytest.skip("the shared recordings are not here")
    recording = read_openai_demo(path)
    simulator = make_simulator("ALE/MontezumaRevenge-v5")
    demo = play_demo(simulator, recording.actions[:960], origin="import")
    # The demonstrator leaves the skull's room, the first, before step 800 and for the first time.
    assert set(demo.observations[300:700, 3]) == {1} and 1 not in demo.observations[820:960, 3]
    here, elsewhere = find_relevant(
        simulator, [demo], [Stretch(0, 300, 700), Stretch(0, 820, 960)], np.array([3, 42, 43, 47])
    )
    assert here.tolist() == [True] * 4
    assert elsewhere.tolist() == [True, True, True, False]
