"""Many demo-started environments stepped by worker processes, one group while the policy acts on the other."""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from multiprocessing.connection import Connection
from multiprocessing.util import Finalize
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.curriculum import Curriculum
from demo_curriculum.demo import Demo, Outcome
from demo_curriculum.envs.demo_start import DemoStart
from demo_curriculum.envs.rewards import Rewards
from demo_curriculum.envs.simulator_env import SimulatorEnv, StartCache
from demo_curriculum.envs.vector import GroupedVectorEnv, Step, StepArrays, step_each
from demo_curriculum.errors import DemoCurriculumError, UsageError
from demo_curriculum.landmarks import Landmark
from demo_curriculum.simulators import make_simulator

# A step of many slow simulators takes seconds at most; a worker that is silent for longer is stuck.
PATIENCE = 120.0
# A worker that dies this often in a row without having answered once will not do better the next time.
ATTEMPTS = 3


class MakeEnv(Protocol):
    """Makes one environment, also in another process, so it is pickled: a class or function of a module."""

    def __call__(self, curriculum: Curriculum, cache: StartCache) -> DemoStart: ...


@dataclass(frozen=True)
class EnvRecipe:
    """What an environment of a run is made of; calling it makes one. Implements ``MakeEnv``.

    Attributes:
        simulator: keyword arguments of ``make_simulator`` next to ``env_id``.
        demos: without observations, which no environment looks at: those of pixels are large.
    """

    env_id: str
    simulator: dict[str, Any]
    demos: Sequence[Demo]
    frame_skip: int
    sticky: float
    noop_max: int
    stack: int
    lag: int
    tail: float
    beyond: int
    end_on_life_loss: bool
    forgive: bool
    rewards: Rewards
    landmarks: Sequence[Sequence[Landmark]]
    stages: bool

    def __call__(self, curriculum: Curriculum, cache: StartCache) -> DemoStart:
        env = SimulatorEnv(
            make_simulator(self.env_id, **self.simulator),
            frame_skip=self.frame_skip,
            sticky=self.sticky,
            noop_max=self.noop_max,
            stack=self.stack,
            cache=cache,
        )
        return DemoStart(
            env,
            self.demos,
            curriculum.sample,
            onward=curriculum.onward,
            again=curriculum.again,
            lag=self.lag,
            tail=self.tail,
            beyond=self.beyond,
            end_on_life_loss=self.end_on_life_loss,
            forgive=self.forgive,
            rewards=self.rewards,
            landmarks=self.landmarks,
            stages=self.stages,
        )


def without_observations(demo: Demo) -> Demo:
    return replace(demo, observations=np.zeros((len(demo) + 1, 0), np.uint8))


class _DiedError(Exception):
    """A worker is gone, or has not answered for too long."""


class _Shared(NamedTuple):
    """An array that all processes see. Its memory has no name, so that nothing is left when all of them are killed."""

    memory: Any
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def array(self) -> NDArray[Any]:
        return np.frombuffer(self.memory, self.dtype).reshape(self.shape)


class _SharedArrays(NamedTuple):
    """Actions and frame counts (N,), and a step's arrays."""

    actions: _Shared
    frames: _Shared
    step: list[_Shared]


class _Worker:
    """One process and the pipe to it.

    Attributes:
        rows: its environments in each group.
        cut: by group, whether its next step is that of a dead predecessor and has to be reported as cut.
    """

    def __init__(self, index: int, rows: Sequence[slice], recipe: tuple[Any, ...]) -> None:
        self.index, self.rows, self._recipe = index, rows, recipe
        self.cut = [False] * len(rows)
        self.begin()

    def begin(self) -> None:
        """Starts the process."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=_work, args=(theirs, self.rows, *self._recipe), name=f"worker {self.index}", daemon=True
        )
        self.process.start()
        # The pipe ends with the process only if nobody else holds its other end.
        theirs.close()

    def tell(self, *command: Any) -> None:
        try:
            self._pipe.send(command)
        except OSError as error:
            raise _DiedError from error

    def answer(self) -> Any:
        """What the worker replies; raises what it raised."""
        try:
            if not self._pipe.poll(PATIENCE):
                raise _DiedError
            reply = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise _DiedError from error
        if isinstance(reply, Exception):
            raise reply
        return reply

    def ask(self, *command: Any) -> Any:
        self.tell(*command)
        return self.answer()

    def end(self) -> None:
        """Kills the process: it holds nothing that is not lost anyway."""
        self._pipe.close()
        self.process.kill()
        self.process.join()

    def of_mine(self, values: Sequence[Any]) -> list[Any]:
        """Those of ``values`` (N,) that are its environments'."""
        return [value for rows in self.rows for value in values[rows]]


