"""What the lines of a progress log hold: schema 1.

A record is a JSON object with a ``kind``. Kinds, and what each must hold:

- ``run``, the first line: ``schema``, ``demos`` (each with env_id, length, offset, score, fingerprint, rewards as
  [step, reward] pairs and, where known, lives_lost as steps), ``protocol`` (sticky, frame_skip, observation, …),
  ``rule``, ``seed``, ``config``, ``versions`` (git revision included), ``started`` (UTC).
- ``update``, one per update of the policy: ``update``, ``agent_steps``, ``frames``, ``seconds`` (trained so far),
  ``steps_per_second``; ``frontiers``, ``segments`` (a list of [begin, goal, frontier]), ``tie_rate``,
  ``reset_tie_rate`` and ``reset_trials`` with one entry a demo; ``score``, the mean raw score from the reset;
  ``metrics``, named like TensorBoard's tags. Null stands for what is not known.
- ``move`` of a frontier: ``update``, ``agent_steps``, ``demo``, ``before``, ``after``, ``reason`` (advance, retreat,
  merge, bridge or cut), ``tie_rate``, ``trials``, ``goal``.
- ``buckets``: ``update``, ``demo``, ``width``, and ``tie_rate`` and ``trials`` of each bucket of starts; bucket i holds
  the starts i·width ≤ step < (i+1)·width.
- ``remedy`` against a stall: ``update``, ``agent_steps``, ``remedy``, ``left`` (demo steps still to climb), ``still``
  (updates without progress).
- ``checkpoint`` kept for good: ``update``, ``agent_steps``, ``frontiers``; ``segments`` and ``left``.
- ``best`` episode from the game's own reset so far, kept in ``best.h5``: ``update``, ``agent_steps``, ``score``,
  ``steps`` (demo steps).
- ``end`` and ``resume``: ``update``, ``reason``.
- ``eval``, in a log of its own beside this one (``evals.jsonl``), for each has one writer: ``update``, ``agent_steps``,
  ``protocol``, ``episodes``, ``mean``, ``ties`` (a share), ``demo_score``; ``temperature`` where it may not be 1.

Steps and frontiers are demo steps, rates shares of 1, ``seconds`` those of training. Readers pass over fields and kinds
that they do not know, so that a version may add some without a new number; what an older reader would get wrong gets
one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

Record = dict[str, Any]
Check = Callable[[Any], bool]

SCHEMA = 1


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _known_or_not(value: Any) -> bool:
    return value is None or _number(value)


def _each(check: Check, length: int | None = None) -> Check:
    return lambda value: isinstance(value, list) and length in (None, len(value)) and all(map(check, value))


_numbers, _known_or_nots = _each(_number), _each(_known_or_not)
_segments = _each(_each(_each(_number, 3)))

_DEMO: Mapping[str, Check] = {
    "env_id": _text,
    "length": lambda value: _number(value) and value > 0,
    "offset": _number,
    "score": _number,
    "rewards": _each(_each(_number, 2)),
    "lives_lost": lambda value: value is None or _numbers(value),
}
KINDS: Mapping[str, Mapping[str, Check]] = {
    "run": {"demos": _each(_object), "protocol": _object, "rule": _text, "seed": _number},
    "update": {
        "update": _number,
        "agent_steps": _number,
        "frames": _number,
        "seconds": _number,
        "steps_per_second": _number,
        "frontiers": _numbers,
        "tie_rate": _known_or_nots,
        "reset_tie_rate": _known_or_nots,
        "reset_trials": _numbers,
        "score": _known_or_not,
        "metrics": _object,
    },
    "move": {
        "update": _number,
        "agent_steps": _number,
        "demo": _number,
        "before": _number,
        "after": _number,
        "reason": _text,
    },
    "buckets": {"update": _number, "demo": _number, "width": _number, "tie_rate": _known_or_nots},
    "remedy": {"update": _number},
    "checkpoint": {"update": _number, "agent_steps": _number, "frontiers": _numbers},
    "best": {"update": _number, "agent_steps": _number, "score": _number, "steps": _number},
    "eval": {
        "update": _number,
        "agent_steps": _number,
        "protocol": _text,
        "episodes": _number,
        "mean": _number,
        "ties": _number,
    },
    "resume": {"update": _number, "reason": _text},
    "end": {"update": _number, "reason": _text},
}
"""The fields that a record of each kind must have."""
_OPTIONAL: Mapping[str, Check] = {
    "segments": _segments,
    "trials": lambda value: _known_or_not(value) or _known_or_nots(value),
    "goal": _number,
    "left": _number,
}


def flaws(record: Record) -> list[str]:
    """The fields of a record of a known kind that are missing or hold what they must not."""
    checks = KINDS[record["kind"]]
    flawed = [name for name, check in checks.items() if name not in record or not check(record[name])]
    flawed += [name for name, check in _OPTIONAL.items() if name in record and not check(record[name])]
    if record["kind"] == "move" and not _known_or_not(record.get("tie_rate")):
        flawed.append("tie_rate")
    if record["kind"] == "run" and "demos" not in flawed:
        wrong = {name for demo in record["demos"] for name, check in _DEMO.items() if not check(demo.get(name))}
        flawed += [f"{name} of a demo" for name in _DEMO if name in wrong]
    return flawed
