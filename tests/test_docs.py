"""The README's blocks run, in order, in a folder where only the shipped demos are."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(console|python)\n(.*?)^```$", README, re.M | re.S)
# What takes minutes is cut short: the commands and their output are what is tested here, not the climb.
SHORTER = {"train": ["--agent-steps", "8192"], "eval": ["--episodes", "2"], "record": ["--polish-frames", "0"]}
LIMIT_CAME_FIRST = {"train": 1}


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def test_blocks_run(tmp_path: Path) -> None:
    """All of them in one test, for later ones use what earlier ones made."""
    (tmp_path / "demos").symlink_to(ROOT / "demos")
    assert len(BLOCKS) >= 6
    for kind, block in BLOCKS:
        run_block(kind, block, tmp_path)


def run_block(kind: str, block: str, folder: Path) -> None:
    if kind == "python":
        result = run(["-c", block], folder)
        assert result.returncode == 0, result.stderr
        return
    for line in block.splitlines():
        program, *arguments = shlex.split(line)
        if program.startswith("./tools/"):
            assert os.access(ROOT / program, os.X_OK)
            continue
        assert program == "demo-curriculum"
        result = run(["-m", "demo_curriculum", *arguments, *SHORTER.get(arguments[0], [])], folder)
        assert result.returncode == LIMIT_CAME_FIRST.get(arguments[0], 0), (line, result.stderr)
        assert result.stdout


def test_every_command_is_in_the_readme_or_says_what_it_does() -> None:
    result = run(["-m", "demo_curriculum", "--help"], ROOT)
    commands = re.findall(r"^  (\w+) ", result.stdout, re.M)
    assert {"record", "import", "train", "eval", "replay"} <= set(commands)
    for command in commands:
        helped = run(["-m", "demo_curriculum", command, "--help"], ROOT)
        assert helped.returncode == 0 and "usage" in helped.stdout


def test_paths_in_the_readme_exist() -> None:
    table = README.split("## What is where")[1].split("##")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    for row in rows:
        names, description = row.split("|")[1:3]
        for name in re.findall(r"`([^`]+)`", names):
            place = ROOT / "demo_curriculum" / name
            assert place.exists(), name
            modules = re.findall(r"`(\w+)`", description)
            assert all((place / f"{module}.py").exists() for module in modules), (name, modules)


def test_the_docs_name_no_machine() -> None:
    for path in [ROOT / "README.md", ROOT / "demos" / "README.md"]:
        assert not re.search(r"(?<![\w.])/(root|home|tmp)/", path.read_text(encoding="utf-8"))
