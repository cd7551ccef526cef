"""Key maps, from names of actions and from Gymnasium's form."""

import pytest

from demo_curriculum.recording.keymap import COMMANDS, Held, keymap_of
from demo_curriculum.simulators import make_simulator

RIGHT, LEFT = 1073741903, 1073741904


class Named:
    def __init__(self, *meanings, keys=None):
        self.action_meanings = meanings
        if keys is not None:
            self.get_keys_to_action = lambda: keys


def meaning(keymap, *buttons):
    action = keymap.action(buttons)
    return None if action is None else keymap.meanings[action]


@pytest.fixture(scope="module")
def montezuma():
    return keymap_of(make_simulator("ALE/MontezumaRevenge-v5"))


def test_every_ale_action_is_played_by_what_its_name_says(montezuma):
    assert len(montezuma.actions) == 18
    for buttons, name in [
        ((), "NOOP"),
        (("fire",), "FIRE"),
        (("up", "right", "fire"), "UPRIGHTFIRE"),
        (("fire", "left", "down"), "DOWNLEFTFIRE"),
    ]:
        assert meaning(montezuma, *buttons) == name


def test_of_two_opposite_directions_the_later_counts(montezuma):
    assert meaning(montezuma, "left", "right") == "RIGHT"
    assert meaning(montezuma, "right", "fire", "left") == "LEFTFIRE"


def test_what_a_game_lacks_falls_back_to_most_of_it():
    keymap = keymap_of(Named("NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE"))
    assert meaning(keymap, "up") == "NOOP"
    assert meaning(keymap, "up", "right", "fire") == "RIGHTFIRE"
    # LEFTFIRE is none of its actions: the one pressed last.
    assert meaning(keymap, "left", "fire") == "FIRE"
    assert meaning(keymap, "fire", "left") == "LEFT"


def test_keys_of_the_hand(montezuma):
    assert {key: montezuma.buttons[key] for key in ("w", "a", "s", "d", "up", "left", "down", "right", "space")} == {
        "w": "up",
        "a": "left",
        "s": "down",
        "d": "right",
        "up": "up",
        "left": "left",
        "down": "down",
        "right": "right",
        "space": "fire",
    }


def test_actions_whose_names_say_nothing_get_numbers_and_a_game_without_idleness_waits():
    keymap = keymap_of(Named("turn left", "turn right", "forward", "pickup", "drop"))
    assert keymap.action([]) is None
    assert (meaning(keymap, "left"), meaning(keymap, "up")) == ("turn left", "forward")
    assert (meaning(keymap, "1"), meaning(keymap, "2")) == ("pickup", "drop")
    assert ("1", "pickup") in keymap.help()
    chain = keymap_of(make_simulator("LockedChain-3"))
    assert (meaning(chain), meaning(chain, "1"), meaning(chain, "3")) == ("NOOP", "RED", "BLUE")


def test_two_actions_of_one_name_are_both_within_reach():
    keymap = keymap_of(Named("NOOP", "left engine", "main engine", "left wing"))
    assert sorted(keymap.actions.values()) == [0, 1, 2, 3]


def test_gymnasiums_own_key_map_is_taken_in_all_its_forms():
    keymap = keymap_of(Named("none", "a", "b", "c", keys={(): 0, "w": 1, (ord("d"), ord(" ")): 2, (LEFT,): 3}))
    assert [keymap.action(held) for held in ([], ["w"], ["space", "d"], ["left"])] == [0, 1, 2, 3]
    # The arrow stands for the letter that the game has, and the letter for the arrow.
    assert (keymap.buttons["up"], keymap.buttons["right"], keymap.buttons["a"]) == ("w", "d", "left")


def test_a_letter_that_the_game_uses_is_the_games_and_the_command_has_another_key():
    keymap = keymap_of(Named("none", "reload", keys={(): 0, "r": 1}))
    assert "r" not in keymap.commands
    assert keymap.commands["backspace"] == "back"
    for command in COMMANDS:
        others = [key for key in command.keys if not (len(key) == 1 and key.isalnum())]
        assert others, f"{command.name} is on letters only, which a game may use"


def test_a_tap_between_two_steps_counts_once():
    held = Held()
    held.press("d", "right")
    held.release("d")
    assert held.fresh and held.take() == ["right"]
    assert held.take() == []
    held.press("d", "right")
    assert (held.take(), held.take()) == (["right"], ["right"])


def test_two_keys_of_one_button_hold_it_until_both_are_up():
    held = Held()
    held.press("d", "right")
    held.press("right", "right")
    held.release("d")
    held.take()
    assert held.buttons == ["right"]
    held.release("right")
    assert held.buttons == []
