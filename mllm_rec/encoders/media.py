"""Sounds and films as arrays, read by PyAV."""

from typing import IO, Any

import numpy as np

#: Frames at most that are decoded of one film: a file can be made to hold days.
_MOST_FRAMES = 20_000


def sound_of(file: IO[bytes], rate: int, seconds: float) -> np.ndarray:
    """The beginning of a sound, ``(samples,)`` float32 in [-1, 1], one channel at ``rate`` samples a second.

    Args:
        file: in any format FFmpeg reads; of a film, its sound.
        rate: samples a second.
        seconds: at most.

    Raises:
        ValueError: no sound, a broken or an empty one; the message says which.
    """
    import av
    from av.audio.resampler import AudioResampler

    most, parts, length = int(seconds * rate), [], 0
    try:
        with av.open(file, "r") as container:
            if not container.streams.audio:
                raise ValueError("has no sound")
            resampler = AudioResampler(format="flt", layout="mono", rate=rate)
            for frame in container.decode(container.streams.audio[0]):
                for part in resampler.resample(frame):
                    parts.append(part.to_ndarray()[0])
                    length += len(parts[-1])
                if length >= most:
                    break
            if length < most:
                parts += [part.to_ndarray()[0] for part in resampler.resample(None)]
    except (av.FFmpegError, OSError) as error:
        if not parts and not isinstance(error, av.EOFError):
            raise ValueError(f"can't be read as sound: {_said(error)}") from error
    samples = np.concatenate(parts)[:most] if parts else np.zeros(0, np.float32)
    if not len(samples):
        raise ValueError("has a sound of zero length")
    return np.ascontiguousarray(samples, dtype=np.float32)


def frames_of(file: IO[bytes], count: int, side: int) -> list[Any]:
    """``count`` frames of a film at equal distances, RGB pictures, the longest side at most ``side`` pixels.

    A film of fewer frames repeats them.

    Raises:
        ValueError: no film, a broken one, or one without a frame; the message says which.
    """
    import av

    kept: list[Any] = []
    stride = 1  # every stride-th frame is kept; twice as sparse when too many are
    try:
        with av.open(file, "r") as container:
            if not container.streams.video:
                raise ValueError("has no pictures")
            for number, frame in enumerate(container.decode(container.streams.video[0])):
                if number >= _MOST_FRAMES:
                    break
                if number % stride == 0:
                    picture = frame.to_image()
                    picture.thumbnail((side, side))
                    kept.append(picture)
                if len(kept) > 4 * count:
                    kept, stride = kept[::2], 2 * stride
    except (av.FFmpegError, OSError) as error:
        if not kept and not isinstance(error, av.EOFError):
            raise ValueError(f"can't be read as film: {_said(error)}") from error
    if not kept:
        raise ValueError("has no frame")
    return [kept[place] for place in np.linspace(0, len(kept) - 1, count).round().astype(int)]


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
