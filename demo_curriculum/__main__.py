"""``python -m demo_curriculum`` is ``demo-curriculum``."""

import sys

from demo_curriculum.cli.main import main

sys.exit(main())
