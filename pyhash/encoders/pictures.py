"""Pictures as PIL images."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhash._extras import require
from pyhash._inputs.checks import check_integer
from pyhash._inputs.paths import check_path
from pyhash.encoders.items import is_pil_image

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 1 << 26
_MAX_FILE_BYTES = 1 << 28
# PIL hands others, such as EPS, to programs that it starts.
_FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")


def open_picture(item: Any, name: str = "item", *, max_pixels: int = MAX_PIXELS) -> Image:
    """Return a picture as a PIL image of mode RGB.

    A file is turned upright as its EXIF orientation says. What is transparent becomes white. Of several frames it is
    the first one. Gray values of 16 bits become those of 8.

    Parameters
    ----------
    item : path-like, bytes, PIL.Image.Image or ndarray
        A file, the content of a file, an image, or an array (h, w, 3) or (h, w) of uint8. Files are of AVIF, BMP, GIF,
        ICO, JPEG, JPEG 2000, PNG, PPM, TIFF or WebP.
    name : str, default="item"
        What messages call the item.
    max_pixels : int, default=2**26
        Number of pixels that a picture has at most. A small file can hold a picture that fills the memory.

    Returns
    -------
    PIL.Image.Image
        Of mode RGB.

    Raises
    ------
    ImportError
        If pillow is not installed.
    TypeError
        If `item` is none of these, or `name` not a str, or empty.
    ValueError
        If the picture cannot be read, or has no pixels or more than `max_pixels`; the message names the file.
    OSError
        If the file cannot be opened.

    Examples
    --------
    >>> import numpy as np
    >>> from pyhash.encoders import open_picture
    >>> open_picture(np.zeros((2, 3), np.uint8)).size
    (3, 2)
    """
    library = require("PIL.Image", "pictures", "image")
    max_pixels = check_integer("max_pixels", max_pixels, 1)
    if not isinstance(name, str) or not name:
        raise TypeError(f"name must be a str that is not empty, got {name!r}")
    if isinstance(item, np.ndarray):
        return _of_array(library, item, name, max_pixels)
    if is_pil_image(item):
        return _of_image(library, item, name, max_pixels)
    if isinstance(item, bytes):
        return _of_file(library, item, name, max_pixels)
    if not isinstance(item, (str, os.PathLike)):
        wanted = "a path, a PIL image, an array of uint8 or the bytes of a file"
        raise TypeError(f"{name} must be {wanted}, got {type(item).__name__}")
    path = check_path(name, item)
    return _of_file(library, file_content(path, name), f"{name} ({path})", max_pixels)


def file_content(path: str | os.PathLike[str], name: str) -> bytes:
    """Return the content of a file of a picture.

    Raises
    ------
    ValueError
        If it is not a regular file, or is of more than 256 MiB.
    OSError
        If it cannot be read.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{name} must be a picture, got {os.fspath(path)}, which is not a regular file")
    if status.st_size > _MAX_FILE_BYTES:
        raise ValueError(
            f"{name} must be a picture of at most {_MAX_FILE_BYTES} bytes, got {os.fspath(path)} of {status.st_size}"
        )
    with open(path, "rb") as file:
        return file.read()


def _of_array(library: Any, array: np.ndarray[Any, Any], name: str, max_pixels: int) -> Image:
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        raise TypeError(
            f"{name} must be an array of shape (h, w, 3) or (h, w), uint8, got {array.dtype} of shape {array.shape}"
        )
    _check_size((array.shape[1], array.shape[0]), name, max_pixels)
    image: Image = library.fromarray(np.ascontiguousarray(array)).convert("RGB")
    return image


def _of_file(library: Any, content: bytes, name: str, max_pixels: int) -> Image:
    library.init()
    with _reading(name):
        image = library.open(io.BytesIO(content), formats=[each for each in _FORMATS if each in library.OPEN])
    return _of_image(library, image, name, max_pixels)


def _of_image(library: Any, image: Any, name: str, max_pixels: int) -> Image:
    _check_size(image.size, name, max_pixels)
    with _reading(name):
        upright = require("PIL.ImageOps", "pictures", "image").exif_transpose(image)
    if upright.mode in ("I", "F"):
        raise ValueError(f"{name} must be a picture of 8 or 16 bits a channel, got one of mode {upright.mode!r}")
    with _reading(name):
        return _as_rgb(library, upright)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Turn every error of the block into a ValueError that names the picture."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # a damaged file fails in many ways: syntax, struct, size, values
        reason = str(error) or type(error).__name__
        if type(error).__name__ == "UnidentifiedImageError":  # its message names an object of Python
            reason = f"it is of none of the formats {', '.join(_FORMATS)}"
        raise ValueError(f"{name} must be a picture that can be read: {reason}") from error


def _check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    width, height = size
    if not 0 < width * height <= max_pixels:
        raise ValueError(f"{name} must be a picture of 1 to {max_pixels} pixels, got {width} x {height}")


def _as_rgb(library: Any, image: Any) -> Image:
    if image.mode.startswith("I;16"):
        # PIL would cut values above 255 off.
        gray = np.asarray(image).astype(np.uint16, copy=False) >> 8
        image = library.fromarray(gray.astype(np.uint8))
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        image = library.alpha_composite(library.new("RGBA", clear.size, "white"), clear)
    rgb: Image = image.convert("RGB")
    return rgb
