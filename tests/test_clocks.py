"""What tells nothing but the time."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo_curriculum.clocks import find_clocks
from demo_curriculum.simulators import make_simulator
from demo_curriculum.store import read_demos

DEMOS = Path(__file__).parents[1] / "demos"


def counting(steps: int, by: int, begin: int = 0) -> np.ndarray:
    """(steps + 1, 1): a byte that moves on by so much a step."""
    return (begin + by * np.arange(steps + 1)).astype(np.uint8)[:, None]


@given(st.integers(1, 255), st.integers(0, 255))
def test_a_byte_that_moves_on_by_the_same_amount_is_a_clock(by: int, begin: int) -> None:
    assert find_clocks([counting(256, by, begin)]).tolist() == [True]


def test_it_may_stand_still_one_time_in_a_hundred() -> None:
    clock = counting(400, 1)
    for step in (100, 200, 300, 350):
        clock[step:] -= 1
    assert find_clocks([clock]).tolist() == [True], "396 steps of 400"
    clock[399:] -= 1
    assert find_clocks([clock]).tolist() == [False], "395 steps of 400"


def test_what_stands_still_or_moves_otherwise_is_none() -> None:
    still, moving = np.full((401, 1), 7, np.uint8), np.repeat(counting(200, 1), 2, axis=0)[:401]
    noise = np.random.default_rng(0).integers(256, size=(401, 1)).astype(np.uint8)
    seen = np.concatenate([still, moving, counting(400, 3), noise], axis=1)
    assert find_clocks([seen]).tolist() == [False, False, True, False]


def test_it_takes_256_steps_in_all_demos_together_and_the_same_amount_in_all() -> None:
    assert find_clocks([counting(255, 1)]).tolist() == [False]
    assert find_clocks([counting(128, 1), counting(128, 1, begin=9)]).tolist() == [True]
    assert find_clocks([counting(128, 1), counting(128, 2)]).tolist() == [False]


def test_pixels_and_other_numbers_have_none() -> None:
    clock = counting(300, 1)
    assert not find_clocks([clock.astype(np.float32)]).any()
    screens = find_clocks([np.repeat(clock[:, None], 3, axis=1)])
    assert screens.shape == (3, 1)
    assert not screens.any()


def test_montezumas_frame_counter_is_its_clock() -> None:
    (demo,) = read_demos(DEMOS / "montezuma-door.h5")
    assert np.flatnonzero(find_clocks([demo.observations])).tolist() == [0]


@pytest.mark.parametrize(("game", "clocks"), [("Pong", [8]), ("Breakout", [90]), ("Seaquest", [1])])
def test_other_games_have_one_too(game: str, clocks: list[int]) -> None:
    """Each was looked at: it counts frames, whatever is played."""
    simulator = make_simulator(f"ALE/{game}-v5")
    rng = np.random.default_rng(0)
    seen = [simulator.observe()]
    for _ in range(100):
        simulator.play([int(rng.integers(simulator.action_count))] * 3)
        seen.append(simulator.observe())
        assert not simulator.game_over
    assert np.flatnonzero(find_clocks([np.stack(seen)] * 3)).tolist() == clocks