class WorkerVectorEnv(GroupedVectorEnv):
    """N environments in W worker processes and in two groups; each worker holds its share of both.

    Actions and observations go through shared memory; episodes begin, replays included, inside the workers, which
    hold copies of the curriculum. Everything but ``frames`` is the same for every W, and in order of the environments:
    starts are cached by process, so that with more workers more of them are replayed to.

    A worker that dies or hangs is replaced, with a RuntimeWarning: its episodes are cut (truncated, ``valid`` false,
    no outcome) and others begin.

    Args:
        make_env: called in the workers, N times in all, and once here.
        curriculum: draws the starts; ``push_starts`` makes its present state known to the workers.
        num_envs: N.
        workers: W, at most N / 2.

    Raises:
        UsageError: too many or too few workers.
        DemoCurriculumError: a worker could not be started; or raised by an environment.
        RuntimeError: an environment raised something else; with the worker's traceback.
    """

    def __init__(self, make_env: MakeEnv, curriculum: Curriculum, num_envs: int, workers: int) -> None:
        if not 1 <= workers <= max(1, num_envs // 2):
            raise UsageError(
                f"{workers} workers cannot share {num_envs} simulators in two groups; there can be 1 to {num_envs // 2}"
            )
        super().__init__(make_env(curriculum, StartCache()), num_envs)
        self._curriculum = curriculum
        half = -(-num_envs // 2)
        self.groups = [slice(0, half), slice(half, num_envs)] if num_envs > 1 else [slice(0, 1)]
        example = StepArrays.empty(num_envs, self.single_observation_space)
        shared = _SharedArrays(
            _share(np.zeros(num_envs, np.int64)),
            _share(np.zeros(num_envs, np.int64)),
            [_share(array) for array in example],
        )
        self._actions, self._frames = shared.actions.array(), shared.frames.array()
        self._step = StepArrays(*(part.array() for part in shared.step))
        # What each group was last seen at: a worker may die while it writes.
        self._seen = [example.observations[rows] for rows in self.groups]
        self._seeds: list[int | None] = [None] * num_envs
        self._replaced = 0
        shares = [_share_out(group, workers) for group in self.groups]
        self.workers = [
            _Worker(index, rows, (make_env, curriculum, shared)) for index, rows in enumerate(zip(*shares, strict=True))
        ]
        # Before multiprocessing waits at the interpreter's exit for processes that wait for commands.
        self._finalizer = Finalize(self, _end, args=(self.workers,), exitpriority=10)

    def close_extras(self, **kwargs: Any) -> None:
        """Ends the workers."""
        self._finalizer()

    def _reset(self, seeds: Sequence[int | None]) -> tuple[NDArray[Any], dict[str, Any]]:
        self._seeds = list(seeds)
        self._of_each(lambda worker: ("reset", worker.of_mine(self._seeds), worker.of_mine(self._frames.tolist())))
        for worker in self.workers:
            worker.cut = [False] * len(self.groups)
        observations = self._step.observations.copy()
        self._seen = [observations[rows] for rows in self.groups]
        return observations, {"slack": self._step.slack.copy(), "starts": self._step.starts.copy()}

    def send(self, group: int, actions: NDArray[np.int64]) -> None:
        self._actions[self.groups[group]] = actions
        for worker in self.workers:
            if not worker.cut[group]:
                try:
                    worker.tell("step", group)
                except _DiedError:
                    self._replace(worker)

    def receive(self, group: int) -> Step:
        rows = self.groups[group]
        valid = np.ones(rows.stop - rows.start, np.bool_)
        outcomes: list[Outcome] = []
        for worker in self.workers:
            if not worker.cut[group]:
                try:
                    outcomes += worker.answer()
                    continue
                except _DiedError:
                    self._replace(worker)
            worker.cut[group] = False
            self._cut(group, worker.rows[group])
            valid[worker.rows[group].start - rows.start : worker.rows[group].stop - rows.start] = False
        step = StepArrays(*(part.copy() for part in self._step.rows(rows)))
        self._seen[group] = step.observations
        return step.result(outcomes, valid)

    def _cut(self, group: int, rows: slice) -> None:
        """The step of environments whose worker died: nothing gained, and the episode went no further."""
        lost = self._step.rows(rows)
        first = self.groups[group].start
        lost.next_observations[:] = self._seen[group][rows.start - first : rows.stop - first]
        lost.rewards[:], lost.terminations[:], lost.truncations[:] = 0.0, False, True

    def _replace(self, worker: _Worker) -> None:
        """Starts a dead worker's successor, with new episodes, which make the next step of each group a cut one."""
        for _ in range(ATTEMPTS):
            self._replaced += 1
            worker.end()
            code = worker.process.exitcode
            warnings.warn(
                f"worker {worker.index} (process {worker.process.pid}) died with exit code {code} or hung; "
                f"its {len(worker.of_mine(self._seeds))} episodes are dropped and another takes over",
                RuntimeWarning,
                stacklevel=2,
            )
            worker.begin()
            worker.cut = [True] * len(self.groups)
            seeds = [
                None if seed is None else int(np.random.SeedSequence([seed, self._replaced]).generate_state(1)[0])
                for seed in worker.of_mine(self._seeds)
            ]
            try:
                worker.ask("reset", seeds, worker.of_mine(self._frames.tolist()))
                return
            except _DiedError:
                continue
        raise DemoCurriculumError(
            f"worker {worker.index} died {ATTEMPTS} times in a row while it began; its exit code is "
            f"{worker.process.exitcode} (-9: killed, perhaps for lack of memory; then use fewer --workers or --envs)"
        )

    def _of_each(self, command: Any) -> list[Any]:
        """Asks all workers ``command(worker)`` at once; the answers. One that dies is replaced and asked again."""
        replies = []
        for worker in self.workers:
            try:
                worker.tell(*command(worker))
            except _DiedError:
                self._replace(worker)
                worker.tell(*command(worker))
        for worker in self.workers:
            try:
                replies.append(worker.answer())
            except _DiedError:
                self._replace(worker)
                replies.append(worker.ask(*command(worker)))
        return replies

    def push_starts(self) -> None:
        state = self._curriculum.state_dict()
        self._of_each(lambda worker: ("starts", state))

    @property
    def frames(self) -> int:
        return int(self._frames.sum())

    def state_dict(self) -> dict[str, Any]:
        """As in ``GroupedVectorEnv``; to be called with no group under way."""
        replies = self._of_each(lambda worker: ("state",))
        envs: list[Any] = [None] * self.num_envs
        for worker, (states, _) in zip(self.workers, replies, strict=True):
            places = worker.of_mine(range(self.num_envs))
            for place, state in zip(places, states, strict=True):
                envs[place] = state
        return {"envs": envs, "starts": [starts for _, starts in replies]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        starts = state["starts"]
        self._of_each(lambda worker: ("load", worker.of_mine(state["envs"]), starts[worker.index % len(starts)]))
        for worker in self.workers:
            worker.cut = [False] * len(self.groups)
        self._seen = [self._step.observations[rows].copy() for rows in self.groups]


def _share(array: NDArray[Any]) -> _Shared:
    context = multiprocessing.get_context("spawn")
    return _Shared(context.RawArray("B", max(array.nbytes, 1)), array.shape, array.dtype)


def _share_out(group: slice, workers: int) -> list[slice]:
    """Neighbours for each worker, as alike in number as can be."""
    edges = np.linspace(group.start, group.stop, workers + 1).round().astype(int).tolist()
    return [slice(begin, end) for begin, end in pairwise(edges)]


def _end(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.end()


def _work(
    pipe: Connection, rows: Sequence[slice], make_env: MakeEnv, curriculum: Curriculum, shared: _SharedArrays
) -> None:
    """What a worker does, until its pipe ends."""
    # A terminal sends these to all processes; it is the owner who decides, and saves the states that are held here.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    try:
        worker = _WorkerSide(rows, make_env, curriculum, shared)
        while True:
            name, *arguments = pipe.recv()
            pipe.send(getattr(worker, name)(*arguments))
    except (EOFError, ConnectionError):
        return
    except DemoCurriculumError as error:
        pipe.send(error)
    except Exception:
        pipe.send(RuntimeError(f"in worker process {os.getpid()}:\n{traceback.format_exc()}"))


class _WorkerSide:
    """The environments of one worker; each public method answers one command."""

    def __init__(self, rows: Sequence[slice], make_env: MakeEnv, curriculum: Curriculum, shared: _SharedArrays) -> None:
        self._curriculum, self._rows = curriculum, rows
        self._cache = StartCache()
        self._groups = [[make_env(curriculum, self._cache) for _ in range(part.stop - part.start)] for part in rows]
        self._envs = [env for envs in self._groups for env in envs]
        self._actions, self._frames = shared.actions.array(), shared.frames.array()
        self._step = StepArrays(*(part.array() for part in shared.step))

    def reset(self, seeds: list[int | None], frames: list[int]) -> None:
        for env, seed, played in zip(self._envs, seeds, frames, strict=True):
            env.env.frames = played
            env.reset(seed=seed)
        self._show()

    def _show(self) -> None:
        for rows, envs in zip(self._rows, self._groups, strict=True):
            for index, env in enumerate(envs, start=rows.start):
                self._step.observations[index], self._step.slack[index] = env.latest, env.slack
                self._step.starts[index] = env.began
                self._frames[index] = env.env.frames

    def step(self, group: int) -> list[Outcome]:
        rows, envs = self._rows[group], self._groups[group]
        outcomes = step_each(envs, self._actions[rows], self._step.rows(rows))
        self._frames[rows] = [env.env.frames for env in envs]
        return outcomes

    def starts(self, state: dict[str, Any]) -> None:
        self._curriculum.load_state_dict(state)

    def state(self) -> tuple[list[dict[str, Any]], list[list[int]]]:
        return [env.state_dict() for env in self._envs], self._cache.state_dict()

    def load(self, states: list[dict[str, Any]], starts: list[list[int]]) -> None:
        for env, state in zip(self._envs, states, strict=True):
            env.load_state_dict(state)
        self._cache.load_state_dict(starts)
        self._show()
