import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo_curriculum.demo import SimulatorSpec
from demo_curriculum.errors import DemoCurriculumError, UsageError
from demo_curriculum.recording.archive import RESET, Archive, Way
from demo_curriculum.recording.explore import TAIL, SearchError
from demo_curriculum.recording.search import Search
from demo_curriculum.simulators import make_simulator, register_simulator
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


def search_demo(simulator, *, seed, until_score, block=1, polish_frames=0, **limits):
    search = Search(simulator, block=block, until_score=until_score, seed=seed)
    search.run(polish_frames=polish_frames, **limits)
    search.tidy()
    return search.demo()


def montezuma(seed, **limits):
    return search_demo(make_simulator("ALE/MontezumaRevenge-v5"), seed=seed, until_score=100, block=4, **limits)


class Draws:
    """A generator whose ``random`` gives the numbers named, and whose ``geometric`` is ``level``."""

    def __init__(self, *numbers, level=1):
        self.numbers = list(numbers)
        self.level = level

    def random(self):
        return self.numbers.pop(0)

    def geometric(self, p):
        return self.level


def by_visits(archive, *numbers, **limits):
    """Draws of the half that looks at visits alone."""
    return archive.draw(Draws(*(value for number in numbers for value in (0.9, number))), len(numbers), **limits)


def test_a_way_is_all_actions_from_the_reset():
    first = Way(RESET, (1, 2), 0.0, 2)
    second = Way(first, (3,), 0.0, 3)
    assert RESET.whole() == []
    assert second.whole() == [1, 2, 3]


def test_the_archive_keeps_the_higher_score_then_the_shorter_way():
    archive = Archive()
    assert archive.wants(b"cell", 0.0, 7)
    archive.put(b"cell", Way(RESET, (1,) * 7, 0.0, 7), b"")
    assert not archive.wants(b"cell", 0.0, 7)
    assert archive.wants(b"cell", 0.0, 6)
    assert archive.wants(b"cell", 1.0, 9)
    assert not archive.wants(b"cell", -1.0, 1)
    archive.put(b"cell", Way(RESET, (1,) * 9, 1.0, 9), b"state")
    assert [(way.length, state) for way, state in zip(archive.ways, archive.states, strict=True)] == [(9, b"state")]


def test_ways_behind_a_replaced_one_stay_whole():
    archive = Archive()
    old = Way(RESET, (1, 1, 1), 0.0, 3)
    archive.put(b"near", old, b"")
    archive.put(b"far", Way(old, (2,), 0.0, 4), b"")
    archive.put(b"near", Way(RESET, (3,), 0.0, 1), b"")
    assert [way.whole() for way in archive.ways] == [[3], [1, 1, 1, 2]]


def test_cells_are_drawn_by_one_over_the_root_of_their_visits():
    archive = Archive()
    archive.put(b"a", Way(RESET, (1,), 0.0, 1), b"")
    archive.put(b"b", Way(RESET, (2, 2), 0.0, 2), b"")
    # Weights 1 and 1: below a half is a. Three visits to a make them 1/2 and 1: below a third is a.
    assert by_visits(archive, 0.49, 0.0, 0.0) == [0, 0, 0]
    assert by_visits(archive, 0.32) == [0]
    # Four visits: 1/sqrt(5) and 1, below .309 is a.
    assert by_visits(archive, 0.31) == [1]
    # A better way makes the cell new: 1 and 1/sqrt(2), below .586 is a.
    archive.put(b"a", Way(RESET, (), 1.0, 0), b"")
    assert by_visits(archive, 0.58) == [0]
    # Too long ways are never drawn.
    assert by_visits(archive, 0.999, shorter_than=2) == [0]


def test_half_of_the_draws_are_among_the_highest_scores():
    archive = Archive()
    for number, score in enumerate([0.0, 0.0, 100.0, 400.0]):
        archive.put(bytes([number]), Way(RESET, (1,) * (number + 1), score, number + 1), b"")
    # The first number says which half, the second draws from it.
    assert archive.draw(Draws(0.49, 0.0), 1) == [3]
    # One level down there are two cells, with weights 1 and 1/sqrt(2): below .586 is the one of 100 points.
    assert archive.draw(Draws(0.0, 0.58, level=2), 1) == [2]
    assert archive.draw(Draws(0.0, 0.0, level=99), 1) == [0]
    # What is too long to matter has no score to go by.
    assert archive.draw(Draws(0.0, 0.0), 1, shorter_than=4) == [2]


