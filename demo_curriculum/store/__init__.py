"""HDF5 file <-> Demo, and the reader of OpenAI's recordings."""

from demo_curriculum.store.files import StoreError, refuse_existing
from demo_curriculum.store.openai_demo import OpenAIRecording, read_openai_demo
from demo_curriculum.store.reader import DemoSummary, read_demo, read_demos, summarise
from demo_curriculum.store.writer import append_demo, write_demos

__all__ = [
    "DemoSummary",
    "OpenAIRecording",
    "StoreError",
    "append_demo",
    "read_demo",
    "read_demos",
    "read_openai_demo",
    "refuse_existing",
    "summarise",
    "write_demos",
]
