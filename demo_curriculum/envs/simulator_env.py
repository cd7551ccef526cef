"""A simulator as a Gymnasium environment that can also begin inside a demo."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from demo_curriculum.demo import Demo
from demo_curriculum.envs.arrivals import Arrival
from demo_curriculum.simulators.protocol import Simulator

CACHED_STARTS = 4096


class _Begun(NamedTuple):
    """What an environment is like right at a start."""

    state: bytes
    stack: NDArray[Any]


class StartCache:
    """The states at the starts used lately, so that a start is replayed to once and then restored.

    Environments of one process share it. Least recently used starts go first. A start that is known but not held
    (after ``load_state_dict``) is replayed to without its frames being counted again, so that a resumed run counts
    frames as an uninterrupted one does.
    """

    def __init__(self, capacity: int = CACHED_STARTS) -> None:
        self.capacity = capacity
        self._begun: OrderedDict[tuple[int, ...], _Begun | None] = OrderedDict()

    def __contains__(self, key: tuple[int, ...]) -> bool:
        return key in self._begun

    def get(self, key: tuple[int, ...]) -> _Begun | None:
        if key not in self._begun:
            return None
        self._begun.move_to_end(key)
        return self._begun[key]

    def put(self, key: tuple[int, ...], begun: _Begun) -> None:
        self._begun[key] = begun
        self._begun.move_to_end(key)
        if len(self._begun) > self.capacity:
            self._begun.popitem(last=False)

    def state_dict(self) -> list[list[int]]:
        return [list(key) for key in self._begun]

    def load_state_dict(self, state: list[list[int]]) -> None:
        self._begun = OrderedDict((tuple(key), None) for key in state)


class SimulatorEnv(gym.Env[NDArray[Any], np.int64]):
    """Agent steps on a simulator: frame skip, sticky actions per demo step, a stack of the latest observations.

    Observations are ``(stack, *simulator.observation_shape)``, oldest first. All randomness comes from the
    environment's own generator, seeded by ``reset(seed=…)``; while a demo's actions are replayed there is none.

    Args:
        simulator: used by this environment alone.
        frame_skip: demo steps per agent step.
        sticky: probability per demo step that the previous action is played again (Machado et al. 2018, who use .25).
        noop_max: up to this many actions 0 follow the game's own reset, uniform; 0 for none.
        stack: observations per stack, ``frame_skip`` demo steps apart.

    Attributes:
        frames: demo steps played so far, replays to a start and no-ops included.
        path: of an episode from the game's own reset, the actions so far, one a demo step as they were executed; None
            for any other.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 60}  # noqa: RUF012 - Gymnasium's own declaration

    def __init__(
        self,
        simulator: Simulator,
        *,
        frame_skip: int = 4,
        sticky: float = 0.0,
        noop_max: int = 0,
        stack: int = 1,
        cache: StartCache | None = None,
        render_mode: str | None = None,
    ) -> None:
        if frame_skip < 1 or stack < 1 or noop_max < 0 or not 0 <= sticky < 1:
            raise ValueError(f"{frame_skip=}, {stack=}, {noop_max=}, {sticky=}: out of range")
        self.simulator = simulator
        self.frame_skip = frame_skip
        self.sticky = sticky
        self.noop_max = noop_max
        self.stack = stack
        self.cache = cache if cache is not None else StartCache()
        self.render_mode = render_mode
        self.frames = 0
        self.path: list[int] | None = None
        shape = (stack, *simulator.observation_shape)
        dtype = simulator.observation_dtype
        low, high = (0, 255) if dtype == np.uint8 else (-np.inf, np.inf)
        self.observation_space = gym.spaces.Box(low, high, shape, dtype.type)
        self.action_space = gym.spaces.Discrete(simulator.action_count)
        self._stack = np.zeros(shape, dtype)
        self._previous_action = 0
        self._untouched = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        super().reset(seed=seed)
        noops = int(self.np_random.integers(self.noop_max + 1)) if self.noop_max else 0
        self.frames += self._begin_game(noops)
        self.path = [0] * noops
        self._untouched = not noops
        self._previous_action = 0
        return self._stack.copy(), {"lives": self.simulator.lives}

    def _begin_game(self, noops: int) -> int:
        """Resets the game and plays no-ops; returns their number."""
        self.simulator.reset()
        if noops:
            self.simulator.play([0] * noops)
        self._stack[:] = self.simulator.observe()
        return noops

    def begin(self, demo: Demo, step: int, demo_index: int = 0, walk: Sequence[int] = ()) -> NDArray[Any]:
        """Begins an episode at ``demo``'s step instead of at the reset; returns the first observation.

        It is the one that an agent passing through sees: an earlier snapshot is restored and the demo's own actions
        are replayed, which fills the stack; then those of ``walk``, one an agent step, without those that would end the
        game or lose a life. ``demo_index`` tells demos apart in the cache.

        Raises:
            ValueError: ``step`` is not a step of the demo, or is its reset, which has no randomness of its own.
        """
        if not max(0, demo.reset_step + 1) <= step <= len(demo):
            raise ValueError(f"step {step} is not a start inside a demo of {len(demo)} steps")
        self.path = None
        key = (demo_index, step, *walk)
        begun = self.cache.get(key)
        if begun is None:
            frames = self._replay_to(demo, step)
            frames += self._walk(walk, lambda: self._replay_to(demo, step))
            begun = _Begun(self.simulator.save(), self._stack.copy())
            if key not in self.cache:
                self.frames += frames
            # With a frame skip of 1 the next picture would be pooled with the one before the start, which a
            # restored simulator cannot show.
            if self.frame_skip > 1:
                self.cache.put(key, begun)
        else:
            self.simulator.restore(begun.state)
            self._stack[:] = begun.stack
        self._untouched = False
        before = [*demo.actions[max(step - 1, 0) : step].tolist(), *walk]
        self._previous_action = before[-1] if before else 0
        return self._stack.copy()

    def wait(self, walk: Sequence[int]) -> NDArray[Any]:
        """Plays agent steps of ``walk`` as ``begin`` does, right after a reset; returns the first observation."""
        assert self.path is not None, "an episode that began at the reset has a path"
        noops = len(self.path)
        self.frames += self._walk(walk, lambda: self._begin_game(noops))
        self._previous_action = walk[-1]
        self._untouched = False
        return self._stack.copy()

    def arrive(self, clock: int) -> Arrival:
        """What is here now, for ``begin_as`` to begin with; ``clock`` as ``Arrival``'s."""
        return Arrival(self.simulator.save(), self._stack.copy(), self._previous_action, clock)

    def begin_as(self, arrival: Arrival) -> NDArray[Any]:
        """Begins an episode where an earlier one arrived; returns the first observation."""
        self.simulator.restore(arrival.state)
        self._stack[:] = arrival.stack
        self._previous_action = arrival.previous_action
        self._untouched = False
        self.path = None
        return self._stack.copy()

    def _replay_to(self, demo: Demo, step: int) -> int:
        """Plays the demo up to ``step``, observing every ``frame_skip`` steps on the way; returns the steps played."""
        snapshot = demo.snapshot_before(max(step - self.stack * self.frame_skip, 0))
        if snapshot is None:
            self.simulator.reset()
            begin = 0
        else:
            self.simulator.restore(snapshot.data)
            begin = snapshot.step
        self._stack[:] = self.simulator.observe()
        actions = demo.actions.tolist()
        position = begin
        for back in reversed(range(self.stack)):
            point = step - back * self.frame_skip
            if point >= begin:
                self.simulator.play(actions[position:point])
                position = point
                self._push(self.simulator.observe())
        return step - begin

    def _walk(self, walk: Sequence[int], go_back: Callable[[], int]) -> int:
        """Plays agent steps that neither end the game nor lose a life; returns the demo steps played.

        ``go_back`` leads to where the walk begins, and returns the demo steps that takes: most walks lose nothing, and
        saving before each of their steps would take a good part of the time that these take.
        """
        lives, taken = self.simulator.lives, list[int]()
        before: bytes | None = None
        again = 0

        def take(action: int) -> bool:
            self.simulator.play([action] * self.frame_skip)
            lost = self.simulator.game_over or self.simulator.lives < lives
            if not lost:
                self._push(self.simulator.observe())
            return not lost

        for action in walk:
            if take(action):
                taken.append(action)
                before = None if before is None else self.simulator.save()
            elif before is None:
                again = go_back() + len(taken) * self.frame_skip
                for known in taken:
                    take(known)
                before = self.simulator.save()
            else:
                self.simulator.restore(before)
        if self.path is not None:
            self.path += np.repeat(taken, self.frame_skip).tolist()
        return len(walk) * self.frame_skip + again

    @property
    def latest(self) -> NDArray[Any]:
        """The observation last returned."""
        return self._stack.copy()

    def _push(self, observation: NDArray[Any]) -> None:
        self._stack[:-1] = self._stack[1:]
        self._stack[-1] = observation

    def step(self, action: np.int64 | int) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        action = int(action)
        if self.sticky:
            actions = []
            previous = self._previous_action
            for draw in self.np_random.random(self.frame_skip).tolist():
                if draw >= self.sticky:
                    previous = action
                actions.append(previous)
            self._previous_action = previous
        else:
            actions = [action] * self.frame_skip
        reward = self.simulator.play(actions)
        if self.path is not None:
            self.path += actions
        self.frames += self.frame_skip
        self._untouched = False
        self._push(self.simulator.observe())
        return self._stack.copy(), reward, self.simulator.game_over, False, {"lives": self.simulator.lives}

    def render(self) -> NDArray[np.uint8]:
        return self.simulator.render()

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here; arrays, bytes and JSON values."""
        return {
            # Right after a reset there is nothing to restore to: a frame-0 state does not continue as a reset does.
            "simulator": b"" if self._untouched else self.simulator.save(),
            "stack": self._stack.copy(),
            "previous_action": self._previous_action,
            "frames": self.frames,
            "path": None if self.path is None else np.array(self.path, np.int32),
            "rng": self.np_random.bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._untouched = not state["simulator"]
        if self._untouched:
            self.simulator.reset()
        else:
            self.simulator.restore(state["simulator"])
        self._stack[:] = state["stack"]
        self._previous_action = int(state["previous_action"])
        self.frames = int(state["frames"])
        self.path = None if state["path"] is None else state["path"].tolist()
        self.np_random.bit_generator.state = state["rng"]
