"""From an env id to a simulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from demo_curriculum.demo import SimulatorSpec
from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.simulators.protocol import Simulator

_factories: dict[str, Callable[..., Simulator]] = {}


def register_simulator(prefix: str, factory: Callable[..., Simulator]) -> None:
    """Env ids that begin with ``prefix`` are made by ``factory(env_id, **kwargs)`` from now on."""
    _factories[prefix] = factory


def make_simulator(env_id: str, **kwargs: Any) -> Simulator:
    """A new simulator for ``env_id``.

    Raises:
        DemoCurriculumError: nothing is registered for this id, or its game cannot be played.
    """
    for prefix, factory in _factories.items():
        if env_id.startswith(prefix):
            return factory(env_id, **kwargs)
    known = ", ".join(f"{prefix}…" for prefix in _factories)
    raise DemoCurriculumError(f"no simulator for {env_id!r}; known: {known}; add yours with register_simulator()")


def simulator_of(spec: SimulatorSpec) -> Simulator:
    """The simulator that a demo was recorded on, as it is installed here.

    Raises:
        DemoCurriculumError: as ``make_simulator``, or its arguments are not those of such a simulator.
    """
    try:
        return make_simulator(spec.env_id, **spec.kwargs)
    except TypeError as error:
        raise DemoCurriculumError(f"no simulator for {spec.env_id!r} with {dict(spec.kwargs)}: {error}") from error


def _make_ale(env_id: str, **kwargs: Any) -> Simulator:
    from demo_curriculum.simulators.ale import AleSimulator

    return AleSimulator(env_id, **kwargs)


def _make_chain(env_id: str, **kwargs: Any) -> Simulator:
    from demo_curriculum.simulators.chain import LockedChain

    return LockedChain(env_id, **kwargs)


def _make_mountain_car(env_id: str, **kwargs: Any) -> Simulator:
    from demo_curriculum.simulators.mountain_car import SparseMountainCar

    return SparseMountainCar(env_id, **kwargs)


def _make_minigrid(env_id: str, **kwargs: Any) -> Simulator:
    from demo_curriculum.simulators.minigrid import MiniGridSimulator

    return MiniGridSimulator(env_id, **kwargs)


register_simulator("ALE/", _make_ale)
register_simulator("LockedChain-", _make_chain)
register_simulator("SparseMountainCar-", _make_mountain_car)
register_simulator("MiniGrid-", _make_minigrid)
