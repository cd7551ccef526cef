import torch

from demo_curriculum.progress.log import comparable, read_log
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.playback import play_demo
from demo_curriculum.training.config import TrainConfig
from demo_curriculum.training.milestones import MILESTONES, read_milestones
from demo_curriculum.training.ranks import Ranks
from demo_curriculum.training.session import Limits, open_run, train

CONFIG = TrainConfig(envs=16, steps=32, hidden=32, lr=1e-3, frame_skip=1, sticky=0.0)


class Quiet:
    def update(self, record): ...
    def event(self, record): ...
    def message(self, text): ...


def climb(folder, *, keep, agent_steps=None, length=60):
    simulator = make_simulator(f"LockedChain-{length}")
    demo = play_demo(simulator, simulator.keys.tolist(), origin="script")
    run, _ = open_run(folder, [demo], CONFIG)
    limits = Limits(agent_steps=agent_steps)
    reason = train(folder, run, [demo], limits=limits, display=Quiet(), ranks=Ranks(), keep_checkpoints=keep)
    return reason, read_log(folder / "progress.jsonl")


def test_policies_are_kept_along_the_way_and_at_its_end(tmp_path):
    reason, records = climb(tmp_path, keep=3)
    assert reason == "frontier"
    kept = read_milestones(tmp_path)
    told = [record for record in records if record["kind"] == "checkpoint"]
    assert [(m.update, m.agent_steps, m.frontiers) for m in kept] == [
        (record["update"], record["agent_steps"], record["frontiers"]) for record in told
    ]
    frontiers = [milestone.frontiers[0] for milestone in kept]
    assert 2 <= len(kept) <= 4 and frontiers[-1] == 0
    # A third of sixty steps lies between two of them, but for the last.
    assert all(before - after >= 20 for before, after in zip([60, *frontiers], frontiers[:-1], strict=False))
    first, last = kept[0].policy, kept[-1].policy
    assert any(not torch.equal(first[name], last[name]) for name in first)


def test_a_resumed_run_keeps_the_same_policies_as_an_uninterrupted_one(tmp_path):
    _, straight = climb(tmp_path / "straight", keep=3)
    moved = next(record["agent_steps"] for record in straight if record["kind"] == "checkpoint")
    climb(tmp_path / "resumed", keep=3, agent_steps=moved)
    # As if killed after a policy was kept but before the next checkpoint.
    stray = tmp_path / "resumed" / MILESTONES / "99999999"
    stray.mkdir()
    _, resumed = climb(tmp_path / "resumed", keep=3)
    assert comparable(resumed) == comparable(straight)
    assert not stray.exists()
    one, other = read_milestones(tmp_path / "straight"), read_milestones(tmp_path / "resumed")
    assert [m[:4] for m in one] == [m[:4] for m in other]
    assert all(torch.equal(a.policy[n], b.policy[n]) for a, b in zip(one, other, strict=True) for n in a.policy)


def test_none_are_kept_where_none_are_wanted(tmp_path):
    climb(tmp_path, keep=0, length=4)
    assert not (tmp_path / MILESTONES).exists()


def test_a_damaged_one_is_passed_over(tmp_path):
    climb(tmp_path, keep=3)
    kept = read_milestones(tmp_path)
    tensors = tmp_path / MILESTONES / f"{kept[0].update:08d}" / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-9])
    assert [milestone.update for milestone in read_milestones(tmp_path)] == [m.update for m in kept[1:]]
