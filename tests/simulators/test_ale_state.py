import struct
import subprocess
import sys
from pathlib import Path

import ale_py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo_curriculum.simulators import SnapshotError, make_simulator
from demo_curriculum.simulators.ale import CRASHING_ROMS, rom_md5
from demo_curriculum.simulators.ale_state import FALSE, TRUE, convert_old_state, old_rom_md5, parse_state

ROOT = Path(__file__).parents[2]
GAMES = [game for game in ale_py.roms.get_all_rom_ids() if game not in CRASHING_ROMS]


def states_of(game, steps=120, every=20):
    """(state, RAM, frame) along a random game, straight from the emulator."""
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setInt("random_seed", 0)
    ale.loadROM(ale_py.roms.get_rom_path(game))
    actions = ale.getMinimalActionSet()
    rng = np.random.default_rng(0)
    for step in range(steps):
        if step % every == 0 or step < 3:
            yield bytes(ale.cloneState().serialize()), bytes(ale.getRAM()), ale.getEpisodeFrameNumber()
        ale.act(actions[rng.integers(len(actions))])
        if ale.game_over():
            ale.reset_game()


@pytest.fixture(scope="module")
def montezuma():
    return [state for state, _, _ in states_of("montezuma_revenge")]


MD5 = rom_md5("montezuma_revenge")


def words_of(state, name, count):
    """Byte position of the first of the words that follow the component's name."""
    position = state.index(name, 6000) + len(name)
    return position, struct.unpack_from(f"<{count}I", state, position)


def with_word(state, position, value):
    return state[:position] + struct.pack("<I", value) + state[position + 4 :]


def refuses(state, match):
    with pytest.raises(SnapshotError, match=match) as caught:
        parse_state(state, rom_md5=MD5)
    assert "\n" not in str(caught.value)


def test_every_real_state_of_every_game_is_accepted():
    assert len(GAMES) > 100
    for game in GAMES:
        layouts = set()
        for state, ram, frame in states_of(game):
            parsed = parse_state(state, rom_md5=rom_md5(game))
            assert (parsed.ram, parsed.episode_frame) == (ram, frame), game
            layouts.add(parsed.layout)
        assert len(layouts) == 1, game


def test_the_fields_of_a_state():
    simulator = make_simulator("ALE/MontezumaRevenge-v5")
    simulator.play([0] * 7)
    parsed = parse_state(simulator.save(), rom_md5=MD5)
    assert parsed.episode_frame == 7
    assert (parsed.mode, parsed.difficulty, parsed.paddle_limits) == (0, 0, (27450, 790196))
    assert len(parsed.rng.split()) == 625
    assert parsed.layout[0] == "CartridgeE0"
    assert parsed.ram == bytes(simulator.observe())


def test_a_state_of_another_rom_is_named(montezuma):
    other = next(states_of("pong"))[0]
    refuses(other, rf"ROM '{rom_md5('pong')}', the installed one is {MD5}")


def test_every_state_cut_short_is_refused(montezuma):
    for size in range(0, len(montezuma[0]), 37):
        refuses(montezuma[0][:size], "the state")


def test_what_is_left_over_is_refused(montezuma):
    refuses(montezuma[0] + b"\0", "1 bytes too many")
    refuses(montezuma[0] * 20, "more than the 65536")


def test_a_forged_ram_length_is_refused(montezuma):
    position, words = words_of(montezuma[0], b"M6532", 2)
    assert words[0] == 128
    refuses(with_word(montezuma[0], position, 129), "0x81 as word 0 of its M6532")
    refuses(with_word(montezuma[0], position, 127), "length 127 as word 0 of its M6532")


def test_a_ram_byte_above_255_is_refused(montezuma):
    position, _ = words_of(montezuma[0], b"M6532", 2)
    refuses(with_word(montezuma[0], position + 4, 256), "0x100 as word 1 of its M6532")


def test_banks_beyond_the_cartridge_are_refused(montezuma):
    position, words = words_of(montezuma[0], b"CartridgeE0", 5)
    assert words[0] == 4
    assert max(words[1:]) <= 7
    refuses(with_word(montezuma[0], position + 4, 8), "word 1 of its CartridgeE0")
    refuses(with_word(montezuma[0], position, 3), "length 3 as word 0 of its CartridgeE0")


def test_a_boolean_that_is_none_is_refused(montezuma):
    position, words = words_of(montezuma[0], b"M6502Low", 14)
    assert all(word in (TRUE, FALSE) for word in words[6:13])
    refuses(with_word(montezuma[0], position + 6 * 4, 1), "word 6 of its M6502Low")


