"""Starts ranks on this machine, as torchrun does."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from demo_curriculum.errors import DemoCurriculumError

Value = TypeVar("Value")

INTERRUPTED = 130
RESTARTS = 3
# A rank finishes its update and saves before it stops; with pixels on a slow machine that takes a while.
SECONDS_TO_STOP = 120


def launch(size: int, run: Callable[..., Value], *args: Any) -> Value | None:
    """Runs ``run(*args)`` in ``size`` processes that find each other by ``Ranks.join``; returns the first one's value.

    When one dies all are started again, three times at most. SIGINT and SIGTERM are passed on; None is returned then.

    Raises:
        DemoCurriculumError: a rank raised it, or they died too often.
    """
    # Ranks that were started again would else find the addresses of the dead ones.
    os.environ.setdefault("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    logging.getLogger("torch.distributed.elastic").setLevel(logging.ERROR)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=size,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=RESTARTS,
        shutdown_timeout=SECONDS_TO_STOP,
    )
    try:
        value = elastic_launch(config, _rank)(run, *args)[0]
    except SignalException:
        return None
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        raise DemoCurriculumError(
            f"rank {rank} died {RESTARTS + 1} times, the last time with exit code {failure.exitcode}: {failure.message}"
        ) from error
    if isinstance(value, DemoCurriculumError):
        raise value
    return value  # type: ignore[no-any-return]


def _rank(run: Callable[..., Value], *args: Any) -> Value | DemoCurriculumError:
    try:
        value = run(*args)
    except DemoCurriculumError as error:
        # Returned, since the launcher would try again after an exception.
        return error
    if value == "interrupted":
        # A value would wait to be fetched by a launcher that was interrupted too.
        raise SystemExit(INTERRUPTED)
    return value
