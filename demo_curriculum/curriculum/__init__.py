"""The rules that decide where episodes begin: plain objects that know no environment, no network and no file."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from demo_curriculum.curriculum.adaptive import AdaptiveCurriculum
from demo_curriculum.curriculum.backplay import BackplayCurriculum
from demo_curriculum.curriculum.openai import OpenAICurriculum
from demo_curriculum.curriculum.reset import ResetCurriculum
from demo_curriculum.curriculum.reverse_walk import ReverseWalkCurriculum
from demo_curriculum.curriculum.rfcl import RFCLCurriculum
from demo_curriculum.curriculum.rule import Buckets, Curriculum, CurriculumError, Move, Span, Timeline
from demo_curriculum.curriculum.uniform import UniformCurriculum
from demo_curriculum.errors import UsageError

CURRICULA: dict[str, Callable[..., Curriculum]] = {
    "adaptive": AdaptiveCurriculum,
    "openai": OpenAICurriculum,
    "rfcl": RFCLCurriculum,
    "backplay": BackplayCurriculum,
    "uniform": UniformCurriculum,
    "reset": ResetCurriculum,
    "reverse-walk": ReverseWalkCurriculum,
}


def make_curriculum(name: str, timelines: Sequence[Timeline], **options: Any) -> Curriculum:
    """The rule ``name``, one of ``CURRICULA``, with that rule's own ``options``.

    Raises:
        UsageError: no such rule, an option that it does not have, or a value out of range.
    """
    if name not in CURRICULA:
        raise UsageError(f"no curriculum {name!r}; there are: {', '.join(CURRICULA)}")
    known = set(inspect.signature(CURRICULA[name]).parameters) - {"timelines"}
    if unknown := set(options) - known:
        raise UsageError(
            f"{name} curriculum: no option {', '.join(sorted(unknown))}; there are: {', '.join(sorted(known))}"
        )
    return CURRICULA[name](timelines, **options)


__all__ = [
    "CURRICULA",
    "AdaptiveCurriculum",
    "BackplayCurriculum",
    "Buckets",
    "Curriculum",
    "CurriculumError",
    "Move",
    "OpenAICurriculum",
    "RFCLCurriculum",
    "ResetCurriculum",
    "ReverseWalkCurriculum",
    "Span",
    "Timeline",
    "UniformCurriculum",
    "make_curriculum",
]
