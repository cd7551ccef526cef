from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo_curriculum.demo import Demo, InvalidDemoError, SimulatorSpec, Snapshot

SPEC = SimulatorSpec("LockedChain-9", {}, "chain/1")


def demo(length: int = 6, **changes: object) -> Demo:
    fields = {
        "simulator": SPEC,
        "actions": np.arange(length),
        "rewards": np.arange(length, dtype=np.float64) - 1,
        "terminations": np.arange(length) == length - 1,
        "truncations": np.zeros(length, np.bool_),
        "observations": np.zeros((length + 1, 3), np.uint8),
        "lives": np.zeros(length + 1, np.int32),
        "snapshots": tuple(Snapshot(step, bytes([step]), step) for step in range(2, length, 2)),
        "origin": "script",
        "complete": True,
        **changes,
    }
    return Demo(**fields)  # type: ignore[arg-type]


def test_returns_are_the_score_before_each_step() -> None:
    assert demo(4).returns.tolist() == [0, -1, -1, 0, 2]
    assert demo(4).score == 2


@given(st.integers(1, 9))
def test_a_trimmed_demo_is_the_beginning_of_the_whole(end: int) -> None:
    whole = demo(9)
    part = whole.trim(end)
    assert len(part) == end and part.actions.tolist() == list(range(end))
    assert [snapshot.step for snapshot in part.snapshots] == [step for step in (2, 4, 6, 8) if step <= end]
    assert part.complete == bool(part.terminations[-1]) == (end == 9)
    assert bool(part.truncations[-1]) == (end < 9)
    assert not whole.truncations.any(), "the whole is as it was"
    assert (part.fingerprint == whole.fingerprint) == (end == 9)


def test_the_nearest_earlier_snapshot() -> None:
    steps = [snapshot.step if snapshot else None for snapshot in map(demo().snapshot_before, range(7))]
    assert steps == [None, None, 2, 2, 4, 4, 4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": np.array([0, 1, np.nan, 0, 0, 0])}, "rewards: holds NaN"),
        ({"rewards": np.zeros(5)}, "rewards: expected float64"),
        ({"actions": np.array([0, 1, -1, 0, 0, 0])}, "negative at step 2"),
        ({"lives": np.zeros(6, np.int32)}, "lives: expected"),
        ({"observations": np.zeros((6, 3), np.uint8)}, "observations: expected"),
        ({"observations": np.array([["x"]] * 7)}, "observations: expected numbers"),
        ({"terminations": np.ones(6, np.bool_)}, "before the last step"),
        ({"offset": -1}, "offset"),
        ({"offset": 5}, "needs one at step 0"),
        ({"origin": "heaven"}, "origin"),
        ({"snapshots": (Snapshot(4, b"", 0), Snapshot(2, b"", 0))}, "must increase"),
        ({"snapshots": (Snapshot(7, b"", 0),)}, "within 0..6"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidDemoError, match=message):
        demo(**changes)  # type: ignore[arg-type]


def test_trimming_outside_is_refused() -> None:
    for end in (0, 7, -1):
        with pytest.raises(InvalidDemoError, match=r"1\.\.6"):
            demo().trim(end)


def test_a_fingerprint_tells_games_seeds_actions_and_rewards_apart() -> None:
    base = demo()
    actions, rewards = base.actions.copy(), base.rewards.copy()
    actions[0] = 3
    rewards[5] += 1
    others = [
        replace(base, actions=actions),
        replace(base, rewards=rewards),
        replace(base, seed=1),
        replace(base, simulator=SimulatorSpec("LockedChain-8", {}, "chain/1")),
    ]
    assert len({one.fingerprint for one in [base, *others]}) == 5
    assert replace(base, note="seen again").fingerprint == base.fingerprint


def test_the_fingerprint_of_a_demo_that_begins_later_covers_the_state_it_begins_in_and_no_cache() -> None:
    def begins(data: bytes, later: bytes) -> Demo:
        return demo(offset=5, snapshots=(Snapshot(0, data, 1), Snapshot(3, later, 2)))

    base = begins(b"state", b"later")
    assert begins(b"stbte", b"later").fingerprint != base.fingerprint
    assert begins(b"state", b"other").fingerprint == base.fingerprint
    at_reset = demo(snapshots=(Snapshot(0, b"state", 1),))
    assert replace(at_reset, snapshots=()).fingerprint == at_reset.fingerprint


def test_an_env_id_may_not_name_code() -> None:
    with pytest.raises(InvalidDemoError, match="':'"):
        SimulatorSpec("os:system", {}, "x/1")
