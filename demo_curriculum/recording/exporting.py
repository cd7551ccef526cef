"""Demo files as Minari datasets and NPZ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from demo_curriculum.demo import SimulatorSpec
from demo_curriculum.simulators import simulator_of
from demo_curriculum.store import read_demos, write_minari, write_npz


def export_demos(file: Path, output: Path) -> int:
    """Writes ``output``, NPZ where its name ends so, else a Minari dataset's folder; returns the number of demos.

    Raises:
        StoreError: as ``write_minari`` and ``write_npz``.
        DemoCurriculumError: for Minari, no such simulator is installed, so that the number of actions is not known.
    """
    demos = read_demos(file)
    if output.suffix == ".npz":
        write_npz(output, demos)
    else:
        spec = demos[0].simulator
        write_minari(file, output, action_count=simulator_of(spec).action_count, env_spec=_env_spec(spec))
    return len(demos)


def _env_spec(spec: SimulatorSpec) -> str | None:
    """Gymnasium's JSON of an environment whose steps are the demo's; None where Gymnasium has none."""
    if not spec.env_id.startswith("ALE/"):
        return None
    import ale_py
    import gymnasium

    gymnasium.register_envs(ale_py)
    registered: dict[str, Any] = json.loads(gymnasium.spec(spec.env_id).to_json())
    registered["kwargs"] |= {"obs_type": "ram", "frameskip": 1, "repeat_action_probability": 0.0, **spec.kwargs}
    return json.dumps(registered)
