import sys

import numpy as np
import pytest

pytest.importorskip("minigrid")

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.simulators import SnapshotError, make_simulator
from demo_curriculum.simulators.check import check_simulator
from demo_curriculum.simulators.minigrid import MiniGridSimulator
from demo_curriculum.simulators.playback import play_demo

DOOR_KEY, CORRIDOR = "MiniGrid-DoorKey-5x5-v0", "MiniGrid-KeyCorridorS3R1-v0"
NOOP, LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE = range(7)
HEADER = 7


def solve(simulator):
    """The shortest actions to the reward: breadth first over the saved states."""
    simulator.reset()
    seen = {simulator.fingerprint()}
    queue = deque([(simulator.save(), [])])
    while queue:
        state, actions = queue.popleft()
        for action in (LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE):
            simulator.restore(state)
            if simulator.play([action]):
                return [*actions, action]
            if simulator.fingerprint() not in seen:
                seen.add(simulator.fingerprint())
                queue.append((simulator.save(), [*actions, action]))
    raise AssertionError("no way to the reward")


@pytest.fixture(scope="module", params=[DOOR_KEY, CORRIDOR])
def solved(request):
    simulator = MiniGridSimulator(request.param)
    return play_demo(simulator, solve(simulator), origin="script", snapshot_steps=range(0, 40, 3))


def test_every_promise_is_kept(solved):
    assert solved.score == 1 and solved.rewards[-1] == 1 and solved.complete
    check_simulator(lambda: make_simulator(solved.simulator.env_id), solved)
    check_simulator(lambda: make_simulator(solved.simulator.env_id))


def test_the_key_is_carried_through_the_door(solved):
    """The last two observed numbers are what the agent carries: nothing, then the key (5) of the door's colour."""
    carried = solved.observations[:, -2:].tolist()
    assert carried[0] == [0, 0] and any(kind == 5 for kind, _ in carried)
    assert (solved.observations[:, :-2].reshape(len(solved) + 1, -1, 3)[..., 0] == 10).sum(axis=1).tolist() == [1] * (
        len(solved) + 1
    )


def test_the_reward_does_not_fall_with_time(solved):
    simulator = MiniGridSimulator(solved.simulator.env_id)
    assert simulator.play([NOOP] * 50 + solved.actions.tolist()) == 1


def test_minigrids_time_limit_ends_the_game_also_after_a_restore():
    simulator = MiniGridSimulator(DOOR_KEY)
    # 10 · 5² steps.
    simulator.play([NOOP] * 249)
    assert not simulator.game_over
    state = simulator.save()
    simulator.play([NOOP])
    assert simulator.game_over
    simulator.restore(state)
    assert not simulator.game_over
    assert simulator.play([NOOP]) == 0 and simulator.game_over


def test_what_is_not_installed_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "minigrid", None)
    monkeypatch.delitem(sys.modules, "demo_curriculum.simulators.minigrid")
    with pytest.raises(DemoCurriculumError, match=r"pip install 'demo-curriculum\[minigrid\]'"):
        make_simulator(DOOR_KEY)


def test_other_games_are_refused():
    for env_id in ("MiniGrid-Dynamic-Obstacles-5x5-v0", "MiniGrid-DoorKey-7x7-v0"):
        with pytest.raises(DemoCurriculumError, match="MiniGrid-DoorKey-8x8-v0"):
            make_simulator(env_id)


def cell(simulator, column, row):
    """Where a cell's three bytes are in a state."""
    height = simulator._shape[1]
    begin = HEADER + 3 * (column * height + row)
    return slice(begin, begin + 3)


@pytest.mark.parametrize(
    ("what", "change", "finding"),
    [
        ("a gap in the outer wall", lambda s, data: data.__setitem__(cell(s, 0, 2), bytes([1, 0, 0])), "walls"),
        ("a second key", lambda s, data: data.__setitem__(cell(s, 3, 1), bytes([5, 4, 0])), "keys and balls"),
        ("a box", lambda s, data: data.__setitem__(cell(s, 3, 1), bytes([7, 0, 0])), "walls, doors or goal"),
        ("a door in a fourth state", lambda s, data: data.__setitem__(cell(s, *door(s)), bytes([4, 4, 3])), "walls"),
        ("a carried wall", lambda s, data: data.__setitem__(slice(5, 7), bytes([2, 5])), "keys and balls"),
        ("an agent in a wall", lambda s, data: data.__setitem__(slice(2, 4), bytes([0, 0])), "in a wall"),
        ("an agent outside", lambda s, data: data.__setitem__(slice(2, 4), bytes([200, 1])), "in a wall"),
        ("an agent in a locked door", lambda s, data: data.__setitem__(slice(2, 4), bytes(door(s))), "in a wall"),
        ("a fifth direction", lambda s, data: data.__setitem__(4, 4), "out of range"),
        ("a late step", lambda s, data: data.__setitem__(slice(0, 2), (251).to_bytes(2, "little")), "out of range"),
    ],
)
def test_forged_states_are_refused_and_change_nothing(what, change, finding):
    simulator = MiniGridSimulator(DOOR_KEY)
    before = simulator.save()
    data = bytearray(before)
    change(simulator, data)
    assert bytes(data) != before
    with pytest.raises(SnapshotError, match=finding):
        simulator.restore(bytes(data))
    assert simulator.save() == before


def door(simulator):
    (where,) = np.argwhere(simulator._layout[..., 0] == 4).tolist()
    return where


@given(
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 11)), min_size=1, max_size=4),
    actions=st.lists(st.integers(0, 6), max_size=40),
)
@settings(max_examples=150)
def test_any_bytes_are_refused_or_play_on(changes, actions):
    simulator = fuzzed()
    simulator.reset()
    before = simulator.save()
    data = bytearray(before)
    for where, value in changes:
        data[where % len(data)] = value
    try:
        simulator.restore(bytes(data))
    except SnapshotError:
        assert simulator.save() == before
        return
    assert simulator.save() == bytes(data)
    simulator.play(actions)
    assert simulator.observe().shape == simulator.observation_shape


def fuzzed(made=[]):  # noqa: B006 - made once for all examples
    if not made:
        made.append(MiniGridSimulator(CORRIDOR))
    return made[0]
