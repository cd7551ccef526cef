"""HDF5 file <-> Demo, and the readers and writers of other formats."""

from demo_curriculum.store.files import StoreError, refuse_existing, write_file
from demo_curriculum.store.foreign import Recording
from demo_curriculum.store.measure import StoreFigures, measure_store
from demo_curriculum.store.minari import is_minari, read_minari, write_minari
from demo_curriculum.store.npz import read_npy, read_npz, write_npz
from demo_curriculum.store.openai_demo import OpenAIRecording, read_openai_demo
from demo_curriculum.store.reader import DemoSummary, StoredStart, read_demo, read_demos, read_start, summarise
from demo_curriculum.store.repair import Finding, Remains, salvage
from demo_curriculum.store.writer import append_demo, change_demos, write_demos

__all__ = [
    "DemoSummary",
    "Finding",
    "OpenAIRecording",
    "Recording",
    "Remains",
    "StoreError",
    "StoreFigures",
    "StoredStart",
    "append_demo",
    "change_demos",
    "is_minari",
    "measure_store",
    "read_demo",
    "read_demos",
    "read_minari",
    "read_npy",
    "read_npz",
    "read_openai_demo",
    "read_start",
    "refuse_existing",
    "salvage",
    "summarise",
    "write_demos",
    "write_file",
    "write_minari",
    "write_npz",
]
