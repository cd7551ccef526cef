"""Films: pictures to an MP4, and the panels that a climb's film is made of."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.errors import DemoCurriculumError

if TYPE_CHECKING:
    from PIL import Image, ImageFont

FPS = 30
FRAMES_A_SECOND = 60
"""Of the emulator."""
FRAMES_A_PICTURE = FRAMES_A_SECOND // FPS
SCREEN = (400, 316)
"""A television's 4 to 3, near enough, for Atari's 160 by 210."""
MARGIN = 20
HEAD, FOOT, FOOT_WITHOUT_BAR = 76, 108, 40
INK, QUIET, PAPER, TRACK = "#f2f3f5", "#9aa3b2", "#14171c", "#3a414d"
ACCENT, REWARD, LOSS, GOOD = "#6db3e8", "#f0b93a", "#ff7a70", "#5fd38d"


class FilmWriter:
    """Writes pictures, RGB u8 (height, width, 3) with even sides, as an MP4 that appears whole or not at all.

    Use as a context manager.

    Raises:
        DemoCurriculumError: PyAV is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            import av
        except ImportError as error:
            raise DemoCurriculumError("a film needs PyAV: pip install 'demo-curriculum[film]'") from error
        self._video_frame = av.VideoFrame
        self._path = path
        self._temporary = path.with_name(f".{path.name}.tmp")
        self._container = av.open(str(self._temporary), "w", format="mp4", options={"movflags": "+faststart"})
        self._stream: Any = None
        self.pictures = 0

    def add(self, picture: NDArray[np.uint8]) -> None:
        if self._stream is None:
            self._stream = self._container.add_stream("libx264", rate=FPS, options={"crf": "22", "preset": "veryfast"})
            self._stream.height, self._stream.width = picture.shape[:2]
            self._stream.pix_fmt = "yuv420p"
        frame = self._video_frame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.pts, frame.time_base = self.pictures, Fraction(1, FPS)
        self._container.mux(self._stream.encode(frame))
        self.pictures += 1

    def __enter__(self) -> FilmWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None and self._stream is not None:
                self._container.mux(self._stream.encode())
            self._container.close()
            if error is None:
                with self._temporary.open("rb") as file:
                    os.fsync(file.fileno())
                self._temporary.replace(self._path)
        finally:
            self._temporary.unlink(missing_ok=True)


class Panel:
    """Draws one picture of a film: screens side by side under a heading, over the demo as a bar.

    Args:
        demo: an entry of a run record's ``demos``.
        heading: above everything.
        names: of the screens, from left to right.
        bar: whether there is room for the demo as a bar.

    Raises:
        DemoCurriculumError: Pillow is not installed.
    """

    def __init__(self, demo: dict[str, Any], heading: str, names: Sequence[str], *, bar: bool = True) -> None:
        try:
            from PIL import Image, ImageDraw, ImageFont
        except ImportError as error:
            raise DemoCurriculumError("a film needs Pillow: pip install 'demo-curriculum[film]'") from error
        self._image, self._draw_on = Image, ImageDraw.Draw
        self._large, self._small = _font(ImageFont, 19), _font(ImageFont, 15)
        self._demo = demo
        self._heading = heading
        self._names = names
        self.width = MARGIN + len(names) * (SCREEN[0] + MARGIN)
        self.height = HEAD + SCREEN[1] + (FOOT if bar else FOOT_WITHOUT_BAR)

    def draw(
        self,
        screens: Sequence[NDArray[np.uint8]],
        subheading: str,
        captions: Sequence[tuple[str, str]],
        *,
        segments: Sequence[Sequence[int]] = (),
        position: int = 0,
        note: str = "",
    ) -> NDArray[np.uint8]:
        """One picture.

        Args:
            screens: RGB pictures of any size.
            subheading: what is shown; it has two lines, of some 50 characters for each screen.
            captions: text and colour under each screen.
            segments: [begin, goal, frontier] of each, for the demo as a bar; without any there is no bar.
            position: where along the demo the moment is, in demo steps.
            note: beside the bar.
        """
        picture = self._image.new("RGB", (self.width, self.height), PAPER)
        draw = self._draw_on(picture)
        draw.text((MARGIN, 8), self._heading, INK, self._large)
        draw.text((MARGIN, 34), self._wrapped(draw, subheading), QUIET, self._small, spacing=3)
        for index, (screen, name, (caption, colour)) in enumerate(zip(screens, self._names, captions, strict=True)):
            left = MARGIN + index * (SCREEN[0] + MARGIN)
            shown: Image.Image = self._image.fromarray(screen).resize(SCREEN, self._image.Resampling.NEAREST)
            picture.paste(shown, (left, HEAD))
            draw.text((left, HEAD + SCREEN[1] + 8), name, INK, self._small)
            offset = draw.textlength(f"{name}  ", self._small)
            draw.text((left + offset, HEAD + SCREEN[1] + 8), caption, colour, self._small)
        if segments:
            self._bar(draw, segments, position, note)
        return np.asarray(picture)

    def _wrapped(self, draw: Any, text: str) -> str:
        lines = [""]
        for word in text.split():
            longer = f"{lines[-1]} {word}".lstrip()
            if draw.textlength(longer, self._small) <= self.width - 2 * MARGIN:
                lines[-1] = longer
            else:
                lines.append(word)
        return "\n".join(lines)

    def _bar(self, draw: Any, segments: Sequence[Sequence[int]], position: int, note: str) -> None:
        top, right = HEAD + SCREEN[1] + 52, self.width - MARGIN
        length = self._demo["length"]

        def x(step: float) -> float:
            return float(MARGIN + (right - MARGIN) * min(max(step / length, 0), 1))

        draw.rectangle((MARGIN, top, right, top + 8), TRACK)
        for _, goal, frontier in segments:
            draw.rectangle((x(frontier), top, x(goal), top + 8), ACCENT)
        for step in self._demo.get("lives_lost") or ():
            draw.text((x(step), top + 4), "×", LOSS, self._small, anchor="mm")
        for step, reward in self._demo["rewards"]:
            centre = x(step)
            draw.ellipse((centre - 5, top - 1, centre + 5, top + 9), REWARD if reward > 0 else LOSS, PAPER)
        for _, _, frontier in segments:
            draw.rectangle((x(frontier) - 1, top - 8, x(frontier) + 1, top + 16), INK)
        now = x(position)
        draw.polygon(((now, top - 3), (now - 6, top - 13), (now + 6, top - 13)), GOOD)
        about = f"the demo: {length:,} steps, {self._demo['score']:,g} points; blue: trained"
        draw.text((MARGIN, top + 20), about, QUIET, self._small)
        draw.text((right - draw.textlength(note, self._small), top + 20), note, INK, self._small)


def _font(fonts: Any, size: int) -> ImageFont.FreeTypeFont:
    return fonts.load_default(size)  # type: ignore[no-any-return]
