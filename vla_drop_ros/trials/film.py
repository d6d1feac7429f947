# SPDX-License-Identifier: Apache-2.0
"""Turn recorded trials into an animation with the instruction written into the picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from matplotlib import get_data_path
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vla_drop_ros.types import FloatArray, ImageArray

INK, PAPER, QUIET = (28, 32, 38), (250, 250, 248), (108, 114, 122)
VERDICTS = {'success': (16, 122, 72), 'failure': (176, 42, 48), 'partial': (166, 98, 0)}
GAP = 8
MARGIN = 10


@dataclass(frozen=True, slots=True)
class Recording:
    """Frames of one trial.

    Attributes:
        frames: RGB uint8, shape (T, H, W, 3).
        stamps: capture times, [s] on the node clock, shape (T,), increasing.

    """

    frames: ImageArray
    stamps: FloatArray


@dataclass(frozen=True, slots=True)
class Clip:
    """One episode to be shown.

    Attributes:
        recording: its frames.
        title: which checkpoint, for instance 'baseline 3f2a...'.
        outcome: how it ended; shown once it has.
        duration: from the first frame to the outcome, [s].

    """

    recording: Recording
    title: str
    outcome: str
    duration: float


def compose(clips: Sequence[Clip], instruction: str, period: float = 0.1,
            hold: float = 1.5) -> list[Image.Image]:
    """Return the pictures of an animation, the clips side by side and in step.

    Args:
        clips: episodes on the same scene; one that ends earlier keeps its last frame.
        instruction: what the robot was told, written above.
        period: time between pictures, [s].
        hold: how long the end stays, [s].

    """
    times = [clip.recording.stamps - clip.recording.stamps[0] for clip in clips]
    last = max(float(t[-1]) for t in times) + hold
    pictures = []
    for now in np.arange(0.0, last + period / 2, period):
        frames = [clip.recording.frames[max(0, int(np.searchsorted(t, now + 1e-6)) - 1)]
                  for clip, t in zip(clips, times, strict=True)]
        pictures.append(_picture(clips, frames, instruction, float(now)))
    return pictures


def save_animation(path: str | Path, pictures: Sequence[Image.Image],
                   period: float = 0.1) -> None:
    """Write pictures as an endless GIF, ``period`` [s] a picture, all in one palette."""
    step = max(1, len(pictures) // 8)
    sample = np.concatenate([np.asarray(picture) for picture in pictures[::step]])
    palette = Image.fromarray(sample).quantize(colors=255, method=0)
    frames = [picture.quantize(palette=palette, dither=Image.Dither.NONE)
              for picture in pictures]
    frames[0].save(path, save_all=True, append_images=frames[1:], loop=0, optimize=False,
                   duration=max(20, round(1000 * period)))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf')), size)


def _picture(clips: Sequence[Clip], frames: Sequence[ImageArray], instruction: str,
             now: float) -> Image.Image:
    height, width = frames[0].shape[:2]
    small, large = _font(max(11, height // 22)), _font(max(13, height // 17))
    top, bottom = height // 9, height // 9
    total = len(frames) * width + (len(frames) - 1) * GAP
    picture = Image.new('RGB', (total, top + height + bottom), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, top / 2), f'“{instruction}”', INK, large, anchor='lm')
    for index, (clip, frame) in enumerate(zip(clips, frames, strict=True)):
        left = index * (width + GAP)
        picture.paste(Image.fromarray(frame), (left, top))
        middle = top + height + bottom / 2
        draw.text((left + MARGIN, middle), clip.title, INK, small, anchor='lm')
        done = now >= clip.duration
        text = f'{clip.outcome} after {clip.duration:.1f} s' if done else f'{now:.1f} s'
        colour = VERDICTS.get(clip.outcome, QUIET) if done else QUIET
        draw.text((left + width - MARGIN, middle), text, colour, small, anchor='rm')
    return picture
