import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.simulators import SnapshotError, make_simulator
from demo_curriculum.simulators.check import check_simulator
from demo_curriculum.simulators.mountain_car import SparseMountainCar
from demo_curriculum.simulators.playback import play_demo

ID = "SparseMountainCar-v0"
NOOP, LEFT, RIGHT = range(3)


def swing_up():
    """With the engine always along the movement the car gains height with every swing."""
    car = SparseMountainCar(ID)
    actions = []
    while not car.game_over:
        _, _, velocity = struct.unpack("<H2d", car.save())
        actions.append(LEFT if velocity < 0 else RIGHT)
        car.play(actions[-1:])
    return actions


def test_every_promise_is_kept():
    demo = play_demo(SparseMountainCar(ID), swing_up(), origin="script", snapshot_steps=[1, 50])
    assert demo.score == 1 and demo.rewards[-1] == 1 and 80 < len(demo) < 200
    check_simulator(lambda: make_simulator(ID), demo)
    check_simulator(lambda: make_simulator(ID))


def test_the_engine_alone_does_not_reach_the_flag():
    car = SparseMountainCar(ID)
    assert car.play([RIGHT] * 199) == 0 and not car.game_over
    state = car.save()
    # Gymnasium's own limit, also after a restore.
    for _ in range(2):
        assert car.play([RIGHT]) == 0 and car.game_over
        car.restore(state)
        assert not car.game_over


def test_one_step_is_that_of_the_published_dynamics():
    car = SparseMountainCar(ID)
    car.restore(struct.pack("<H2d", 7, -0.5, 0.01))
    car.play([RIGHT])
    velocity = 0.01 + 0.001 - 0.0025 * math.cos(-1.5)
    assert struct.unpack("<H2d", car.save()) == pytest.approx((8, -0.5 + velocity, velocity), abs=1e-12)
    assert car.observe() == pytest.approx([(0.7 + velocity) / 1.8 * 255, (velocity + 0.07) / 0.14 * 255], rel=1e-5)


@pytest.mark.parametrize(
    "state", [(9, 0.7, 0.0), (9, -1.3, 0.0), (9, 0.0, 0.08), (9, math.nan, 0.0), (9, 0.0, math.nan), (201, 0.0, 0.0)]
)
def test_states_that_cannot_be_are_refused(state):
    car = SparseMountainCar(ID)
    before = car.save()
    with pytest.raises(SnapshotError, match="not a state of a mountain car"):
        car.restore(struct.pack("<H2d", *state))
    assert car.save() == before


@given(
    state=st.tuples(st.integers(0, 210), st.floats() | st.floats(-1.2, 0.6), st.floats() | st.floats(-0.07, 0.07)),
    actions=st.lists(st.integers(0, 2), max_size=30),
)
@settings(max_examples=200)
def test_any_bytes_are_refused_or_play_on(state, actions):
    data = struct.pack("<H2d", *state)
    car = SparseMountainCar(ID)
    before = car.save()
    try:
        car.restore(data)
    except SnapshotError:
        assert car.save() == before
        return
    assert car.save() == data
    car.play(actions)
    assert np.isfinite(car.observe()).all()


def test_other_ids_are_refused():
    with pytest.raises(DemoCurriculumError, match="the only mountain car"):
        make_simulator("SparseMountainCar-v1")
