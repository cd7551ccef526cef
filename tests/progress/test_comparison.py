import json

import numpy as np
import pytest

from demo_curriculum.cli.main import main
from demo_curriculum.errors import UsageError
from demo_curriculum.progress.comparison import compare_runs, describe, iqm


def run(seed, frontiers, *, rule="adaptive", fingerprint="ab"):
    """A run whose frontier comes to each step of ``frontiers`` after so many agent steps."""
    demo = {
        "env_id": "x",
        "length": 100,
        "offset": 0,
        "score": 5.0,
        "fingerprint": fingerprint,
        "rewards": [[20, 2.0], [80, 3.0]],
    }
    header = {"kind": "run", "demos": [demo], "protocol": {}, "rule": rule, "seed": seed, "config": {"seed": seed}}
    return [
        header,
        *(
            {"kind": "update", "update": at // 100, "agent_steps": at, "frontiers": [step]}
            for step, at in frontiers.items()
        ),
    ]


def test_iqm_is_the_mean_of_the_middle_half():
    assert iqm(np.array([1.0, 2.0, 3.0, 100.0])) == 2.5
    assert iqm(np.array([7.0])) == 7.0
    # Of five, a quarter of the second and the fourth is cut: (0.75·2 + 3 + 0.75·4) / 2.5
    assert iqm(np.array([9.0, 1.0, 2.0, 3.0, 4.0])) == 3.0
    assert iqm(np.array([1.0, 2.0, 3.0, np.inf])) == 2.5
    assert iqm(np.array([[1.0, 1.0], [2.0, np.inf]])).tolist() == [1.0, np.inf]


def test_seeds_are_grouped_and_each_reward_has_its_steps():
    runs = [
        ("a", run(0, {80: 100, 30: 200, 20: 300, 0: 400})),
        ("b", run(1, {70: 300, 10: 500})),
        ("c", run(0, {80: 50}, rule="openai")),
    ]
    comparison = compare_runs(runs)
    assert comparison.goals == [("+3", 80), ("+2", 20), ("the beginning", 0)]
    first, second = comparison.groups
    assert first.steps.tolist() == [[100, 300, 400], [300, 500, np.inf]]
    assert first.label == "rule adaptive"
    assert (second.name, second.label, second.steps.tolist()) == ("c", "rule openai", [[50, np.inf, np.inf]])
    told = comparison.to_json()["groups"][0]["goals"]
    assert told[0] == {"reached": 2, "iqm": 200.0, "low": 100.0, "high": 300.0, "steps": [100.0, 300.0]}
    assert told[2] == {"reached": 1, "iqm": None, "low": 400.0, "high": None, "steps": [400.0, None]}


def test_of_a_climb_in_segments_all_that_follows_a_reward_counts():
    records = run(0, {90: 100, 50: 200, 49: 300, 48: 400})
    for record, first, second in zip(records[1:], (45, 20, 20, 0), (90, 85, 50, 50), strict=True):
        record["segments"] = [[[0, 50, first], [50, 100, second]]]
    # The first segment was at the reward of step 20 after 200 agent steps, but not the second at its beginning.
    assert compare_runs([("a", records)]).groups[0].steps.tolist() == [[300, 300, 400]]


def test_a_figure_is_told_as_exactly_as_it_is_known():
    entry = {"reached": 2, "iqm": 200.0, "low": 100.0, "high": None}
    assert describe(entry, 3) == "200 (100–∞), 2 of 3"
    assert describe({**entry, "reached": 0, "iqm": None}, 3) == "never, 0 of 3"
    assert describe({**entry, "reached": 1}, 1) == "200"


def test_other_demos_are_refused():
    with pytest.raises(UsageError, match="b was trained on another demo than a"):
        compare_runs([("a", run(0, {})), ("b", run(0, {}, fingerprint="cd"))])


def test_the_command_writes_all_its_forms(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    update = {"kind": "update", "update": 1, "agent_steps": 100, "frames": 9, "seconds": 1.0, "steps_per_second": 9.0}
    rates = {"frontiers": [50], "tie_rate": [0], "reset_tie_rate": [0], "reset_trials": [0], "score": 0, "metrics": {}}
    for name, seed in (("a<b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        lines = [*run(seed, {}, rule="adaptive" if seed else "openai"), {**update, **rates}]
        (tmp_path / name / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    runs = [str(tmp_path / "a<b"), str(tmp_path / "c")]
    files = ["--png", str(tmp_path / "c.png"), "--html", str(tmp_path / "c.html")]
    assert main(["compare", *runs, *files, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [group["goals"][0]["iqm"] for group in document["groups"]] == [100, 100]
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "c.html").read_text()
    assert "a&lt;b" in page and "<td>100</td>" in page
    assert main(["compare", *runs]) == 0
    assert " 100 " in (told := capsys.readouterr().out) and "never" in told and "rule openai" in told
