"""Gymnasium's side: agent steps on a simulator, episodes that begin inside a demo, many of them at once."""

from demo_curriculum.envs.course import Course
from demo_curriculum.envs.demo_start import DemoStart
from demo_curriculum.envs.record_demo import RecordDemo, RecordingSimulator
from demo_curriculum.envs.simulator_env import SimulatorEnv, StartCache
from demo_curriculum.envs.stage import StageObservation
from demo_curriculum.envs.vector import DemoStartVectorEnv, GroupedVectorEnv
from demo_curriculum.envs.workers import EnvRecipe, WorkerVectorEnv

__all__ = [
    "Course",
    "DemoStart",
    "DemoStartVectorEnv",
    "EnvRecipe",
    "GroupedVectorEnv",
    "RecordDemo",
    "RecordingSimulator",
    "SimulatorEnv",
    "StageObservation",
    "StartCache",
    "WorkerVectorEnv",
]
