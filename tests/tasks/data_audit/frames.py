"""Digits as images, with groups of copies and outliers among them."""

import struct
import zlib
from functools import cache

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

NUM_DIGITS, NUM_GROUPS, LARGEST, NUM_FAR = 150, 14, 10, 5
"""Digits as they are; groups of copies among them, rows of the largest group, and rows unlike all others."""


def png(pixels: np.ndarray) -> bytes:
    """Draw 64 numbers in 0..16 as a grey PNG of 32 x 32 pixels."""
    grey = np.kron(255 - pixels.reshape(8, 8) * 255 / 16, np.ones((4, 4))).astype(np.uint8)
    header = struct.pack(">IIBBBBB", 32, 32, 8, 0, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in grey)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


@cache
def pictures() -> pd.DataFrame:
    """Rows with id, label, features, image and text. Row 0 has nine copies, one of which has another label;
    rows 1 to 13 have a copy each, of which the last six are near, not equal.
    """
    digits = load_digits()
    rng = np.random.default_rng(0)
    features, labels = digits.data[:NUM_DIGITS], digits.target[:NUM_DIGITS]
    copied = np.r_[np.zeros(LARGEST - 1, dtype=int), np.arange(1, NUM_GROUPS)]
    copies = features[copied]
    copies[-6:] = np.clip(copies[-6:] + rng.normal(0, 0.1, (6, 64)), 0, 16)
    far = np.stack([rng.permutation(row) for row in features[-NUM_FAR:]])
    features = np.vstack([features, copies, far])
    labels = np.r_[labels, labels[copied], labels[-NUM_FAR:]]
    labels[NUM_DIGITS] = 9
    return pd.DataFrame(
        {
            "id": np.arange(len(features)),
            "label": labels,
            "features": list(features),
            "image": [png(row) for row in features],
            "text": [f"a photo of the digit {label}, row {i}" for i, label in enumerate(labels)],
        }
    )
