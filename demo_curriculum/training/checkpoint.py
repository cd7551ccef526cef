"""Checkpoints: folders that are either whole and verified, or not used.

A checkpoint ``R/checkpoints/00000042`` holds ``tensors.safetensors``, ``state.json`` (strict JSON: everything else) and
``manifest.json`` (the sha256 of both). It is written under a temporary name, synced, then renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch

from demo_curriculum.errors import DemoCurriculumError

KEPT = 2
FILES = ("tensors.safetensors", "state.json")


class CheckpointError(DemoCurriculumError):
    """A checkpoint that is torn, corrupt, or of something else."""


def save_checkpoint(folder: Path, update: int, state: dict[str, Any], *, kept: int | None = KEPT) -> Path:
    """Writes ``state`` as ``folder/<update>`` and removes all but the newest ``kept``, or none.

    ``state`` may nest dicts (string or integer keys), lists, tensors, arrays, bytes and JSON values.
    """
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"{update:08d}"
    temporary = folder / f".writing-{update:08d}-{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    tensors: dict[str, torch.Tensor] = {}
    tree = _split(state, "", tensors)
    temporary.mkdir()
    try:
        safetensors.torch.save_file(tensors, temporary / "tensors.safetensors")
        (temporary / "state.json").write_text(json.dumps(tree, allow_nan=False), encoding="utf-8")
        manifest = {name: _sha256(temporary / name) for name in FILES}
        (temporary / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        for path in [*temporary.iterdir(), temporary]:
            _sync(path)
        # A run that was resumed from an older checkpoint writes this update a second time.
        if final.exists():
            shutil.rmtree(final)
        temporary.rename(final)
        _sync(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    for old in checkpoints(folder)[:-kept] if kept is not None else []:
        shutil.rmtree(old, ignore_errors=True)
    return final


def checkpoints(folder: Path) -> list[Path]:
    """All complete-looking checkpoints, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name.isdigit())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The state that ``save_checkpoint`` was given.

    Raises:
        CheckpointError: a file is missing, or differs from the manifest.
    """
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        for name in FILES:
            if manifest[name] != _sha256(path / name):
                raise CheckpointError(f"{path / name} is not what was saved: its sha256 differs from the manifest's")
        tensors = safetensors.torch.load_file(path / "tensors.safetensors")
        tree = json.loads((path / "state.json").read_text(encoding="utf-8"))
        joined: dict[str, Any] = _join(tree, tensors)
        return joined
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path} is not a whole checkpoint: {error}") from error


def load_latest(folder: Path, warn: Callable[[str], None]) -> dict[str, Any] | None:
    """The newest checkpoint that is whole; each one passed over is said aloud. None where there is none.

    Raises:
        CheckpointError: there are checkpoints, but not one of them is whole.
    """
    found = checkpoints(folder)
    for path in reversed(found):
        try:
            return load_checkpoint(path)
        except CheckpointError as error:
            warn(f"{error}; trying the one before it")
    if found:
        raise CheckpointError(f"{folder}: none of the {len(found)} checkpoints is whole; start a new run directory")
    return None


def _split(value: Any, path: str, tensors: dict[str, torch.Tensor]) -> Any:
    """``value`` as JSON, with tensors, arrays and bytes moved into ``tensors``."""
    if isinstance(value, dict):
        integers = bool(value) and all(isinstance(key, int) for key in value)
        entries = {str(key): _split(entry, f"{path}/{key}", tensors) for key, entry in value.items()}
        return {"": "integers", **entries} if integers else entries
    if isinstance(value, list | tuple):
        return [_split(entry, f"{path}/{index}", tensors) for index, entry in enumerate(value)]
    if isinstance(value, torch.Tensor):
        tensors[path] = value.detach().cpu().contiguous().clone()
        return {"": "tensor", "name": path}
    if isinstance(value, np.ndarray):
        tensors[path] = torch.from_numpy(value.copy())
        return {"": "array", "name": path}
    if isinstance(value, bytes):
        tensors[path] = torch.frombuffer(bytearray(value), dtype=torch.uint8) if value else torch.zeros(0).byte()
        return {"": "bytes", "name": path}
    return value


def _join(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_join(entry, tensors) for entry in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("")
    if kind == "integers":
        return {int(key): _join(entry, tensors) for key, entry in value.items() if key}
    if kind is None:
        return {key: _join(entry, tensors) for key, entry in value.items()}
    tensor = tensors[value["name"]]
    if kind == "array":
        return tensor.numpy()
    return tensor.numpy().tobytes() if kind == "bytes" else tensor


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
