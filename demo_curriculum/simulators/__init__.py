"""What can be saved and restored: the protocol, one adapter a file, and the check that an adapter must pass."""

from demo_curriculum.simulators.protocol import Simulator, SnapshotError
from demo_curriculum.simulators.registry import make_simulator, register_simulator, simulator_of

__all__ = ["Simulator", "SnapshotError", "make_simulator", "register_simulator", "simulator_of"]
