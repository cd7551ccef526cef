"""The check that every simulator must pass before demos can be recorded on it and trained from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NoReturn

import numpy as np

from demo_curriculum.demo import Demo
from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.simulators.playback import check_same_game, replay_demo
from demo_curriculum.simulators.protocol import Simulator, SnapshotError

STEPS = 600
"""Random demo steps where no demo is given."""
SETTLE = 3
"""Demo steps after a restore from which on observations count: playing draws pictures, of which two are pooled."""
POINTS = 12
"""States restored along the way, besides the demo's own snapshots."""


class ConformanceError(DemoCurriculumError):
    """A simulator breaks a promise of the ``Simulator`` protocol; says which."""


@dataclass(frozen=True)
class _Seen:
    """What there was to see after one step."""

    reward: float
    game_over: bool
    lives: int
    fingerprint: int
    observation: bytes


def check_simulator(make: Callable[[], Simulator], demo: Demo | None = None) -> None:
    """Plays a simulator through every promise that training relies on.

    >>> from demo_curriculum.simulators.chain import LockedChain
    >>> from demo_curriculum.simulators.playback import play_demo
    >>> chain = LockedChain("LockedChain-20")
    >>> check_simulator(lambda: LockedChain("LockedChain-20"), play_demo(chain, chain.keys.tolist(), origin="script"))

    Args:
        make: makes a new simulator, always the same.
        demo: played instead of random actions, and restored at all its snapshots; needed where random actions end the
            game at once.

    Raises:
        ConformanceError: the first broken promise.
        MismatchError: ``demo`` is of another game.
    """
    simulator = make()
    _check_observations(simulator)
    if demo is not None:
        _check_demo(simulator, demo)
    begin = demo.snapshots[0].data if demo is not None and demo.offset > 0 else None
    actions = _random_actions(simulator) if demo is None else demo.actions.tolist()
    seen = _pass_through(simulator, actions, begin)
    if len(seen) < 2:
        _fail(simulator, "the game is over before there is anything to restore; give check_simulator a demo")
    actions = actions[: len(seen)]
    _check_repeats(make, simulator, actions, begin, seen)
    states = _save_along(simulator, actions, begin)
    if demo is not None:
        states |= {shot.step: shot.data for shot in demo.snapshots if 0 < shot.step < len(seen)}
    _check_restores(make, simulator, actions, states, seen)
    _check_refusals(simulator, actions, begin)


