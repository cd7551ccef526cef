import pytest

from demo_curriculum.progress.view import ClimbView, demo_bar, describe_remedy, heat_strip

DEMO = {"length": 100, "offset": 0, "rewards": [[10, 100.0], [99, -5.0]]}


def test_bar_marks_rewards_and_the_frontier_in_their_cells():
    # 10 cells of 10 steps: the rewards fall into cells 1 and 9, the frontier into cell 5.
    assert demo_bar(DEMO, [[0, 100, 50]], 10).plain == "─●───┃━━━●"


@pytest.mark.parametrize(("frontier", "cell"), [(0, 0), (9, 0), (99, 9), (100, 9)])
def test_bar_holds_every_frontier(frontier, cell):
    assert demo_bar(DEMO, [[0, 100, frontier]], 10).plain.index("┃") == cell


def test_bar_marks_lost_lives_and_a_frontier_before_the_demo_at_its_beginning():
    assert demo_bar({**DEMO, "lives_lost": [35]}, [[0, 100, -30]], 10).plain == "┃●━✗━━━━━●"
    assert demo_bar({**DEMO, "lives_lost": None}, [[0, 100, -30]], 10).plain.count("✗") == 0


def test_bar_of_a_demo_shorter_than_the_bar():
    assert demo_bar({"length": 2, "rewards": []}, [[0, 2, 1]], 6).plain == "───┃━━"


def test_eta_is_what_is_left_over_the_recent_speed(climb):
    update = next(record for record in climb if record["kind"] == "update")
    view = ClimbView(climb[0])
    assert view.eta is None
    view.add({**update, "seconds": 10.0, "frontiers": [300]})
    assert view.eta is None
    # 100 steps in 20 seconds: 200 more take 40.
    view.add({**update, "seconds": 30.0, "frontiers": [200]})
    assert view.eta == 40.0
    # The first update has left the two minutes that count: from 200 at 30 s to 190 at 140 s.
    view.add({**update, "seconds": 140.0, "frontiers": [190]})
    assert view.eta == pytest.approx(190 * 110 / 10)
    view.add({**update, "seconds": 150.0, "frontiers": [250]})
    assert view.eta is None
    view.add({**update, "seconds": 160.0, "frontiers": [0]})
    assert view.eta == 0.0


def test_segments_have_a_frontier_each() -> None:
    segments = [[0, 40, 20], [40, 70, 40], [70, 100, 90]]
    assert demo_bar({"length": 100, "rewards": []}, segments, 10).plain == "──┃━┃━━──┃"
    run = {"demos": [{**DEMO, "env_id": "A"}], "protocol": {"frame_skip": 4}, "rule": "adaptive", "seed": 0}
    view = ClimbView(run)
    update = {
        "kind": "update",
        "seconds": 1.0,
        "agent_steps": 5,
        "steps_per_second": 5.0,
        "frontiers": [90],
        "segments": [segments],
        "tie_rate": [None],
        "reset_tie_rate": [None],
        "reset_trials": [0],
        "score": None,
    }
    view.add(update)
    assert "40 of 100 left, 3 segments" in view.line()
    view.add({**update, "seconds": 3.0, "segments": [[[0, 40, 0], [40, 70, 40], [70, 100, 80]]]})
    assert view.eta == pytest.approx(10 * 2 / 30)


def test_line_says_where_the_climb_stands(climb):
    view = ClimbView(climb[0])
    assert view.line() == "no update yet"
    for record in climb[1:]:
        view.add(record)
    view.add({**climb[-2], "score": None})
    assert view.line() == (
        "0:02:00  245,760 agent steps  2,048/s  frontier 0 of 380  ties 25 %  from reset 50 %  score 400.0  ETA 0:00:00"
    )


def test_heat_strip_is_the_mean_of_the_buckets_under_each_character():
    # Ten characters of ten steps, buckets of twenty: two characters each; the last bucket ends early.
    buckets = {"width": 20, "tie_rate": [None, 0.0, 0.5, 0.79, 1.0]}
    assert heat_strip(DEMO, buckets, 10).plain == "  ··▒▒▓▓██"
    # Two characters of fifty steps: of the first, only the known buckets count.
    assert heat_strip(DEMO, buckets, 2).plain == "░▓"


def test_a_remedy_tells_all_that_its_record_holds():
    record = {"kind": "remedy", "update": 3, "agent_steps": 9, "remedy": "entropy", "new_weight": 0.03, "demo": None}
    assert describe_remedy(record) == "remedy: entropy, new weight 0.03"
    assert describe_remedy({"kind": "remedy", "update": 3}) == "remedy: unnamed"
