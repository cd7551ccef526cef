"""What a run's ranks knew, dealt out to another number of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def deal(parts: Sequence[dict[str, Any]], rank: int, num_envs: int) -> dict[str, Any]:
    """The share of rank ``rank``, which has ``num_envs`` environments, of what other ranks knew.

    Environments keep their order, with all that belongs to each; the predictor's memory and the successes are those of
    one old rank.
    """
    mine = slice(num_envs * rank, num_envs * (rank + 1))
    old = parts[rank % len(parts)]
    envs = [env for part in parts for env in part["env"]["envs"]]
    own = {
        "env": {"envs": envs[mine], "starts": old["env"]["starts"]},
        "standing": _share([part["standing"] for part in parts], mine, dim=0),
        "earlier": old["earlier"] and _share([part["earlier"] for part in parts], mine, dim=1),
    }
    if "successes" in old:
        trails = [
            {name: part for name, part in each["successes"].items() if name.startswith("trail_")} for each in parts
        ]
        own["successes"] = {**old["successes"], **_share(trails, mine, dim=0)}
    if "return_scale" in old:
        running = torch.cat([part["return_scale"]["running"] for part in parts])[mine]
        own["return_scale"] = {**old["return_scale"], "running": running}
        own["memory"] = old["memory"]
    return own


def _share(parts: Sequence[dict[str, Tensor]], mine: slice, *, dim: int) -> dict[str, Tensor]:
    """The environments ``mine`` of all that ``parts`` hold side by side along ``dim``."""
    places = torch.arange(mine.start, mine.stop)
    return {name: torch.cat([part[name] for part in parts], dim).index_select(dim, places) for name in parts[0]}