def _random_actions(simulator: Simulator) -> list[int]:
    rng = np.random.default_rng(0)
    return np.repeat(rng.integers(simulator.action_count, size=STEPS // 4), 4).tolist()


def _begin(simulator: Simulator, begin: bytes | None) -> None:
    if begin is None:
        simulator.reset()
    else:
        simulator.restore(begin)


def _step(simulator: Simulator, action: int) -> _Seen:
    reward = simulator.play([action])
    observation = hashlib.blake2b(simulator.observe().tobytes(), digest_size=16).digest()
    return _Seen(reward, simulator.game_over, simulator.lives, simulator.fingerprint(), observation)


def _pass_through(simulator: Simulator, actions: Sequence[int], begin: bytes | None) -> list[_Seen]:
    """Plays ``actions`` up to the game's end."""
    _begin(simulator, begin)
    seen: list[_Seen] = []
    for action in actions:
        if simulator.game_over:
            break
        seen.append(_step(simulator, action))
    return seen


def _save_along(simulator: Simulator, actions: Sequence[int], begin: bytes | None) -> dict[int, bytes]:
    """States from along the way, by step; not of step 0, which is reached by resetting."""
    _begin(simulator, begin)
    states = {}
    points = np.unique(np.linspace(1, len(actions) - 1, POINTS).astype(int)).tolist()
    for before, step in pairwise([0, *points]):
        simulator.play(actions[before:step])
        states[step] = simulator.save()
    return states


def _check_demo(simulator: Simulator, demo: Demo) -> None:
    check_same_game(simulator, demo)
    try:
        comparison = replay_demo(simulator, demo)
    except DemoCurriculumError as error:
        _fail(simulator, f"a demo cannot be replayed: {error}")
    if comparison.rewards:
        _fail(simulator, f"a demo's reward at step {comparison.rewards[0]} is another when replayed")
    if comparison.snapshots:
        _fail(simulator, f"a demo's snapshot at step {comparison.snapshots[0]} is another when replayed")


def _check_observations(simulator: Simulator) -> None:
    simulator.reset()
    observation = simulator.observe()
    if observation.shape != simulator.observation_shape or observation.dtype != simulator.observation_dtype:
        _fail(
            simulator,
            f"observe gives {observation.dtype} {observation.shape}, promised are {simulator.observation_dtype} "
            f"{simulator.observation_shape}",
        )
    before = observation.tobytes()
    observation.fill(1)
    if simulator.observe().tobytes() != before:
        _fail(simulator, "observe does not give a fresh array: writing to one changed the next")
    if len(simulator.action_meanings) != simulator.action_count:
        _fail(simulator, f"{simulator.action_count} actions have {len(simulator.action_meanings)} meanings")


def _check_repeats(
    make: Callable[[], Simulator], simulator: Simulator, actions: Sequence[int], begin: bytes | None, seen: list[_Seen]
) -> None:
    """The same actions must give the same game: in the same simulator, in a new one, and played several at once."""
    for used, name in ((simulator, "a second time"), (simulator, "a third time"), (make(), "in a new simulator")):
        _begin(used, begin)
        _compare(used, actions, 0, seen, f"played {name} from the reset")
    _begin(simulator, begin)
    expected = sum(one.reward for one in seen)
    beyond = [*actions, 0] if seen[-1].game_over else actions
    if simulator.play(beyond) != expected or simulator.fingerprint() != seen[-1].fingerprint:
        _fail(simulator, "several actions played at once do not give what they give one by one, up to the game's end")


def _check_restores(
    make: Callable[[], Simulator],
    simulator: Simulator,
    actions: Sequence[int],
    states: Mapping[int, bytes],
    seen: list[_Seen],
) -> None:
    """From every state, up to the next: in the simulator that played on; for some also in new ones."""
    steps = sorted(states)
    for step, end in pairwise([*steps, len(seen)]):
        _restore(simulator, states[step], step)
        if simulator.save() != states[step]:
            _fail(simulator, f"saving right after the restore of step {step} gives another state")
        if simulator.fingerprint() != seen[step - 1].fingerprint or simulator.lives != seen[step - 1].lives:
            _fail(simulator, f"the fingerprint or lives right after the restore of step {step} are others")
        _compare(simulator, actions[: end + SETTLE], step, seen, f"restored at step {step}")
    for step in steps[:: max(1, len(steps) // 3)]:
        for played in (0, 1, 40):
            new = make()
            new.play([0] * played)
            _restore(new, states[step], step)
            _compare(
                new, actions[: step + 100], step, seen, f"restored at step {step} after {played} steps of a new game"
            )
        _restore(simulator, states[step], step)
        simulator.reset()
        new = make()
        if simulator.fingerprint() != new.fingerprint() or simulator.save() != new.save():
            _fail(simulator, f"a reset after the restore of step {step} is not that of a new simulator")


def _restore(simulator: Simulator, data: bytes, step: int) -> None:
    try:
        simulator.restore(data)
    except SnapshotError as error:
        _fail(simulator, f"its own state of step {step} is refused: {error}")


def _compare(simulator: Simulator, actions: Sequence[int], begin: int, seen: list[_Seen], how: str) -> None:
    """Plays on from step ``begin`` and compares with what was seen."""
    for step in range(begin, min(len(actions), len(seen))):
        now, then = _step(simulator, actions[step]), seen[step]
        for name in ("reward", "game_over", "lives", "fingerprint"):
            if getattr(now, name) != getattr(then, name):
                _fail(simulator, f"{how}, its {name} after step {step} is another: the game is not the same")
        settled = begin == 0 or step >= begin + SETTLE - 1
        if settled and now.observation != then.observation:
            _fail(simulator, f"{how}, its observation after step {step} is another")


def _check_refusals(simulator: Simulator, actions: Sequence[int], begin: bytes | None) -> None:
    _begin(simulator, begin)
    simulator.play(actions[: max(1, min(20, len(actions) // 2))])
    state = simulator.save()
    for action in (-1, simulator.action_count):
        try:
            simulator.play([action])
        except ValueError:
            pass
        else:
            _fail(simulator, f"action {action} is played, though actions are 0..{simulator.action_count - 1}")
    for what, data in {
        "nothing": b"",
        "garbage": bytes(range(256)) * 4,
        "a state cut short": state[:-1],
        "a state with a byte too many": state + b"\0",
    }.items():
        try:
            simulator.restore(data)
        except SnapshotError:
            pass
        except Exception as error:
            _fail(simulator, f"restoring {what} raises {type(error).__name__} instead of SnapshotError")
        else:
            _fail(simulator, f"restoring {what} is not refused")
        if simulator.save() != state:
            _fail(simulator, f"refusing {what} leaves it in another state than before")


def _fail(simulator: Simulator, reason: str) -> NoReturn:
    raise ConformanceError(f"{simulator.spec.env_id}: {reason}")
