from pathlib import Path
from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from demo_curriculum.recording.cells import (
    cell_of,
    montezuma_cell,
    observation_cell,
    pitfall_cell,
    private_eye_cell,
    screen_cell,
)
from demo_curriculum.simulators import make_simulator
from demo_curriculum.store import read_demo

DEMOS = Path(__file__).parents[2] / "demos"


def seen(observation):
    return SimpleNamespace(observe=lambda: np.array(observation))


def test_montezuma_begins_in_room_1_with_empty_hands_and_all_four_objects_there():
    simulator = make_simulator("ALE/MontezumaRevenge-v5")
    # Joe stands at x 77, y 235.
    assert tuple(montezuma_cell(simulator)) == (1, 0, 0b1111, 77 // 8, 235 // 8)


def test_the_key_moves_from_the_room_into_the_inventory():
    demo = read_demo(DEMOS / "montezuma-key.h5")
    step = int(np.flatnonzero(demo.rewards)[0])
    before, after = montezuma_cell(seen(demo.observations[step])), montezuma_cell(seen(demo.observations[step + 1]))
    assert tuple(before[:3]) == (1, 0, 0b1111)
    assert tuple(after[:3]) == (1, 2, 0b1110)


def test_pitfalls_harry_walks_to_the_screen_on_the_left():
    simulator = make_simulator("ALE/Pitfall-v5")
    left = simulator.action_meanings.index("LEFT")
    simulator.play([0] * 10)
    # He begins at x 16, y 32, with all 32 treasures (counted down to 0) before him.
    assert tuple(pitfall_cell(simulator)) == (0xC4, 31, 1, 2)
    simulator.play([left] * 20)
    screen, treasures, x, _ = pitfall_cell(simulator)
    # The register of the screen before this one; he comes in at its right edge, x 147.
    assert (screen, treasures, x) == (0xE2, 31, 147 // 16)


def test_private_eyes_car_is_where_it_was_driven_and_a_theft_solved_shows():
    simulator = make_simulator("ALE/PrivateEye-v5")
    simulator.play([0] * 60)
    begin = private_eye_cell(simulator)
    simulator.play([simulator.action_meanings.index("RIGHT")] * 240)
    assert begin[:4] == bytes(4) and private_eye_cell(simulator)[0] != begin[0]
    ram = np.zeros(128, np.uint8)
    # As the memory changes in a human demo where the first 20,000 points are given.
    ram[[60, 72, 92, 93, 63, 86]] = 24, 1, 6, 0, 40, 35
    assert private_eye_cell(seen(ram)) == bytes((6, 24, 1, 0, 2, 2))


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 127))
def test_montezuma_places_are_squares_of_eight_and_the_rest_of_the_ram_does_not_count(x, y, address):
    def cell(x, y, other):
        ram = np.zeros(128, np.uint8)
        ram[address] = other
        ram[[3, 42, 43, 65, 66]] = 5, x, y, 1, 3
        return montezuma_cell(seen(ram))

    assert cell(x, y, 0) == cell(x - x % 8, y - y % 8, 200)
    assert cell(x, y, 0) != cell((x + 8) % 256, y, 0)


def test_the_screen_cell_is_the_mean_of_15_by_16_pixels_in_eight_levels():
    picture = np.zeros((210, 160, 3), np.uint8)
    picture[15:30, 32:48] = 255  # patch in row 1, column 2
    picture[195:, 144:152] = 128  # half of the last patch: mean 64, level 2
    cell = np.frombuffer(screen_cell(SimpleNamespace(render=lambda: picture)), np.uint8).reshape(14, 10)
    assert cell[1, 2] == 7
    assert cell[13, 9] == 2
    assert np.count_nonzero(cell) == 2


def test_the_observation_cell_rounds_to_one_decimal():
    assert observation_cell(seen([0.52, 1.0])) == observation_cell(seen([0.48, 1.04]))
    assert observation_cell(seen([0.52, 1.0])) != observation_cell(seen([0.62, 1.0]))


def test_every_game_has_a_cell_function():
    assert cell_of("ALE/MontezumaRevenge-v5") is montezuma_cell
    assert cell_of("ALE/Venture-v5") is screen_cell
    assert cell_of("LockedChain-8") is observation_cell


def test_a_generic_cell_can_be_chosen_for_every_game():
    assert cell_of("ALE/MontezumaRevenge-v5", "screen") is screen_cell
    assert cell_of("ALE/MontezumaRevenge-v5", "observation") is observation_cell


def test_the_screen_cell_works_on_pictures_smaller_than_its_patches():
    chain = make_simulator("LockedChain-3")  # 8 rows of 32 pixels
    cells = [screen_cell(chain)]
    for key in chain.keys:
        chain.play([int(key)])
        cells.append(screen_cell(chain))
    assert len(set(cells)) == 4
    assert len(cells[0]) == 8 * 10
