"""The ``demo-curriculum`` command: finds the module of the command asked for, and turns errors into one line."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

from demo_curriculum.errors import DemoCurriculumError

INTERRUPTED = 130


class Command(NamedTuple):
    """A module of ``demo_curriculum.cli`` whose ``main`` runs the command, and one line about it."""

    module: str
    help: str


COMMANDS = {
    "record": Command("record", "record a demo, or let a search find one"),
    "import": Command("import_demo", "turn a demo of another format into a demo file"),
    "verify": Command("verify", "replay demos on the installed simulator and compare"),
    "show": Command("show", "what a demo file holds"),
    "trim": Command("trim", "the first steps of a demo, as a file of its own"),
    "split": Command("split", "cut a demo at rewards, lives or every N steps"),
    "merge": Command("merge", "the demos of several files in one"),
    "rm": Command("rm", "remove demos from a file"),
    "repair": Command("repair", "save what can be saved of a damaged file"),
    "export": Command("export", "demos as Minari or NPZ, or a run with its model card, for others"),
    "train": Command("train", "climb back through a demo; resumes the run it finds"),
    "eval": Command("eval", "play a run's policy from the game's own reset"),
    "replay": Command("replay", "show a run's climb again, in the terminal and as a picture"),
    "compare": Command("compare", "agent steps of several runs to each reward of the demo"),
    "bench": Command("bench", "measure the speed of this machine"),
    "bench store": Command("bench_store", "measure what keeping a demo costs, next to other formats"),
    "bench learn": Command("bench_learn", "measure what the parts of the learning are worth on a demo"),
}


def usage() -> str:
    lines = [f"  {name:11} {command.help}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: demo-curriculum COMMAND [ARGUMENTS]",
            "",
            "Solve hard-exploration games from a single demonstration.",
            "",
            *lines,
            "",
            "demo-curriculum COMMAND --help says more; --traceback shows where an error came from.",
            "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 mismatch found, 4 training stalled, 130 interrupted.",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code.

    Args:
        arguments: what follows the program's name; by default those of this process.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    show_traceback = "--traceback" in given
    given = [argument for argument in given if argument != "--traceback"]
    if not given or given[0] in ("--help", "-h"):
        print(usage(), file=sys.stdout if given else sys.stderr)
        return 0 if given else 2
    # Small matrix products only: a second thread gains nothing and waits for the simulators' cores. Read by numpy and
    # torch as they load, so it is set before.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    words = 2 if " ".join(given[:2]) in COMMANDS else 1
    name, rest = " ".join(given[:words]), given[words:]
    if name == "--version":
        from demo_curriculum import __version__

        print(f"demo-curriculum {__version__}")
        return 0
    if name not in COMMANDS:
        print(f"error: no command {name!r}; there are {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    # Bars and rewards are drawn with characters that not every terminal's encoding has.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        code = run(name, rest)
        # Here rather than at the interpreter's exit, where a closed pipe could no longer be caught.
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except (DemoCurriculumError, OSError) as error:
        if show_traceback:
            traceback.print_exc()
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return error.exit_code if isinstance(error, DemoCurriculumError) else 1


def run(name: str, arguments: Sequence[str]) -> int:
    """Parses the arguments of the command ``name`` and runs it; returns its exit code.

    Raises:
        SystemExit: the arguments were wrong (2) or asked for help (0).
    """
    import tyro

    module = import_module(f"demo_curriculum.cli.{COMMANDS[name].module}")
    code: int | None = tyro.cli(
        module.main,
        prog=f"demo-curriculum {name}",
        args=arguments,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    return code or 0


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return " ".join(str(error).splitlines())
