import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest

from demo_curriculum.cli import main as cli
from demo_curriculum.errors import DemoCurriculumError, MismatchError, UsageError

ROOT = Path(__file__).parents[2]


def run(*arguments, **kwargs):
    return subprocess.run(
        [sys.executable, "-m", "demo_curriculum", *arguments], capture_output=True, text=True, cwd=ROOT, **kwargs
    )


@pytest.fixture
def fake(monkeypatch):
    """A command ``show`` whose body is the given function."""

    def install(body):
        module = types.ModuleType("demo_curriculum.cli.show")
        module.main = body
        monkeypatch.setitem(sys.modules, "demo_curriculum.cli.show", module)

    return install


def test_help_names_every_command():
    result = run("--help")
    assert result.returncode == 0
    assert all(f"\n  {name} " in result.stdout for name in cli.COMMANDS)


@pytest.mark.parametrize("arguments", [(), ("dance",), ("replay",), ("replay", "--no-such-flag")])
def test_wrong_usage_is_exit_code_2_and_leaves_standard_output_empty(arguments):
    result = run(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr != ""


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_of_every_command_needs_neither_torch_nor_hdf5(name):
    code = (
        "import sys\n"
        "from demo_curriculum.cli.main import main\n"
        f"try: main([{name!r}, '--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "loaded = {'torch', 'h5py', 'ale_py', 'matplotlib'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    assert f"usage: demo-curriculum {name}" in result.stdout


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DemoCurriculumError("a.h5: torn\nsecond line"), 1, "error: a.h5: torn second line\n"),
        (UsageError("both --a and --b"), 2, "error: both --a and --b\n"),
        (MismatchError("3 rewards differ"), 3, "error: 3 rewards differ\n"),
        (OSError(28, "No space left on device", "r/log"), 1, "error: No space left on device: r/log\n"),
        (OSError("can't write data\n(file write failed)"), 1, "error: can't write data (file write failed)\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(fake, capsys, error, code, line):
    def body():
        raise error

    fake(body)
    assert cli.main(["show"]) == code
    assert capsys.readouterr().err == line


def test_traceback_is_shown_on_request_wherever_the_flag_stands(fake, capsys):
    def body(name: str):
        raise DemoCurriculumError(f"no {name}")

    fake(body)
    for arguments in (["--traceback", "show", "--name", "x"], ["show", "--name", "x", "--traceback"]):
        assert cli.main(arguments) == 1
        error = capsys.readouterr().err
        assert error.startswith("Traceback")
        assert error.endswith("error: no x\n")


def test_a_command_may_return_its_exit_code(fake):
    fake(lambda: 4)
    assert cli.main(["show"]) == 4
    fake(lambda: None)
    assert cli.main(["show"]) == 0


def test_a_bug_is_not_dressed_up_as_an_error_of_the_user(fake):
    def body():
        raise ZeroDivisionError

    fake(body)
    with pytest.raises(ZeroDivisionError):
        cli.main(["show"])


def test_a_closed_pipe_is_quiet():
    read, write = os.pipe()
    os.close(read)
    result = subprocess.run(
        [sys.executable, "-m", "demo_curriculum", "replay", "--help"], stdout=write, stderr=subprocess.PIPE, cwd=ROOT
    )
    os.close(write)
    assert result.stderr == b""
    assert result.returncode == 1


def test_output_survives_an_encoding_without_the_characters(tmp_path):
    code = (
        "import sys, types\n"
        "from demo_curriculum.cli.main import main\n"
        "module = sys.modules['demo_curriculum.cli.show'] = types.ModuleType('show')\n"
        "module.main = lambda: print('━●')\n"
        "sys.exit(main(['show']))\n"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, cwd=ROOT)
    assert (result.returncode, result.stdout) == (0, b"??\n")


def test_a_real_interrupt_is_exit_code_130():
    code = (
        "import signal, sys, time, types\n"
        "from demo_curriculum.cli.main import main\n"
        # Tests that run in the background of a script inherit that it is ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def wait():\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(30)\n"
        "module = sys.modules['demo_curriculum.cli.show'] = types.ModuleType('show')\n"
        "module.main = wait\n"
        "sys.exit(main(['show']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=20)
    assert (process.returncode, error) == (130, "interrupted\n")
