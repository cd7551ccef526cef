"""Which of a demo's scores and landmarks lie behind, told to the policy in training and in play alike."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.demo import Demo
from demo_curriculum.envs import Course
from demo_curriculum.envs.stage import append_stage
from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.landmarks import Landmark
from demo_curriculum.progress.log import write_atomically
from demo_curriculum.simulators import Simulator
from demo_curriculum.simulators.inert import Stretch, find_relevant

LANDMARKS = "landmarks.json"
MOST_STEPS = 10**7
"""Of a demo that a run directory speaks of: nobody has played for two days, and each step takes memory here."""


def with_stages(demos: Sequence[Demo], landmarks: Sequence[Sequence[Landmark]]) -> list[Demo]:
    """The demos with observations (T+1, features + 1) that tell the stage, as the environments' do."""
    told = []
    for demo, found in zip(demos, landmarks, strict=True):
        stages = Course(demo.returns, found).stage(np.arange(len(demo) + 1))
        told.append(replace(demo, observations=append_stage(np.asarray(demo.observations), stages)))
    return told


def find_relevant_by_stage(
    simulator: Simulator,
    demos: Sequence[Demo],
    landmarks: Sequence[Sequence[Landmark]],
    entries: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Which of ``entries`` (S,) matter at each stage of any of the demos: bool (stages, S)."""
    stages = [Course(demo.returns, found).stages for demo, found in zip(demos, landmarks, strict=True)]
    stretches = [
        (stage, Stretch(index, begin, end))
        for index, demo in enumerate(demos)
        for stage, (begin, end) in enumerate(pairwise([0, *stages[index], len(demo)]))
    ]
    relevant = np.zeros((max(map(len, stages)) + 1, len(entries)), np.bool_)
    found = find_relevant(simulator, demos, [stretch for _, stretch in stretches], entries)
    for (stage, _), matter in zip(stretches, found, strict=True):
        relevant[stage] |= matter
    return relevant


def write_landmarks(folder: Path, landmarks: Iterable[Landmark]) -> None:
    """Keeps those of a run's first demo in its directory, for play without the demo."""
    document = [
        {
            "step": landmark.step,
            "entries": landmark.entries.tolist(),
            "values": landmark.values.tolist(),
            "news": landmark.news,
        }
        for landmark in landmarks
    ]
    write_atomically(folder / LANDMARKS, json.dumps(document).encode())


def read_course(folder: Path, described: dict[str, Any], simulator: Simulator) -> Course:
    """What is followed in play: a run's first demo, of which ``described`` is what ``Run`` says.

    Args:
        simulator: with observations of the kind that the policy sees.

    Raises:
        DemoCurriculumError: the run directory does not say, or not of this game.
    """
    path = folder / LANDMARKS
    try:
        if not 0 <= described["length"] <= MOST_STEPS:
            raise ValueError(f"a demo of {described['length']} steps")
        returns = np.zeros(described["length"] + 1)
        for step, reward in described["rewards"]:
            returns[step + 1 :] += reward
        landmarks = []
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, list):
            raise ValueError("not a list")
        for entry in document:
            entries = np.array(entry["entries"], np.int64)
            values = np.array(entry["values"]).astype(simulator.observation_dtype)
            features = int(np.prod(simulator.observation_shape))
            if entries.ndim != 1 or not len(entries) or entries.shape != values.shape:
                raise ValueError("entries and values do not match")
            if entries.min() < 0 or entries.max() >= features or not 0 < int(entry["step"]) < len(returns):
                raise ValueError("a landmark is of no step or of no entry")
            landmarks.append(Landmark(int(entry["step"]), entries, values, int(entry["news"])))
        return Course(returns, landmarks)
    except (OSError, ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        raise DemoCurriculumError(
            f"{path} cannot be read ({error!r}); going on with the training for a moment writes it anew"
        ) from error