def test_display_clocks_that_disagree_are_refused(montezuma):
    position, _ = words_of(montezuma[0], b"TIA", 4)
    refuses(with_word(montezuma[0], position + 8, 10_000_000), "display clocks contradict")


def test_a_random_generator_that_is_none_is_refused(montezuma):
    state = montezuma[0]
    digit = state.index(b"System") + 20
    refuses(state[:digit] + b"x" + state[digit + 1 :], "625 numbers")
    refuses(state[:digit] + b" " + state[digit + 1 :], "625 numbers")


def test_a_state_saved_with_its_random_generator_is_refused():
    ale = ale_py.ALEInterface()
    ale.loadROM(ale_py.roms.get_rom_path("montezuma_revenge"))
    refuses(bytes(ale.cloneState(include_rng=True).serialize()), "the state")

    simulator = make_simulator("ALE/MontezumaRevenge-v5")
    state = simulator.save()
    inner_end = 28 + struct.unpack_from("<I", state, 24)[0]
    refuses(with_word(state, inner_end - 4, TRUE), "saved without its random generator")


def test_a_state_laid_out_as_no_state_of_the_game_is_not_restored():
    simulator = make_simulator("ALE/MontezumaRevenge-v5")
    simulator.play([0] * 9)
    before = simulator.save()
    game_over = before.rindex(struct.pack("<I", FALSE), 0, len(before) - 12)
    forged = with_word(before, game_over, 1)
    parse_state(forged, rom_md5=MD5)
    with pytest.raises(SnapshotError, match="not laid out as those of ALE/MontezumaRevenge-v5"):
        simulator.restore(forged)
    assert simulator.save() == before


@given(st.data())
def test_whatever_the_bytes_only_a_snapshot_error_comes_out(montezuma, data):
    state = bytearray(montezuma[data.draw(st.integers(0, len(montezuma) - 1))])
    for _ in range(data.draw(st.integers(1, 4))):
        begin = data.draw(st.integers(0, len(state) - 1))
        state[begin : begin + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    try:
        parse_state(bytes(state), rom_md5=MD5)
    except SnapshotError as error:
        assert "\n" not in str(error)


def test_no_mutant_that_passes_ends_the_process():
    code = """
import numpy as np
from demo_curriculum.simulators import SnapshotError, make_simulator
rng = np.random.default_rng(0)
passed = refused = 0
for game in ("MontezumaRevenge", "Pitfall2", "Klax", "Qbert"):
    simulator = make_simulator(f"ALE/{game}-v5")
    for _ in range(80):
        simulator.reset()
        simulator.play(rng.integers(simulator.action_count, size=int(rng.integers(1, 200))).tolist())
        state = bytearray(simulator.save())
        tail = int(rng.integers(0, 2))
        for position in rng.integers(6800 * tail, len(state), size=2):
            state[position] = rng.choice([0, 1, 127, 128, 255, rng.integers(256)])
        try:
            simulator.restore(bytes(state))
        except SnapshotError:
            refused += 1
            continue
        passed += 1
        simulator.play([0] * 5)
assert passed > 20 and refused > 20, (passed, refused)
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, (result.returncode, result.stderr)


def old_format(state, md5):
    """A new state as the old versions serialized it, made by hand after the layouts in the module's docstring."""
    header, size = state[:16], struct.unpack_from("<I", state, 24)[0]
    inner = state[28 : 28 + size]
    cycles_end = 36 + 10 + 4
    rng_size = struct.unpack_from("<I", inner, cycles_end)[0]
    rest = inner[cycles_end + 4 + rng_size : -4]
    old = struct.pack("<I", FALSE) + struct.pack("<I", 32) + md5.encode() + inner[36:cycles_end] + rest
    return header + struct.pack("<I", len(old)) + old


def test_an_old_state_converts_to_the_new_one(montezuma):
    template = parse_state(montezuma[-1], rom_md5=MD5)
    for state in montezuma:
        assert convert_old_state(old_format(state, MD5), template) == state


def test_an_old_state_of_another_rom_becomes_one_of_the_installed(montezuma):
    template = parse_state(montezuma[0], rom_md5=MD5)
    old = old_format(montezuma[0], "0" * 32)
    assert old_rom_md5(old) == "0" * 32
    assert convert_old_state(old, template) == montezuma[0]


def test_an_old_state_of_another_game_is_refused(montezuma):
    template = parse_state(next(states_of("pong"))[0], rom_md5=rom_md5("pong"))
    with pytest.raises(SnapshotError, match="another game"):
        convert_old_state(old_format(montezuma[0], MD5), template)
    with pytest.raises(SnapshotError):
        convert_old_state(montezuma[0], template)