def test_where_every_way_is_too_long_the_shortest_is_drawn():
    archive = Archive()
    archive.put(b"a", Way(RESET, (1, 1, 1), 5.0, 3), b"")
    archive.put(b"b", Way(RESET, (1, 1), 1.0, 2), b"")
    assert archive.draw(Draws(0.0, 0.9), 1, shorter_than=2) == [1]
    assert by_visits(archive, 0.0, shorter_than=2) == [1]


def test_the_archive_grows():
    archive = Archive()
    for number in range(3000):
        archive.put(number.to_bytes(2), Way(RESET, (), 0.0, number), b"")
    assert len(archive) == 3000
    assert by_visits(archive, 0.9999) == [2999]


@settings(max_examples=10)
@given(st.integers(0, 2**32))
def test_the_shortest_way_that_costs_no_life_is_found_from_any_seed(seed):
    demo = search_demo(Ledge(), until_score=10, seed=seed, polish_frames=100_000)
    assert demo.actions.tolist() == [RIGHT] * 5 + [STAY] * TAIL
    assert demo.rewards.tolist() == [0] * 4 + [10] + [0] * TAIL
    assert demo.lives.tolist() == [2] * (6 + TAIL)
    assert demo.origin == "search"


@pytest.mark.parametrize("seed", range(5))
def test_even_the_first_way_found_is_tidied(seed):
    demo = search_demo(Ledge(), until_score=10, seed=seed)
    assert demo.actions.tolist() == [RIGHT] * 5 + [STAY] * TAIL


def test_tidying_leaves_out_detours_and_needless_changes():
    search = Search(Ledge(), block=1, until_score=10)
    search.best = Way(RESET, (RIGHT, LEFT, RIGHT, RIGHT, STAY, RIGHT, RIGHT, LEFT, RIGHT, RIGHT), 10.0, 10)
    search.tidy()
    assert search.best.whole() == [RIGHT] * 5
    assert search.best.score == 10


def test_tidying_takes_the_action_before_where_the_place_needs_filling():
    class Bell(Ledge):
        """10 points for whatever is done as the seventh step."""

        def step(self, action):
            self.place += 1
            return 10 if self.place == 7 else 0

    search = Search(Bell(), block=1, until_score=10)
    search.best = Way(RESET, (RIGHT, LEFT, STAY, RIGHT, STAY, LEFT, RIGHT), 10.0, 7)
    search.tidy()
    assert search.best.whole() == [RIGHT] * 7


def test_actions_are_held_for_whole_blocks():
    demo = search_demo(Ledge(), until_score=10, seed=0, block=4, polish_frames=100_000)
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
            until_score=10,
            seed=0,
            max_frames=5000,
        )


def test_a_search_that_ends_early_returns_the_best_demo_so_far():
    def until_frame_5000(progress):
        seen.append(progress)
        return progress.frames < 5000

    seen = []
    demo = search_demo(
        Ledge(),
        until_score=30,
        seed=0,
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
            until_score=10,
            seed=3,
            polish_frames=20_000,
        )


def test_a_search_in_one_cell_ends_its_polish():
    class Till(Ledge):
        """All places look alike, and what an action pays is seen at once: a cell's way can be as long as the best."""

        def step(self, action):
            return (0, 1, 5, 0)[action]

    assert search_demo(Till(), until_score=5, seed=0, polish_frames=5000).rewards.tolist() == [5] + [0] * TAIL


def test_until_score_must_be_positive():
    with pytest.raises(ValueError, match="until_score 0"):
        Search(Ledge(), until_score=0, block=1)


def test_the_locked_chain_is_opened():
    simulator = make_simulator("LockedChain-8")
    demo = search_demo(simulator, until_score=1, seed=0)
    assert demo.actions.tolist() == simulator.keys.tolist()
    assert demo.complete


def test_a_chain_of_one_door_ends_its_polish():
    demo = search_demo(
        make_simulator("LockedChain-1"),
        until_score=1,
        seed=0,
        polish_frames=100,
    )
    assert len(demo) == 1


@pytest.mark.slow
def test_montezumas_key_is_found():
    demo = montezuma(seed=0, max_frames=400_000)
    assert demo.score == 100
    assert demo.lives.min() == 6
    assert (demo.actions.reshape(-1, 4) == demo.actions[::4, None]).all()
    assert np.flatnonzero(demo.rewards)[0] >= len(demo) - TAIL - 4
    assert (demo.actions[-TAIL:] == 0).all()
    assert replay_demo(make_simulator("ALE/MontezumaRevenge-v5"), demo).matched


