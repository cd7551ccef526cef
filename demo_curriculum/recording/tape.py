"""The path that is being recorded, with time travel: back, forward again, and on from anywhere."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from demo_curriculum.simulators import Simulator

STATE_EVERY = 25
"""Demo steps between saved states: going anywhere replays at most this many, so a rewind shows every frame in time."""


@dataclass(frozen=True)
class Take:
    """A whole tape as it was at one moment, to come back to."""

    actions: tuple[int, ...]
    rewards: tuple[float, ...]
    lives: tuple[int, ...]
    rewarded: tuple[int, ...]
    losses: tuple[int, ...]
    states: dict[int, bytes]
    step: int


class Tape:
    """A gap-free path from the reset (or from the state ``begin``), and a position on it where the simulator stands.

    Going back keeps what lies ahead until something is played: only then is the path cut.

    Args:
        simulator: used by this tape alone while it is played.
        begin: a saved state from which the path starts; None for the reset.

    Attributes:
        actions: T of them.
        rewards: T.
        lives: T+1, before each step and after the last.
        rewarded: steps with a reward that is not 0, in order.
        losses: positions right after a step that cost a life, in order.
        step: the position, 0..T.
    """

    def __init__(self, simulator: Simulator, begin: bytes | None = None) -> None:
        self.simulator = simulator
        self.begin = begin
        self.actions: list[int] = []
        self.rewards: list[float] = []
        self.rewarded: list[int] = []
        self.losses: list[int] = []
        self.step = 0
        self._states: dict[int, bytes] = {}
        self._to_beginning()
        self.lives = [simulator.lives]

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def score(self) -> float:
        """What was gathered up to the position."""
        return sum(self.rewards[step] for step in self.rewarded[: self.rewards_so_far])

    @property
    def rewards_so_far(self) -> int:
        """How many of ``rewarded`` lie before the position."""
        return bisect_right(self.rewarded, self.step - 1)

    @property
    def game_over(self) -> bool:
        return self.simulator.game_over

    def play(self, action: int) -> float:
        """Plays one step and returns its reward; what lay ahead of the position is gone.

        Raises:
            ValueError: the game is over, or there is no such action; the tape is then as before.
        """
        if self.game_over:
            raise ValueError("the game is over")
        reward = self.simulator.play([action])
        self._cut()
        if reward:
            self.rewarded.append(self.step)
        self.step += 1
        if self.simulator.lives < self.lives[-1]:
            self.losses.append(self.step)
        self.actions.append(action)
        self.rewards.append(reward)
        self.lives.append(self.simulator.lives)
        if self.step % STATE_EVERY == 0:
            self._states[self.step] = self.simulator.save()
        return reward

    def play_all(self, actions: Sequence[int], on_step: Callable[[int], None] | None = None) -> None:
        """Plays ``actions`` one by one.

        Raises:
            ValueError: as ``play``, with the number of the action.
        """
        for index, action in enumerate(actions):
            try:
                self.play(action)
            except ValueError as error:
                raise ValueError(f"step {index}: {error}") from error
            if on_step is not None:
                on_step(index)

    def go(self, step: int) -> None:
        """Moves the position to ``step``, or to the nearer end of the path; the picture there is the one seen then."""
        step = min(max(step, 0), len(self))
        if not self.step <= step <= self.step + STATE_EVERY:
            self._seek(step)
        elif step > self.step:
            self.simulator.play(self.actions[self.step : step])
            self.step = step

    def cut_here(self) -> None:
        """Makes the position the path's end."""
        self._cut()

    def loss_before(self, step: int) -> int | None:
        """The latest position right after a loss of a life, or the game's end, that is not behind ``step``."""
        if step == len(self) and self.game_over and step:
            return step
        index = bisect_right(self.losses, step)
        return self.losses[index - 1] if index else None

    def take(self) -> Take:
        return Take(
            tuple(self.actions),
            tuple(self.rewards),
            tuple(self.lives),
            tuple(self.rewarded),
            tuple(self.losses),
            dict(self._states),
            self.step,
        )

    def put(self, take: Take) -> None:
        """Back to a path and position from before."""
        self.actions, self.rewards, self.lives = list(take.actions), list(take.rewards), list(take.lives)
        self.rewarded, self.losses = list(take.rewarded), list(take.losses)
        self._states = dict(take.states)
        self._seek(take.step)

    def passes(self, take: Take) -> bool:
        """Whether the path leads through the position of ``take``; takes no longer for a longer path."""
        state = take.step // STATE_EVERY * STATE_EVERY
        # States are made by playing and never copied: the same object means the same way to it.
        same = state == 0 or self._states.get(state) is take.states[state]
        return same and tuple(self.actions[state : take.step]) == take.actions[state : take.step]

    def again(self) -> None:
        """Puts the simulator back to the position, after someone else has used it."""
        self._seek(self.step)

    def _cut(self) -> None:
        if self.step == len(self):
            return
        del self.actions[self.step :], self.rewards[self.step :], self.lives[self.step + 1 :]
        del self.rewarded[self.rewards_so_far :], self.losses[bisect_right(self.losses, self.step) :]
        self._states = {step: state for step, state in self._states.items() if step <= self.step}

    def _to_beginning(self) -> None:
        if self.begin is None:
            self.simulator.reset()
        else:
            self.simulator.restore(self.begin)

    def _seek(self, step: int) -> None:
        # A state right at ``step`` would not do: simulators that draw while playing show the picture only after it.
        before = (step - 1) // STATE_EVERY * STATE_EVERY
        if before > 0:
            self.simulator.restore(self._states[before])
        else:
            before = 0
            self._to_beginning()
        self.simulator.play(self.actions[before:step])
        self.step = step
