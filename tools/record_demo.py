"""Records a demo from a checkout: ``tools/record_demo.py ENV_ID -o D.h5``; arguments as ``demo-curriculum record``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from demo_curriculum.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["record", *sys.argv[1:]]))
