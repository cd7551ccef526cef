import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

POOL = """
import multiprocessing, os, signal
from concurrent.futures import ProcessPoolExecutor
from demo_curriculum.recording import search, verification
from demo_curriculum.simulators import make_simulator

spec = make_simulator("LockedChain-3").spec
pool = ProcessPoolExecutor(2, multiprocessing.get_context("spawn"), initializer={initializer}, initargs=({arguments}))
print(pool.submit(os.getpid).result() != os.getpid(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("initializer", "arguments"), [("search._begin", "spec, 'game', 1, 1.0"), ("verification._begin", "spec,")]
)
def test_the_processes_of_a_pool_end_with_the_one_that_started_them(initializer, arguments):
    code = POOL.format(initializer=initializer, arguments=arguments)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        # Its end is read when the last process that could write is gone.
        assert process.communicate(timeout=20)[0] == "True\n"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -9
