"""The game as a run's policy plays it from its own reset."""

from __future__ import annotations

from pathlib import Path

from demo_curriculum.envs import SimulatorEnv
from demo_curriculum.envs.stage import StageObservation
from demo_curriculum.simulators import Simulator
from demo_curriculum.training.evaluate import Env, Protocol
from demo_curriculum.training.run import Run, simulator_for, stack_for
from demo_curriculum.training.stages import read_course


class Player:
    """Makes environments in which a policy sees what it sees in training.

    Args:
        folder: the run directory.
        run: what it says.

    Raises:
        DemoCurriculumError: it does not say by what landmarks the policy goes.
    """

    def __init__(self, folder: Path, run: Run) -> None:
        self._run, self._demo = run, run.demos[0]
        simulator = self.simulator()
        self._stack = stack_for(simulator, run.config)
        told = run.config.tells_stages(simulator.observation_shape)
        self._course = read_course(folder, self._demo, simulator) if told else None

    def simulator(self) -> Simulator:
        """A new one, with the observations that the policy sees."""
        return simulator_for(self._demo, self._run.config)

    def env(self, protocol: Protocol, simulator: Simulator | None = None) -> Env:
        """A new one, in ``simulator`` or one of its own."""
        env = SimulatorEnv(
            simulator or self.simulator(),
            frame_skip=self._run.config.frame_skip,
            stack=self._stack,
            sticky=protocol.sticky,
            noop_max=protocol.noop_max,
        )
        if self._course is None:
            return env
        return StageObservation(env, self._course, reset_step=-self._demo["offset"], lag=self._run.config.lag)