def same(one, other):
    """Whether two searches know the same and would go on alike."""
    return (
        (one.frames, one.rounds) == (other.frames, other.rounds)
        and (one.archive.cells, one.archive.states) == (other.archive.cells, other.archive.states)
        and [way.whole() for way in one.archive.ways] == [way.whole() for way in other.archive.ways]
        and one.archive.visits.tolist() == other.archive.visits.tolist()
    )


def test_the_same_seed_finds_the_same_on_any_number_of_processes(monkeypatch):
    monkeypatch.setattr("demo_curriculum.recording.search.SERIAL_FRAMES", 300)
    one, two, other = (Search(make_simulator("LockedChain-12"), block=1, seed=seed) for seed in (5, 5, 6))
    one.run(polish_frames=0, max_frames=2000)
    two.run(polish_frames=0, max_frames=2000, processes=2)
    other.run(polish_frames=0, max_frames=2000)
    assert same(one, two) and not same(one, other)


def test_a_search_that_was_saved_goes_on_as_if_it_had_never_stopped(tmp_path):
    whole, first = (Search(make_simulator("LockedChain-12"), block=1, seed=5) for _ in range(2))
    whole.run(polish_frames=0, max_frames=3000)
    first.run(polish_frames=0, max_frames=1500)
    first.save(tmp_path / "x.search")
    second = Search.load(tmp_path / "x.search")
    assert same(second, first)
    second.run(polish_frames=0, max_frames=3000)
    assert same(second, whole) and not same(first, whole)


def test_a_search_is_not_gone_on_with_for_less_than_it_found(tmp_path):
    search = Search(make_simulator("LockedChain-3"), block=1, until_score=10)
    search.best = Way(RESET, (1, 1), 7.0, 2)
    search.save(tmp_path / "x.search")
    with pytest.raises(UsageError, match=r"x\.search: the search has found 7 points already"):
        Search.load(tmp_path / "x.search", until_score=6)
    # More than was asked for is no reason: what is behind it was never wanted.
    search.until_score = 6
    search.save(tmp_path / "x.search")
    assert Search.load(tmp_path / "x.search", until_score=6).done
    assert not Search.load(tmp_path / "x.search", until_score=8).done


def test_a_search_that_was_saved_while_polishing_ends_where_the_whole_one_does(tmp_path):
    whole, first = (Search(make_simulator("LockedChain-4"), block=1, until_score=1, seed=5) for _ in range(2))
    whole.run(polish_frames=3000)
    first.run(polish_frames=1000)
    assert first.done and first.frames < whole.frames
    first.save(tmp_path / "x.search")
    second = Search.load(tmp_path / "x.search", until_score=1)
    second.run(polish_frames=3000)
    assert same(second, whole)


def test_a_search_goes_on_for_a_higher_score(tmp_path):
    class Stairs(Ledge):
        """10 points for every second step to the right."""

        def step(self, action):
            self.place = min(self.place + (action == RIGHT), 8)
            reward = 10 if self.place // 2 > self.taken else 0
            self.taken = self.place // 2
            return reward

    register_simulator("Ledge", lambda env_id: Stairs())
    search = Search(Stairs(), block=1, until_score=10)
    search.run(polish_frames=0)
    assert 10 <= search.best.score <= 40 and search.done
    search.save(tmp_path / "x.search")
    assert Search.load(tmp_path / "x.search", until_score=10).done
    on = Search.load(tmp_path / "x.search", until_score=40)
    on.run(polish_frames=0)
    assert on.best.score == 40
    assert on.demo().rewards.sum() == 40


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "cycle", "missing"])
def test_what_is_no_search_is_refused(tmp_path, damage):
    path = tmp_path / "x.search"
    search = Search(make_simulator("LockedChain-3"), block=1)
    search.run(polish_frames=0, max_frames=100)
    search.save(path)
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        at = content.index(b"visits.npy") + 160  # behind the headers, in the numbers
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    elif damage == "text":
        path.write_text("{}")
    else:
        with np.load(path) as file:
            columns = dict(file)
        if damage == "cycle":
            columns["before"][:] = np.arange(len(columns["before"]))
        else:
            del columns["visits"]
        with path.open("wb") as file:
            np.savez(file, **columns)
    with pytest.raises(DemoCurriculumError, match=r"not a search that can be gone on with|is no NPZ file, or damaged"):
        Search.load(path)


def test_without_any_reward_the_error_says_how_long_was_searched():
    with pytest.raises(SearchError, match=r"no reward found in \d?\d,\d\d\d frames"):
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
