"""The best episode of a run from the game's own reset, kept as a demo of its own."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from demo_curriculum.demo import Outcome
from demo_curriculum.progress.schema import Record
from demo_curriculum.simulators import Simulator, make_simulator
from demo_curriculum.simulators.playback import play_demo
from demo_curriculum.store import read_demos, write_demos

BEST = "best.h5"


class BestEpisode:
    """Keeps ``R/best.h5``: of all episodes from the reset the one with the highest score, above 0, of equal ties
    the shortest.

    It is a demo like any other, to be looked at, verified and trained on; what a policy plays in the mean is another
    matter. Random deviations (sticky actions) are in it as the actions that were executed.

    Args:
        run_dir: may hold the file of an earlier sitting, which only a better one replaces.
        demo: of ``Run.demos``; which simulator to play on.

    Attributes:
        rank: score and negative length of what ``take`` last told of; part of a checkpoint.
    """

    def __init__(self, run_dir: Path, demo: dict[str, Any]) -> None:
        self._path = run_dir / BEST
        self._demo = demo
        self.rank = (0.0, 0)
        self._kept = (0.0, 0)
        if self._path.exists():
            kept = read_demos(self._path)[0]
            self._kept = (kept.score, -len(kept))

    def take(self, outcomes: Sequence[Outcome], update: int, agent_steps: int) -> Record | None:
        """Looks for a better path in ``outcomes`` and keeps it; returns the log's ``best`` record where there is one.

        A simulator on which it does not replay gets a RuntimeWarning, and nothing is kept.
        """
        ranked = [(outcome.score, -len(outcome.path), outcome.path) for outcome in outcomes if outcome.path]
        score, steps, path = max(ranked, default=(*self.rank, ()))
        if (score, steps) <= self.rank:
            return None
        self.rank = (score, steps)
        if self.rank > self._kept:
            self._keep(score, path, agent_steps)
        return {"kind": "best", "update": update, "agent_steps": agent_steps, "score": score, "steps": -steps}

    def _keep(self, score: float, path: Sequence[int], agent_steps: int) -> None:
        simulator = make_simulator(self._demo["env_id"], **self._demo["kwargs"])
        path = _up_to_the_end(simulator, path)
        note = f"the best episode of a training after {agent_steps:,} agent steps"
        demo = play_demo(simulator, path, origin="policy", note=note)
        if demo.score != score:
            warnings.warn(
                f"an episode that scored {score:g} scores {demo.score:g} when it is played again, and is not kept: "
                f"{self._demo['env_id']} is not exact; see demo_curriculum.simulators.check",
                RuntimeWarning,
                stacklevel=3,
            )
            return
        write_demos(self._path, [demo], overwrite=True)
        self._kept = self.rank


def _up_to_the_end(simulator: Simulator, path: Sequence[int]) -> Sequence[int]:
    """``path`` without what of its last agent step came after the game's own end."""
    simulator.reset()
    for steps, action in enumerate(path, start=1):
        simulator.play([action])
        if simulator.game_over:
            return path[:steps]
    return path
