"""What of this machine a training uses: its GPUs, and how many processes."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor

from demo_curriculum.errors import UsageError

DeviceName = Literal["auto", "cpu", "cuda"]


# glibc's numbers for mallopt.
TRIM_THRESHOLD, MMAP_MAX = -1, -4
MOST = 2**31 - 1


def prepare_process() -> None:
    """One thread, and memory that is kept for the next minibatch.

    One thread a process is the fastest where simulators run beside it, and more would give other bits. And glibc gives
    large pieces of memory back to the system as they are freed, which hands them out again page by page: a third of
    the time of an update on pixels.
    """
    torch.set_num_threads(1)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, MOST)


def choose_device(name: DeviceName, *, pixels: bool) -> torch.device:
    """Where this rank's networks live; of several GPUs each rank of a machine has another one.

    "auto" is a GPU for pixels, where there is one. The network for vectors is so small that the simulators are what
    takes the time, and moving observations would take longer than multiplying them.

    Raises:
        UsageError: "cuda" without a GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch finds no GPU here; use --device auto or cpu")
    if name == "cuda" or (name == "auto" and pixels and torch.cuda.is_available()):
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    return torch.device("cpu")


def choose_processes(
    ranks: int | Literal["auto"],
    workers: int | Literal["auto"],
    *,
    envs: int,
    fits: Callable[[int], bool],
    cores: int,
    gpus: int,
) -> tuple[int, int]:
    """The numbers of ranks and of each rank's workers, for ``envs`` simulators on a machine that learns on ``gpus``.

    "auto" is a rank a core without workers, or a rank a GPU that shares the cores' workers; fewer where ``fits`` says
    that so many ranks cannot share the work alike. Next to given workers it is one rank.

    Raises:
        UsageError: numbers out of range.
    """
    if ranks == "auto":
        most = gpus or (cores if workers in ("auto", 0) else 1)
        size = next((size for size in range(most, 0, -1) if fits(size)), 1)
    else:
        size = ranks
    if size < 1:
        raise UsageError(f"--ranks must be at least 1, is {size}")
    if workers == "auto":
        return size, min(cores, envs // 2) // size if gpus else 0
    if workers < 0:
        raise UsageError(f"--workers must be at least 0, is {workers}")
    return size, workers


def place(array: NDArray[Any], device: torch.device) -> Tensor:
    """``array`` as a tensor on ``device``; to a GPU it goes while this process does other things."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor
