"""The processes that train one policy together."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Adam

from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.moments import Sample

Value = TypeVar("Value")


class Ranks:
    """This process among those that train together; each has its own simulators, and all hold the same policy.

    Whatever one rank measured and all must agree upon goes through here. Every method but ``first`` is a collective:
    all ranks call it in the same order. A process of its own is rank 0 of 1, and nothing is sent.

    Attributes:
        rank, size: as torchrun's RANK and WORLD_SIZE.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @classmethod
    def join(cls) -> Ranks:
        """The ranks that torchrun, or anything that sets its environment variables, has started with this process.

        What lives in main memory, where the simulators are, is carried by gloo, and what a GPU holds by nccl.
        """
        if "RANK" not in os.environ:
            return cls()
        # Torch's optimizers import it, and its functions take the group of that time as a default. One that was there
        # would outlive ``close``, and its threads the interpreter: a thread that lets go of a tensor then aborts.
        import torch.distributed.nn

        if not dist.is_initialized():
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
            )
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def first(self) -> bool:
        """Whether this rank is the one that logs, saves and shows."""
        return self.rank == 0

    @property
    def first_here(self) -> bool:
        """Whether this rank is the one of its machine that writes what all ranks there read."""
        return self.size == 1 or os.environ.get("LOCAL_RANK", "0") == "0"

    def gather(self, value: Value) -> list[Value]:
        """Every rank's ``value``, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def gather_to_first(self, value: Value) -> list[Value]:
        """Every rank's ``value`` at the first rank, nothing elsewhere."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size if self.first else []
        dist.gather_object(value, values if self.first else None)
        return values

    def from_first(self, make: Callable[[], Value]) -> Value:
        """What ``make`` returns at the first rank, at all; where it raises a DemoCurriculumError, all do."""
        made: Any = None
        if self.first:
            try:
                made = make()
            except DemoCurriculumError as error:
                made = error
        if self.size > 1:
            box = [made]
            dist.broadcast_object_list(box)
            made = box[0]
        if isinstance(made, DemoCurriculumError):
            raise made
        return cast(Value, made)

    def pool(self, sample: Sample) -> Sample:
        """All ranks' samples as one (Chan, Golub & LeVeque 1979)."""
        if self.size == 1:
            return sample
        number = self._sum(sample.number.clone())
        mean = self._sum(sample.mean * sample.number) / number.clamp_min(1)
        squares = self._sum(sample.squares + sample.number * (sample.mean - mean) ** 2)
        return Sample(number, mean, squares)

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """Each of ``values``, which have the same names at all ranks, in the mean over the ranks."""
        if self.size == 1:
            return dict(values)
        sums = self._sum(torch.tensor(list(values.values()), dtype=torch.float64))
        return dict(zip(values, (sums / self.size).tolist(), strict=True))

    def average(self, module: nn.Module, optimizer: Adam) -> None:
        """Replaces the parameters of ``module`` and the moments that ``optimizer`` has of them by their means.

        Between two averages each rank learns on its own from what its simulators played (local steps: Stich 2019,
        *Local SGD Converges Fast and Communicates Little*), and none waits for another.
        """
        if self.size == 1:
            return
        moments = [state[name] for state in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")]
        tensors = [*(parameter.detach() for parameter in module.parameters()), *moments]
        flat = self._sum(torch.cat([tensor.flatten() for tensor in tensors])) / self.size
        for tensor, mean in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    @staticmethod
    def _sum(tensor: Tensor) -> Tensor:
        tensor = tensor.contiguous()
        dist.all_reduce(tensor)
        return tensor

    def close(self) -> None:
        """Ends the threads that carry what is sent; nothing can be sent any more."""
        if dist.is_initialized():
            dist.destroy_process_group()
