import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo_curriculum.demo import SimulatorSpec
from demo_curriculum.recording.cells import cell_of
from demo_curriculum.recording.search import RESET, TAIL, Archive, Node, Search, SearchError, search_demo
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.playback import replay_demo
from demo_curriculum.store import read_demos

ROOT = Path(__file__).parents[2]
STAY, RIGHT, LEFT, JUMP = range(4)


class Ledge:
    """Five steps to the right lie 10 points; jumping gives 10 at once, and costs a life ``fall`` steps later."""

    action_count = 4
    action_meanings = ("STAY", "RIGHT", "LEFT", "JUMP")
    observation_shape = (4,)
    observation_dtype = np.dtype(np.uint8)
    spec = SimulatorSpec(env_id="Ledge", kwargs={}, adapter="ledge/1")
    game_over = False

    def __init__(self, fall=10):
        self.fall = fall
        self.reset()

    def reset(self):
        self.place, self.taken, self.falling, self.lives = 0, 0, 0, 2

    def play(self, actions):
        return float(sum(self.step(action) for action in actions))

    def step(self, action):
        if self.falling:
            self.falling -= 1
            self.lives -= self.falling == 0
            return 0
        if action == JUMP:
            self.falling = self.fall
            return 10
        self.place = min(max(self.place + (action == RIGHT) - (action == LEFT), 0), 5)
        reward = 10 if self.place == 5 and not self.taken else 0
        self.taken |= self.place == 5
        return reward

    def observe(self):
        return np.array([self.place, self.taken, self.falling, self.lives], np.uint8)

    def save(self):
        return self.observe().tobytes()

    def restore(self, data):
        self.place, self.taken, self.falling, self.lives = data

    def fingerprint(self):
        return int.from_bytes(self.save(), "little")


def ledge_search(seed=0, until_score=10.0, simulator=None):
    simulator = simulator or Ledge()
    return Search(simulator, cell=cell_of("Ledge"), until_score=until_score, block=1, rng=np.random.default_rng(seed))


def montezuma(seed, **kwargs):
    env_id = "ALE/MontezumaRevenge-v5"
    return search_demo(
        make_simulator(env_id),
        cell=cell_of(env_id),
        until_score=100,
        rng=np.random.default_rng(seed),
        block=4,
        **{"polish_frames": 0, **kwargs},
    )


class Draws:
    """A generator whose ``random`` gives the numbers named."""

    def __init__(self, *numbers):
        self.numbers = list(numbers)

    def random(self):
        return self.numbers.pop(0)


def test_a_way_is_all_actions_from_the_reset():
    first = Node(RESET, (1, 2), b"", 0.0, 2)
    second = Node(first, (3,), b"", 0.0, 3)
    assert RESET.way() == []
    assert second.way() == [1, 2, 3]


def test_the_archive_keeps_the_higher_score_then_the_shorter_way():
    archive = Archive()
    assert archive.wants("cell", 0.0, 7)
    archive.put("cell", Node(RESET, (1,) * 7, b"", 0.0, 7))
    assert not archive.wants("cell", 0.0, 7)
    assert archive.wants("cell", 0.0, 6)
    assert archive.wants("cell", 1.0, 9)
    assert not archive.wants("cell", -1.0, 1)
    archive.put("cell", Node(RESET, (1,) * 9, b"", 1.0, 9))
    assert [node.length for node in archive.nodes] == [9]


def test_nodes_behind_a_replaced_one_keep_their_way():
    archive = Archive()
    old = Node(RESET, (1, 1, 1), b"", 0.0, 3)
    archive.put("near", old)
    archive.put("far", Node(old, (2,), b"", 0.0, 4))
    archive.put("near", Node(RESET, (3,), b"", 0.0, 1))
    assert [node.way() for node in archive.nodes] == [[3], [1, 1, 1, 2]]


def test_cells_are_drawn_by_one_over_the_root_of_their_visits():
    archive = Archive()
    a, b = Node(RESET, (1,), b"", 0.0, 1), Node(RESET, (2, 2), b"", 0.0, 2)
    archive.put("a", a)
    archive.put("b", b)
    # Weights 1 and 1: below a half is a. Three visits to a make them 1/2 and 1: below a third is a.
    assert [archive.draw(Draws(0.49)) for _ in range(1)] == [a]
    assert [archive.draw(Draws(number)) for number in (0.0, 0.0)] == [a, a]
    assert archive.draw(Draws(0.32)) is a
    # Four visits: 1/sqrt(5) and 1, below .309 is a.
    assert archive.draw(Draws(0.31)) is b
    # A better way makes the cell new: 1 and 1/sqrt(2), below .586 is a.
    better = Node(RESET, (), b"", 1.0, 0)
    archive.put("a", better)
    assert archive.draw(Draws(0.58)) is better
    # Too long ways are never drawn.
    assert archive.draw(Draws(0.999), shorter_than=2) is better


def test_the_archive_grows():
    archive = Archive()
    for number in range(3000):
        archive.put(number, Node(RESET, (), b"", 0.0, number))
    assert len(archive) == 3000
    assert archive.draw(Draws(0.9999)).length == 2999


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_the_shortest_way_that_costs_no_life_is_found_from_any_seed(seed):
    demo = search_demo(
        Ledge(), cell=cell_of("Ledge"), until_score=10, rng=np.random.default_rng(seed), block=1, polish_frames=20_000
    )
    assert demo.actions.tolist() == [RIGHT] * 5 + [STAY] * TAIL
    assert demo.rewards.tolist() == [0] * 4 + [10] + [0] * TAIL
    assert demo.lives.tolist() == [2] * (6 + TAIL)
    assert demo.origin == "search"


@pytest.mark.parametrize("seed", range(5))
def test_even_the_first_way_found_is_tidied(seed):
    demo = search_demo(
        Ledge(), cell=cell_of("Ledge"), until_score=10, rng=np.random.default_rng(seed), block=1, polish_frames=0
    )
    assert demo.actions.tolist() == [RIGHT] * 5 + [STAY] * TAIL


def test_tidying_leaves_out_detours_and_needless_changes():
    search = ledge_search()
    search.best = Node(RESET, (RIGHT, LEFT, RIGHT, RIGHT, STAY, RIGHT, RIGHT, LEFT, RIGHT, RIGHT), b"", 10.0, 10)
    search.tidy()
    assert search.best.way() == [RIGHT] * 5
    assert search.best.score == 10


def test_tidying_takes_the_action_before_where_the_place_needs_filling():
    class Bell(Ledge):
        """10 points for whatever is done as the seventh step."""

        def step(self, action):
            self.place += 1
            return 10 if self.place == 7 else 0

    search = ledge_search(simulator=Bell())
    search.best = Node(RESET, (RIGHT, LEFT, STAY, RIGHT, STAY, LEFT, RIGHT), b"", 10.0, 7)
    search.tidy()
    assert search.best.way() == [RIGHT] * 7


def test_actions_are_held_for_whole_blocks():
    demo = search_demo(
        Ledge(), cell=cell_of("Ledge"), until_score=10, rng=np.random.default_rng(0), block=4, polish_frames=20_000
    )
    # Two blocks of four steps lead five to the right.
    assert demo.actions.tolist() == [RIGHT] * 8 + [STAY] * TAIL


def test_a_score_that_costs_a_life_is_not_taken():
    class Cliff(Ledge):
        """Only jumping gives points."""

        def step(self, action):
            return super().step(action if action == JUMP else STAY)

    with pytest.raises(SearchError, match="no reward found in"):
        search_demo(
            Cliff(),
            cell=cell_of("Ledge"),
            until_score=10,
            rng=np.random.default_rng(0),
            block=1,
            polish_frames=0,
            max_frames=5000,
        )


