import io

from rich.console import Console

from demo_curriculum.progress.terminal import TrainingDisplay


def show(climb, *, terminal):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=120, height=40)
    with TrainingDisplay(climb[0], console) as display:
        display.message("resumed from update 0")
        for record in climb[1:]:
            if record["kind"] == "update":
                display.update(record)
            elif record["kind"] == "move":
                display.event(record)
    return screen.getvalue()


def test_elsewhere_than_on_a_terminal_it_prints_few_plain_lines(climb):
    lines = show(climb, terminal=False).splitlines()
    assert lines[0].startswith("ALE/MontezumaRevenge-v5, demo of 380 steps")
    assert lines[2] == "resumed from update 0"
    # 60 updates in far less than the seconds between two lines: the first one and the last.
    assert len(lines) == 5
    assert "frontier 340 of 380" in lines[3]
    assert "frontier 0 of 380" in lines[4]


def test_a_terminal_gets_the_bar_the_figures_and_the_last_moves(climb):
    shown = show(climb, terminal=True)
    last = shown[shown.rindex("ALE/MontezumaRevenge") :]
    assert "┃" in last and "●" in last
    assert "from reset 50 % of 60" in last
    assert "advance 7 → 0 at 31 % ties of 64" in last
    assert "\x1b[?25h" in shown  # the cursor is given back


def test_the_display_ends_when_training_fails(climb):
    screen = io.StringIO()
    try:
        with TrainingDisplay(climb[0], Console(file=screen, force_terminal=True)):
            raise RuntimeError
    except RuntimeError:
        pass
    assert "\x1b[?25h" in screen.getvalue()
