"""What the benchmark of learning compares: the controls, published rules, and ours with and without its parts."""

from __future__ import annotations

import dataclasses
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, NamedTuple

from demo_curriculum.errors import DemoCurriculumError, UsageError
from demo_curriculum.progress.log import read_log
from demo_curriculum.progress.schema import Record
from demo_curriculum.progress.story import EVALS, LOG, add_evaluation, keep_demo_file
from demo_curriculum.store import read_demos
from demo_curriculum.training import session
from demo_curriculum.training.config import TrainConfig
from demo_curriculum.training.evaluate import PROTOCOLS, ProtocolName, evaluate, longest_episode
from demo_curriculum.training.player import Player
from demo_curriculum.training.ranks import Ranks
from demo_curriculum.training.run import load_policy

JUDGES: tuple[ProtocolName, ...] = ("sticky", "deterministic")
EVALUATION_SEED = 12345
INTERRUPTED = 130
DONE = ("agent steps", "stalled")
"""Why a run ends that has nothing left to train."""


class Variant(NamedTuple):
    """One line about a way to learn, and how its config differs from the benchmark's own."""

    what: str
    changes: dict[str, Any]


# The controls never stall: what they are to show is what so many steps come to.
_CONTROL = {"imitation": 0.0, "rnd": False, "patience": 0, "reward": "sign"}

VARIANTS: dict[str, Variant] = {
    "ppo": Variant("PPO from the reset, no demo", {**_CONTROL, "rule": "reset"}),
    "ppo-rnd": Variant("the same with RND", {**_CONTROL, "rule": "reset", "rnd": True}),
    "cloning": Variant(
        "behaviour cloning of the demo",
        {**_CONTROL, "rule": "reset", "reinforcement": False, "imitation": 1.0, "entropy": 0.0},
    ),
    "uniform": Variant("PPO from starts all over the demo", {**_CONTROL, "rule": "uniform"}),
    "backplay": Variant("PPO from windows that move by the clock", {**_CONTROL, "rule": "backplay"}),
    "openai": Variant("PPO with the backward algorithm's rule", {**_CONTROL, "rule": "openai"}),
    "rfcl": Variant("PPO with RFCL's rule", {**_CONTROL, "rule": "rfcl"}),
    "reverse-walk": Variant("PPO from random walks away from the goal", {**_CONTROL, "rule": "reverse-walk"}),
    "ours": Variant("the adaptive rule, imitation, RND, segments", {"rule": "adaptive"}),
    "ours-imitation": Variant("without imitation", {"rule": "adaptive", "imitation": 0.0}),
    "ours-successes": Variant("without own successes", {"rule": "adaptive", "successes": False}),
    "ours-rnd": Variant("without RND", {"rule": "adaptive", "rnd": False}),
    "ours-mixture": Variant("without starts behind the frontier's window", {"rule": "adaptive", "mixture": False}),
    "ours-jitter": Variant("without no-ops at starts", {"rule": "adaptive", "jitter": 0}),
    "ours-setbacks": Variant("without episodes after setbacks", {"rule": "adaptive", "setbacks": False}),
    "ours-stages": Variant("without the stage told", {"rule": "adaptive", "stages": False}),
    "ours+inert": Variant("with bytes that change nothing in sight", {"rule": "adaptive", "inert": True}),
    "ours-clocks": Variant("without bytes that count time", {"rule": "adaptive", "clocks": False}),
    "ours-splitting": Variant("without segments", {"rule": "adaptive", "split": 0}),
}


