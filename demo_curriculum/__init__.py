"""Solve hard-exploration games from a single demonstration: a start curriculum, RND and PPO.

The rooms and their layers. Lower layers never import higher ones, and rooms of layer 1 never import each other;
``store``, ``curriculum``, ``simulators`` and ``envs`` load without torch.

===========  =====  ==================================================================================================
room         layer  what it holds
===========  =====  ==================================================================================================
errors       L0     errors that a user can act on
demo         L0     Demo, Snapshot, Start, Outcome: frozen, validated records
clocks       L0     what an observation holds that tells nothing but the time
landmarks    L0     moments of a demo that can be recognised without a reward
moments      L0     RunningMoments: the running mean and variance, as buffers
processes    L0     how many processes there should be, and when they end
store        L1     HDF5 file <-> Demo: schema, read, write, import
curriculum   L1     the rules that move the frontier, as plain objects
simulators   L1     what can be saved and restored: the protocol, one adapter a file, its check
rnd          L1     RandomNetworkDistillation: the exploration bonus
envs         L2     Gymnasium's side: episodes that begin inside a demo, one by one and as a vector
recording    L3     recorders, each producing a Demo
training     L3     policy, returns, rollout, PPO, the trainer, checkpoints
progress     L3     the progress log, and the views made from it
cli          L4     one file a command
===========  =====  ==================================================================================================
"""

from demo_curriculum.demo import Demo, Outcome, SimulatorSpec, Snapshot, Start
from demo_curriculum.errors import DemoCurriculumError, MismatchError, UsageError
from demo_curriculum.simulators import Simulator, make_simulator, register_simulator

__version__ = "0.1.0"

__all__ = [
    "Demo",
    "DemoCurriculumError",
    "MismatchError",
    "Outcome",
    "Simulator",
    "SimulatorSpec",
    "Snapshot",
    "Start",
    "UsageError",
    "make_simulator",
    "register_simulator",
]