def test_a_search_that_ends_early_returns_the_best_demo_so_far():
    def until_frame_5000(progress):
        seen.append(progress)
        return progress.frames < 5000

    seen = []
    demo = search_demo(
        Ledge(),
        cell=cell_of("Ledge"),
        until_score=30,
        rng=np.random.default_rng(0),
        block=1,
        polish_frames=0,
        on_progress=until_frame_5000,
    )
    assert demo.score == 10
    assert demo.lives.min() == 2
    assert seen[0].frames == 0 and seen[-1].frames >= 5000
    assert (seen[-1].score, seen[-1].length) == (10, 5)
    assert seen[-1].cells > 5


def test_a_simulator_that_does_not_restore_exactly_is_found_out():
    class Forgetful(Ledge):
        def restore(self, data):
            super().restore(data)
            self.place = 4

    with pytest.raises(SearchError, match="does not restore its snapshots exactly"):
        search_demo(
            Forgetful(),
            cell=cell_of("Ledge"),
            until_score=10,
            rng=np.random.default_rng(3),
            block=1,
            polish_frames=20_000,
        )


def test_until_score_must_be_positive():
    with pytest.raises(ValueError, match="until_score 0"):
        search_demo(
            Ledge(), cell=cell_of("Ledge"), until_score=0, rng=np.random.default_rng(0), block=1, polish_frames=0
        )


def test_the_locked_chain_is_opened():
    simulator = make_simulator("LockedChain-8")
    demo = search_demo(
        simulator, cell=cell_of("LockedChain-8"), until_score=1, rng=np.random.default_rng(0), block=1, polish_frames=0
    )
    assert demo.actions.tolist() == simulator.keys.tolist()
    assert demo.complete


def test_a_chain_of_one_door_ends_its_polish():
    demo = search_demo(
        make_simulator("LockedChain-1"),
        cell=cell_of("LockedChain-1"),
        until_score=1,
        rng=np.random.default_rng(0),
        block=1,
        polish_frames=100,
    )
    assert len(demo) == 1


def test_montezumas_key_is_found_and_the_same_seed_finds_the_same_demo():
    demo = montezuma(seed=0, max_frames=200_000)
    assert demo.score == 100
    assert demo.lives.min() == 6
    assert (demo.actions.reshape(-1, 4) == demo.actions[::4, None]).all()
    assert np.flatnonzero(demo.rewards)[0] >= len(demo) - TAIL - 4
    assert (demo.actions[-TAIL:] == 0).all()
    assert replay_demo(make_simulator("ALE/MontezumaRevenge-v5"), demo).matched
    assert montezuma(seed=0, max_frames=200_000).fingerprint == demo.fingerprint


def test_without_any_reward_the_error_says_how_long_was_searched():
    with pytest.raises(SearchError, match=r"no reward found in [4-9]\d\d frames"):
        montezuma(seed=0, max_frames=400)


@pytest.mark.parametrize(("name", "score", "length"), [("montezuma-key.h5", 100, 400), ("montezuma-door.h5", 400, 900)])
def test_the_shipped_demos_replay_exactly(name, score, length):
    [demo] = read_demos(ROOT / "demos" / name)
    assert demo.score == score
    assert len(demo) <= length
    assert demo.offset == 0
    assert demo.lives.min() == 6
    assert replay_demo(make_simulator(demo.simulator.env_id), demo).matched


def test_every_shipped_demo_says_how_it_was_made_as_the_script_and_the_readme_do():
    specification = importlib.util.spec_from_file_location("make_demos", ROOT / "tools" / "make_demos.py")
    make_demos = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(make_demos)
    readme = (ROOT / "demos" / "README.md").read_text()
    assert {path.name for path in (ROOT / "demos").glob("*.h5")} == set(make_demos.DEMOS)
    for name, arguments in make_demos.DEMOS.items():
        [demo] = read_demos(ROOT / "demos" / name)
        assert demo.note == f"demo-curriculum record {' '.join(arguments)}"
        assert demo.note in readme
