"""How fast this machine is at what training is made of, and how much of the emulator's own speed is left."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np

from demo_curriculum.errors import UsageError
from demo_curriculum.store import read_demos
from demo_curriculum.training.bench import Bench, Rate, SkippedError
from demo_curriculum.training.machine import prepare_process
from demo_curriculum.training.measures import MEASURES


class Result(NamedTuple):
    """``rate`` is the median over the turns, ``ratio`` that of the turns' ratios to the reference row."""

    name: str
    what: str
    unit: str
    rate: float | None
    reference: str | None
    ratio: float | None
    skipped: str | None


def benchmark(
    path: Path,
    *,
    only: Sequence[str] = (),
    envs: int = 32,
    rounds: int = 5,
    seconds: float = 1.0,
    on_turn: Callable[[str], None] | None = None,
) -> list[Result]:
    """Measures on the first demo of the file ``path``, in turns, so that a noisy machine is noisy for all.

    Args:
        only: names out of ``MEASURES``, to which the rows that they are shares of are added; empty for all.
        envs: simulators in the vector environments.
        rounds: turns of each after a first one that does not count.
        seconds: of each turn at least.
        on_turn: called with the name of each row before its turn.

    Raises:
        UsageError: no such name, or numbers out of range.
    """
    if unknown := set(only) - set(MEASURES):
        raise UsageError(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(MEASURES)}")
    if envs < 2 or rounds < 1:
        raise UsageError(f"--envs must be at least 2 and --rounds at least 1, are {envs} and {rounds}")
    prepare_process()
    wanted = set(only) or set(MEASURES)
    while more := {reference for name in wanted if (reference := MEASURES[name].reference)} - wanted:
        wanted |= more
    names = [name for name in MEASURES if name in wanted]
    tell = on_turn or (lambda name: None)
    rates: dict[str, list[float]] = {}
    skipped: dict[str, str] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bench = Bench(path, read_demos(path)[0], envs, seconds, folder, stack)
        ready: dict[str, Rate] = {}
        for name in names:
            tell(name)
            try:
                ready[name] = MEASURES[name].prepare(bench)
                # Warms caches.
                ready[name]()
            except SkippedError as error:
                skipped[name] = str(error)
                ready.pop(name, None)
        for _ in range(rounds):
            for name, rate in ready.items():
                tell(name)
                rates.setdefault(name, []).append(rate())
    return [_result(name, rates, skipped) for name in names]


def _result(name: str, rates: dict[str, list[float]], skipped: dict[str, str]) -> Result:
    what, unit, reference, _ = MEASURES[name]
    if name in skipped:
        return Result(name, what, unit, None, reference, None, skipped[name])
    ratio = None
    if reference in rates:
        ratio = float(np.median(np.divide(rates[name], rates[reference])))
    return Result(name, what, unit, float(np.median(rates[name])), reference, ratio, None)