@dataclass(frozen=True)
class Bout:
    """One variant with one seed: trained for ``agent_steps``, then judged from the reset; a run directory like any."""

    demo: Path
    run_dir: Path
    config: TrainConfig
    agent_steps: int
    episodes: int

    def run(self) -> None:
        """Trains and judges as far as that was not done before.

        Raises:
            SystemExit: interrupted (130); what there is was saved.
        """
        if self.done:
            return
        demos = read_demos(self.demo)
        run, _ = session.open_run(self.run_dir, demos, self.config)
        keep_demo_file(self.demo, self.run_dir)
        reason = session.train(
            self.run_dir,
            run,
            demos,
            limits=session.Limits(until_frontier=None, agent_steps=self.agent_steps),
            display=_Silence(),
            ranks=Ranks.join(),
            keep_checkpoints=0,
        )
        if reason == "interrupted":
            sys.exit(INTERRUPTED)
        self._judge()

    def _judge(self) -> None:
        run, policy, update, agent_steps = load_policy(self.run_dir)
        demo, frame_skip = run.demos[0], run.config.frame_skip
        most = longest_episode(demo["length"] + demo["offset"])
        player = Player(self.run_dir, run)
        for name in JUDGES:
            result = evaluate(
                policy,
                player.env,
                protocol=PROTOCOLS[name],
                episodes=self.episodes,
                max_steps=max(most // frame_skip, 1),
                seed=EVALUATION_SEED,
            )
            record = {"update": update, "agent_steps": agent_steps, "protocol": name, "seed": EVALUATION_SEED}
            record |= {"demo_score": demo["score"], "max_frames": most}
            add_evaluation(self.run_dir, {**record, **result.record(demo["score"])})

    @property
    def done(self) -> bool:
        """Whether there is nothing left to train or to judge."""
        log, evals = self.run_dir / LOG, self.run_dir / EVALS
        if not log.is_file() or not evals.is_file():
            return False
        records = read_log(log)
        if not records or records[-1]["kind"] != "end" or records[-1]["reason"] not in DONE:
            return False
        steps = max(record["agent_steps"] for record in records if record["kind"] == "update")
        judged = {
            record["protocol"]
            for record in read_log(evals)
            if record["agent_steps"] == steps and record["episodes"] == self.episodes
        }
        return judged >= set(JUDGES) and (steps >= self.agent_steps or records[-1]["reason"] == "stalled")


class _Silence:
    """Shows nothing, as several runs go on at once."""

    def update(self, record: Record) -> None: ...
    def event(self, record: Record) -> None: ...
    def message(self, text: str) -> None: ...


def bouts(
    demo: Path, folder: Path, base: TrainConfig, *, only: Sequence[str], seeds: int, agent_steps: int, episodes: int
) -> dict[str, list[Bout]]:
    """By variant, one for each of the seeds from the base's on, in ``folder/<variant>-<seed>``.

    Args:
        only: names out of ``VARIANTS``; empty for all.

    Raises:
        UsageError: no such name, or numbers out of range.
    """
    if unknown := set(only) - set(VARIANTS):
        raise UsageError(f"no variant {', '.join(sorted(unknown))}; there are: {', '.join(VARIANTS)}")
    if min(seeds, agent_steps, episodes) < 1:
        raise UsageError(f"--seeds {seeds}, --agent-steps {agent_steps} and --episodes {episodes} must be at least 1")
    return {
        name: [
            Bout(
                demo,
                folder / f"{name}-{seed}",
                dataclasses.replace(base, **variant.changes, seed=seed),
                agent_steps,
                episodes,
            )
            for seed in range(base.seed, base.seed + seeds)
        ]
        for name, variant in VARIANTS.items()
        if not only or name in only
    }


def run_bouts(todo: Sequence[Bout], jobs: int, on_done: Callable[[Bout], None]) -> None:
    """Runs each in a process of its own, ``jobs`` at once; ``on_done`` is called as one comes to its end.

    After an interrupt those that were going on have saved, and the same call goes on with them.

    Raises:
        UsageError: ``jobs`` is below 1.
        DemoCurriculumError: a run failed; the others were stopped and have saved.
    """
    if jobs < 1:
        raise UsageError(f"--jobs must be at least 1, is {jobs}")
    # A forked process would share this one's threads' locks.
    context = get_context("spawn")
    # A SIGTERM, as from a supervisor, shall not leave them behind.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    waiting = list(reversed(todo))
    running: dict[SpawnProcess, Bout] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                bout = waiting.pop()
                process = context.Process(target=_run, args=(bout,))
                process.start()
                running[process] = bout
            wait([process.sentinel for process in running])
            for process in [process for process in running if process.exitcode is not None]:
                bout = running.pop(process)
                if process.exitcode:
                    raise DemoCurriculumError(f"{bout.run_dir.name} failed with exit code {process.exitcode}")
                on_done(bout)
    finally:
        # From a terminal they had a SIGINT already, of which a second one would not wait for them to save.
        for process in running:
            process.terminate()
        for process in running:
            process.join()
        signal.signal(signal.SIGTERM, before)


def _run(bout: Bout) -> None:
    try:
        bout.run()
    except DemoCurriculumError as error:
        print(f"{bout.run_dir.name}: {error}", file=sys.stderr)
        sys.exit(1)
