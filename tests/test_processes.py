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

spec = make_simulator("{game}").spec
pool = ProcessPoolExecutor(2, multiprocessing.get_context("spawn"), initializer={initializer}, initargs=({arguments}))
print(pool.submit(os.getpid).result() != os.getpid(), flush=True)
{end}
"""

both = pytest.mark.parametrize(
    ("initializer", "arguments"), [("search._begin", "spec, 'game', 1, 1.0"), ("verification._begin", "spec,")]
)


@both
def test_the_processes_of_a_pool_end_with_the_one_that_started_them(initializer, arguments):
    end = "os.kill(os.getpid(), signal.SIGKILL)"
    code = POOL.format(game="LockedChain-3", initializer=initializer, arguments=arguments, end=end)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        # Its end is read when the last process that could write is gone.
        assert process.communicate(timeout=20)[0] == "True\n"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -9


@both
def test_the_processes_of_a_pool_end_without_a_complaint_of_the_emulators(initializer, arguments):
    end = "pool.shutdown()"
    code = POOL.format(game="ALE/MontezumaRevenge-v5", initializer=initializer, arguments=arguments, end=end)
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert (process.stdout, process.stderr) == ("True\n", "")
