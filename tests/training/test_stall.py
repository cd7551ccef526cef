from demo_curriculum.training.entropy import EntropyControl
from demo_curriculum.training.stall import REMEDIES, Factors, Left, StallWatch


def wait(watch: StallWatch, updates: int, left: int, ties: int = 0) -> list[str | None]:
    return [watch.update(Left(0, left), ties, 0.3) for _ in range(updates)]


def test_remedies_come_one_after_the_other_and_then_it_is_stalled() -> None:
    watch = StallWatch(3)
    assert wait(watch, 1, left=100) == [None]
    # Two updates without progress, then with the third a remedy; to and fro is no progress.
    assert [watch.update(Left(0, left), 0, 0.3) for left in (150, 100, 120)] == [None, None, REMEDIES[0]]
    assert watch.factors == Factors(entropy=3.0, lr=0.5)
    assert wait(watch, 3, 100) == [None, None, REMEDIES[1]]
    assert wait(watch, 3, 100) == [None, None, REMEDIES[2]]
    assert wait(watch, 3, 100) == [None, None, REMEDIES[3]]
    assert watch.factors == Factors(entropy=3.0, lr=0.5, bonus=3.0, imitation=3.0)
    assert wait(watch, 3, 100) == [None, None, REMEDIES[4]]
    assert watch.factors == Factors(entropy=3.0, lr=0.5, bonus=3.0, imitation=3.0, self_imitation=3.0)
    assert not watch.stalled
    assert wait(watch, 2, 100) == [None, None] and not watch.stalled
    wait(watch, 1, 100)
    assert watch.stalled


def test_progress_withdraws_them() -> None:
    watch = StallWatch(2)
    wait(watch, 5, left=100)
    assert watch.tried == 2
    assert watch.update(Left(0, 99), 0, 0.3) is None
    assert watch.factors == Factors() and watch.still == 0
    # At the beginning, ties from the reset are what is gained; with more left they do not count.
    wait(watch, 1, left=0)
    assert wait(watch, 1, left=0, ties=1) == [None] and watch.still == 0
    assert wait(watch, 2, left=20, ties=9) == [None, REMEDIES[0]]


def test_segments_that_tie_more_often_are_progress_too() -> None:
    watch = StallWatch(3)
    for rate in (0.31, 0.32, 0.34):
        watch.update(Left(0, 8), 0, rate)
    assert watch.still == 2
    watch.update(Left(0, 8), 0, 0.36)
    assert watch.still == 0
    watch.update(Left(0, 8), 0, 0.32)
    assert watch.still == 1, "less than ever before"


def test_a_patience_of_0_waits_for_ever() -> None:
    watch = StallWatch(0)
    assert wait(watch, 1000, left=5) == [None] * 1000
    assert not watch.stalled


def test_it_goes_on_where_it_was() -> None:
    watch, other = StallWatch(2), StallWatch(2)
    wait(watch, 4, left=7)
    other.load_state_dict(watch.state_dict())
    for _ in range(10):
        assert watch.update(Left(0, 7), 0, 0.3) == other.update(Left(0, 7), 0, 0.3)
        assert (watch.stalled, watch.factors) == (other.stalled, other.factors)
    assert watch.stalled


def test_a_seam_less_is_progress_whatever_it_brings_back_to_climb() -> None:
    watch = StallWatch(2)
    assert [watch.update(Left(*left), 0, 0.3) for left in ((2, 0), (2, 0), (1, 4000))] == [None] * 3
    assert watch.still == 0
    assert [watch.update(Left(*left), 0, 0.3) for left in ((2, 0), (1, 4001))] == [None, REMEDIES[0]]


def test_what_is_finished_does_not_stall() -> None:
    watch = StallWatch(1)
    wait(watch, 3, left=0, ties=50)
    assert watch.factors != Factors()
    assert [watch.update(Left(0, 0), ties, 0.3, finished=True) for ties in (30, 20, 20, 20, 20)] == [None] * 5
    assert watch.factors == Factors() and not watch.stalled
    assert wait(watch, 1, left=0, ties=20) == [REMEDIES[0]], "unless the ties are lost again"


def test_what_is_left_can_be_counted_anew() -> None:
    watch = StallWatch(2)
    wait(watch, 4, left=100)
    assert watch.tried == 1
    # A cut brings a seam more: without this, worse than ever for as long as it is there.
    watch.begin_anew()
    assert watch.factors == Factors() and not watch.stalled
    assert [watch.update(Left(1, left), 0, 0.3) for left in (101, 99, 98)] == [None] * 3 and watch.still == 0
    entropy = EntropyControl(0.01, patience=1)
    entropy.update(0.05, Left(0, 100), 1.0)
    entropy.update(0.05, Left(0, 100), 1.0)
    assert entropy.weight > 0.01
    entropy.begin_anew()
    for left in (101, 99, 98, 97):
        entropy.update(0.05, Left(1, left), 1.0)
    assert entropy.weight == 0.01
