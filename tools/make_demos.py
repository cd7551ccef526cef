"""Makes demos like those that ship: runs the commands that made them, with their seeds (about three minutes).

On another ale-py, numpy or revision of the search the seeds lead to other demos, as good in score but not the same.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

SEARCH = "ALE/MontezumaRevenge-v5 --search --until-score {} --polish-frames 1000000 --seed {}"
DEMOS = {
    "montezuma-key.h5": SEARCH.format(100, 1).split(),
    "montezuma-door.h5": SEARCH.format(400, 0).split(),
}
ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "demos", help="default: %(default)s")
    parser.add_argument("--overwrite", action="store_true", help="replace the demos that are there")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for name, command in DEMOS.items():
        overwrite = ["--overwrite"] if arguments.overwrite else []
        line = [sys.executable, "-m", "demo_curriculum", "record", *command, "-o", str(folder / name), *overwrite]
        code = subprocess.run(line, cwd=ROOT).returncode
        if code:
            sys.exit(code)


if __name__ == "__main__":
    main()
