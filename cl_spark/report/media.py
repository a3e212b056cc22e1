"""A value of an image or text column as a page shows it."""

import base64
from typing import Any

from cl_spark.errors import one_line

LONGEST = 2_000
"""Characters of a text that are shown."""
_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"GIF8": "gif",
    b"BM": "bmp",
    b"RIFF": "webp",
}
_BEGINNINGS = {
    base64.b64encode(mark[: len(mark) // 3 * 3]).decode(): mark for mark in _SIGNATURES if len(mark) >= 3
}


def shown(value: Any) -> dict[str, str]:
    """The value as {"image": address} or {"text": text}.

    Bytes and base64 that begin as a PNG, JPEG, GIF, BMP or WebP file, structs that hold such bytes,
    `data:image/` and http(s) addresses of images are images; anything else is text.

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
    return {"text": "" if value is None else one_line(value)[:LONGEST]}


def _kind(content: bytes) -> str | None:
    return next((kind for mark, kind in _SIGNATURES.items() if content.startswith(mark)), None)


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
    if any(text.startswith(beginning) for beginning in _BEGINNINGS):
        try:
            return _of_bytes(base64.b64decode(text, validate=True))
        except ValueError:
            pass  # a text that happens to begin so
    return {"text": text[:LONGEST]}
