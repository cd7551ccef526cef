import numpy as np
import pytest

AGENT_STEPS, SECONDS = 4096, 2.0


@pytest.fixture
def climb():
    """The records of a made-up climb: 60 updates down a demo of 380 steps, with a retreat at update 30."""
    return make_climb()


def make_climb(updates=60, demos=1, offset=0):
    rng = np.random.default_rng(0)
    demo = {
        "env_id": "ALE/MontezumaRevenge-v5",
        "length": 380,
        "offset": offset,
        "score": 400.0,
        "fingerprint": "ab" * 32,
        "rewards": [[100, 300.0], [360, 100.0]],
    }
    records = [
        {
            "kind": "run",
            "demos": [demo] * demos,
            "protocol": {"observation": "ram", "frame_skip": 4, "sticky": 0.25},
            "rule": "adaptive",
            "seed": 0,
            "versions": {},
            "started": "2026-11-23T09:00:00Z",
        }
    ]
    frontier = 360
    for update in range(1, updates + 1):
        after = max(-offset, frontier - int(rng.integers(0, 24))) if update != 30 else frontier + 40
        if update > updates - 3:
            after = -offset
        if after != frontier:
            records.append(
                {
                    "kind": "move",
                    "update": update,
                    "agent_steps": AGENT_STEPS * update,
                    "demo": 0,
                    "before": frontier,
                    "after": after,
                    "reason": "advance" if after < frontier else "retreat",
                    "tie_rate": 0.31,
                    "trials": 64,
                }
            )
            frontier = after
        starts = 16 * np.arange(24)
        rates = 1 / (1 + np.exp(-(starts - frontier) / 30 + 1))
        records.append(
            {
                "kind": "buckets",
                "update": update,
                "demo": 0,
                "width": 16,
                "tie_rate": [
                    None if start < frontier - 16 else float(rate) for start, rate in zip(starts, rates, strict=True)
                ],
                "trials": [0 if start < frontier - 16 else 40 for start in starts],
            }
        )
        records.append(
            {
                "kind": "update",
                "update": update,
                "agent_steps": AGENT_STEPS * update,
                "frames": 4 * AGENT_STEPS * update,
                "seconds": SECONDS * update,
                "steps_per_second": AGENT_STEPS / SECONDS,
                "frontiers": [frontier] * demos,
                "tie_rate": [0.25] * demos,
                "reset_tie_rate": [None if update < 5 else update / updates / 2] * demos,
                "reset_trials": [update] * demos,
                "score": None if update < 5 or update % 3 == 1 else 400.0 * update / updates,
                "metrics": {"train/loss": 0.5, "rollout/ep_len_mean": 80.0, "rnd/bonus": None},
            }
        )
    return [*records, {"kind": "end", "update": updates, "reason": "frontier 0"}]
