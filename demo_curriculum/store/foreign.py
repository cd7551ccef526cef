"""What other projects' files say of an episode, before it was played again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.store.checked import refuse

MAX_STEPS = 4_000_000


@dataclass(frozen=True, eq=False)
class Recording:
    """Actions and the rewards that came of them.

    Attributes:
        actions: i64 (T,), each for ``frame_skip`` demo steps.
        rewards: f64 (T,); None where the file has none.
        env_id: the game; None where the file does not say.
        kwargs: what else the file says of the environment.
        frame_skip: demo steps for which each action was played.
    """

    actions: NDArray[np.int64]
    rewards: NDArray[np.float64] | None
    env_id: str | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    frame_skip: int = 1


def check_recording(name: str, actions: NDArray[Any], rewards: NDArray[Any] | None) -> None:
    """Refuses what cannot be played or compared."""
    if actions.ndim != 1 or actions.dtype.kind not in "iu" or not 1 <= len(actions) <= MAX_STEPS:
        refuse(f"{name}: actions are not 1 to {MAX_STEPS:,} whole numbers, but {actions.dtype} {actions.shape}")
    if actions.min() < 0 or actions.max() >= 2**31:
        refuse(f"{name}: actions are not all within 0..2**31")
    if rewards is None:
        return
    if rewards.ndim != 1 or rewards.dtype.kind not in "iuf" or len(rewards) != len(actions):
        refuse(f"{name}: rewards are not {len(actions)} numbers, but {rewards.dtype} {rewards.shape}")
    if not np.isfinite(rewards).all():
        refuse(f"{name}: rewards hold NaN or infinite values")


def recordings_of(
    episodes: Mapping[str, tuple[NDArray[Any], NDArray[Any] | None]], spec: Mapping[str, Any]
) -> list[Recording]:
    """Checked recordings of the environment that Gymnasium's ``spec`` (id, kwargs) names."""
    env_id, kwargs = spec.get("id"), spec.get("kwargs", {})
    if env_id is not None and not isinstance(env_id, str):
        refuse("env_spec: its id is no text")
    if not isinstance(kwargs, dict):
        refuse("env_spec: its kwargs are no object")
    frame_skip = 1
    if env_id is not None and env_id.startswith("ALE/"):
        frame_skip = kwargs.get("frameskip", 4)
        # What gymnasium registers for v5 where nothing else is said.
        if kwargs.get("repeat_action_probability", 0.25) != 0:
            refuse("was recorded with sticky actions, whose chance cannot be played again")
        if type(frame_skip) is not int or not 1 <= frame_skip <= 60:
            refuse(f"env_spec: frameskip {frame_skip!r:.40} cannot be played again; a number from 1 to 60 can")
        kwargs = {"full_action_space": True} if kwargs.get("full_action_space") is True else {}
    found = []
    for name, (actions, rewards) in episodes.items():
        check_recording(name, actions, rewards)
        known = None if rewards is None else rewards.astype(np.float64)
        found.append(Recording(actions.astype(np.int64), known, env_id, kwargs, frame_skip))
    return found


def strict_json(text: str, what: str) -> dict[str, Any]:
    """A JSON object without NaN, infinities or endless nesting."""

    def refuse_constant(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        value = json.loads(text, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        refuse(f"{what} is not strict JSON: {re.sub(r'[^ -~]', '?', str(error))[:100]}")
    if not isinstance(value, dict):
        refuse(f"{what} is not a JSON object")
    return value
