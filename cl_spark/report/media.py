"""A value of an image or text column as a page shows it."""

import base64
import re
from collections.abc import Mapping
from math import isnan
from typing import Any

from cl_spark.errors import one_line

LONGEST = 2_000
"""Characters of a text that are shown."""
_SIGNATURES = {
    "png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "jpeg": re.compile(rb"\xff\xd8\xff"),
    "gif": re.compile(rb"GIF8[79]a"),
    # two letters begin many a text: after the length come four zeros, an offset and the size of a header
    "bmp": re.compile(rb"BM.{4}\0{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0{3}", re.DOTALL),
    "webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
}
BASE64_BEGINNINGS = ("iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR", "Qk")
"""Beginnings of images of these kinds in base64; texts may begin so too."""


def shown(value: Any) -> dict[str, str]:
    """The value as {"image": address} or {"text": text}.

    Bytes and base64 that begin as a PNG, JPEG, GIF, BMP or WebP file, structs that hold such bytes,
    `data:image/` and http(s) addresses of images are images; anything else is text. Pages load images
    from http(s) addresses only where they were told to.

    Example:
        >>> shown("a cat")
        {'text': 'a cat'}
        >>> shown(b"GIF89a...")["image"][:22]
        'data:image/gif;base64,'
    """
    if isinstance(value, bytes | bytearray):
        return _of_bytes(bytes(value))
    if isinstance(value, str):
        return _of_text(value)
    fields = value.asDict() if hasattr(value, "asDict") else value
    if isinstance(fields, dict):
        content = next(
            (part for part in fields.values() if isinstance(part, bytes | bytearray) and _kind(bytes(part))),
            None,
        )
        if content is not None:
            return _of_bytes(bytes(content))
    is_missing = value is None or (isinstance(value, float) and isnan(value))  # as pandas may have it
    return {"text": "" if is_missing else one_line(value)[:LONGEST]}


def without_address(cell: Mapping[str, str]) -> Mapping[str, str]:
    """Show an image of another host by its address, as text."""
    image = cell.get("image", "data:")
    return cell if image.startswith("data:") else {"text": one_line(image)}


def _kind(content: bytes) -> str | None:
    return next((kind for kind, begins in _SIGNATURES.items() if begins.match(content)), None)


def _of_bytes(content: bytes) -> dict[str, str]:
    kind = _kind(content)
    if kind is None:
        return {"text": f"{len(content):,} bytes"}
    return {"image": f"data:image/{kind};base64,{base64.b64encode(content).decode()}"}


def _of_text(text: str) -> dict[str, str]:
    if text.startswith("data:image/"):
        return {"image": text}
    address = text.split("?")[0].lower()
    if text.startswith(("https://", "http://")) and address.endswith(
        (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".svg")
    ):
        return {"image": text}
    if text.startswith(BASE64_BEGINNINGS):
        try:
            content = base64.b64decode(text, validate=True)
        except ValueError:  # a text that happens to begin so
            content = b""
        if _kind(content) is not None:
            return _of_bytes(content)
    return {"text": text[:LONGEST]}
