"""The layout of a demo file, version 1: names, types and limits.

Episode groups are laid out as Minari 0.5 lays them out, so that an export to it is a copy::

    /            attributes: format, format_version, env_spec (JSON), simulator, simulator_versions (JSON), rom_md5,
                 minari_metadata (JSON), created, creator
    /episode_i   attributes: id, total_steps, seed, source, return, complete, offset, note, fingerprint
                 observations (T+1, ...)  actions i64 (T)  rewards f64 (T)  terminations bool (T)  truncations bool (T)
                 infos/lives i32 (T+1)
    /episode_i/snapshots   only where there are any: data u8 (K, S)  nbytes i32 (K)  step i64 (K)  fingerprint u64 (K)

Strings have a fixed length, every dataset is chunked with the filters shuffle, gzip and fletcher32, and every link is a
hard one. A file is written once and never changed. ``fingerprint`` is that of ``Demo``, and there since version 1.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

FORMAT = "demo-curriculum"
VERSION = (1, 1)

MAX_FILE_BYTES = 4 << 30
MAX_DATASET_BYTES = 2 << 30
MAX_CHUNK_BYTES = 64 << 20
MAX_TEXT_BYTES = 32 << 10
MAX_EPISODES = 10_000
MAX_RANK = 5
# What gzip can expand at most; a file that declares more than this for what it stores is a bomb.
MAX_EXPANSION = 1100

# All that is declared together: memory in proportion to the file, and some for free.
FAIR_EXPANSION = 24
FREE_BYTES = 128 << 20

Kind = Literal["text", "integer", "float"]

ROOT_ATTRIBUTES: dict[str, Kind] = {
    "format": "text",
    "format_version": "text",
    "env_spec": "text",
    "simulator": "text",
    "simulator_versions": "text",
    "rom_md5": "text",
    "minari_metadata": "text",
    "created": "text",
    "creator": "text",
}
EPISODE_ATTRIBUTES: dict[str, Kind] = {
    "id": "integer",
    "total_steps": "integer",
    "seed": "integer",
    "source": "text",
    "return": "float",
    "complete": "integer",
    "offset": "integer",
    "note": "text",
}
SEAL: dict[str, Kind] = {"fingerprint": "text"}
"""Attributes of an episode since version 1.1."""


@dataclass(frozen=True)
class Column:
    """One dataset of an episode.

    Attributes:
        dtype: what it holds; None for any number (observations).
        rank: its number of axes; None for any up to MAX_RANK.
    """

    dtype: np.dtype[np.generic] | None
    rank: int | None = 1


# In the order of writing: of a file that is cut short, actions are what repair needs.
EPISODE_COLUMNS = {
    "actions": Column(np.dtype(np.int64)),
    "rewards": Column(np.dtype(np.float64)),
    "terminations": Column(np.dtype(np.bool_)),
    "truncations": Column(np.dtype(np.bool_)),
    "observations": Column(None, None),
}
INFO_COLUMNS = {"lives": Column(np.dtype(np.int32))}
SNAPSHOT_COLUMNS = {
    "data": Column(np.dtype(np.uint8), 2),
    "nbytes": Column(np.dtype(np.int32)),
    "step": Column(np.dtype(np.int64)),
    "fingerprint": Column(np.dtype(np.uint64)),
}
EPISODE_GROUPS = {"infos": INFO_COLUMNS, "snapshots": SNAPSHOT_COLUMNS}


def episode_name(index: int) -> str:
    return f"episode_{index}"
