"""HDF5 file <-> Demo, and the reader of OpenAI's recordings."""

from demo_curriculum.store.files import StoreError, refuse_existing, write_file
from demo_curriculum.store.openai_demo import OpenAIRecording, read_openai_demo
from demo_curriculum.store.reader import DemoSummary, StoredStart, read_demo, read_demos, read_start, summarise
from demo_curriculum.store.repair import Finding, Remains, salvage
from demo_curriculum.store.writer import append_demo, change_demos, write_demos

__all__ = [
    "DemoSummary",
    "Finding",
    "OpenAIRecording",
    "Remains",
    "StoreError",
    "StoredStart",
    "append_demo",
    "change_demos",
    "read_demo",
    "read_demos",
    "read_openai_demo",
    "read_start",
    "refuse_existing",
    "salvage",
    "summarise",
    "write_demos",
    "write_file",
]
