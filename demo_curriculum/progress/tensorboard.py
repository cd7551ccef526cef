"""The progress of a run as TensorBoard events."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.progress.writers import Histogram

PICTURES = 300
"""Most pictures of an animation."""
MOST_PICTURES_A_SECOND = 5.0
ANIMATION_WIDTH = 430


class TensorBoardWriter:
    """Writes event files. Implements ``Writer``.

    Args:
        folder: where the event files go.
        resume_at: agent steps of the checkpoint from which the run goes on; later points are dropped by TensorBoard.

    Raises:
        DemoCurriculumError: tensorboard is not installed.
    """

    def __init__(self, folder: Path, *, resume_at: int | None = None) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise DemoCurriculumError(
                "TensorBoard events need tensorboard: pip install 'demo-curriculum[tensorboard]'"
            ) from error
        self._writer = SummaryWriter(str(folder), purge_step=resume_at)

    def scalars(self, values: Mapping[str, float], agent_steps: int) -> None:
        for tag, value in values.items():
            self._writer.add_scalar(tag, value, agent_steps)

    def histogram(self, tag: str, histogram: Histogram, agent_steps: int) -> None:
        counts, edges = histogram
        middles = (edges[:-1] + edges[1:]) / 2
        self._writer.add_histogram_raw(
            tag,
            min=edges[0],
            max=edges[-1],
            num=counts.sum(),
            sum=(counts * middles).sum(),
            sum_squares=(counts * middles**2).sum(),
            bucket_limits=edges[1:].tolist(),
            bucket_counts=counts.tolist(),
            global_step=agent_steps,
        )

    def film(self, tag: str, path: Path, agent_steps: int) -> None:
        """Takes in an MP4 as an animation among the images: TensorBoard plays no other films."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        height, animation = _animated(path)
        image = Summary.Image(height=height, width=ANIMATION_WIDTH, colorspace=3, encoded_image_string=animation)
        summary = Summary(value=[Summary.Value(tag=tag, image=image)])
        self._writer.file_writer.add_summary(summary, agent_steps)  # type: ignore[attr-defined]

    def close(self) -> None:
        self._writer.close()


def _animated(path: Path) -> tuple[int, bytes]:
    """An MP4's height once scaled down, and all of it as a GIF of fewer pictures in the same time."""
    import av
    from PIL import Image

    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        rate = float(stream.average_rate or 1)
        stride = max(round(rate / MOST_PICTURES_A_SECOND), -(-stream.frames // PICTURES), 1)
        height = round(stream.height * ANIMATION_WIDTH / stream.width)
        # The usual palette, by median cut, loses what is small: the player.
        pictures = [
            Image.fromarray(np.asarray(frame.to_ndarray(format="rgb24")))
            .resize((ANIMATION_WIDTH, height))
            .quantize(method=Image.Quantize.MAXCOVERAGE)
            for number, frame in enumerate(film.decode(stream))
            if number % stride == 0
        ]
    drawn = io.BytesIO()
    milliseconds = round(1000 * stride / rate)
    pictures[0].save(drawn, "GIF", save_all=True, append_images=pictures[1:], duration=milliseconds, loop=0)
    return height, drawn.getvalue()
