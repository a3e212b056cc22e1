"""Make the sample that ships with the package: handwritten digits with a few labels flipped on purpose.

Reads the digits bundled with scikit-learn, flips 4 % of the labels (most to the digit a classifier confuses
most with the true one, the rest to any), and predicts every image out of sample by five-fold cross-validation
on the flipped labels. Seeded: run again, it writes the same bytes. Needs the dev dependencies.
"""

import struct
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.datasets import load_digits
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

OUTPUT = Path(__file__).resolve().parents[1] / "cl_spark" / "sample" / "digits.parquet"
SEED, FLIPPED, CONFUSABLE = 20210, 0.04, 0.7


def png(pixels: np.ndarray) -> bytes:
    """A grey image of values 0..16 as PNG, four times its size."""
    grey = np.kron(255 - pixels * 255 / 16, np.ones((4, 4))).astype(np.uint8)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", grey.shape[1], grey.shape[0], 8, 0, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in grey)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )


def out_of_sample(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n, 10) probabilities, each row predicted by a model that has not seen it."""
    kernel = Nystroem(gamma=0.0008, n_components=300, random_state=SEED)
    model = make_pipeline(kernel, LogisticRegression(C=30, max_iter=500))
    folds = StratifiedKFold(5, shuffle=True, random_state=SEED)
    return cross_val_predict(model, features, labels, cv=folds, method="predict_proba")


def main() -> None:
    """Write the sample and say what is in it."""
    rng = np.random.default_rng(SEED)
    digits = load_digits()
    true = digits.target
    confusion = np.zeros((10, 10))
    np.add.at(confusion, true, out_of_sample(digits.data, true))
    np.fill_diagonal(confusion, -1)
    flipped = rng.choice(len(true), round(FLIPPED * len(true)), replace=False)
    anything = (true[flipped] + rng.integers(1, 10, len(flipped))) % 10
    confusable = rng.random(len(flipped)) < CONFUSABLE
    labels = true.copy()
    labels[flipped] = np.where(confusable, confusion.argmax(axis=1)[true[flipped]], anything)
    probs = out_of_sample(digits.data, labels).astype(np.float32)
    table = pa.table(
        {
            "id": pa.array(range(len(true)), pa.int64()),
            "label": pa.array(labels, pa.int32()),
            "true_label": pa.array(true, pa.int32()),
            "pred_probs": pa.array(list(probs), pa.list_(pa.float32())),
            "image": pa.array([png(image) for image in digits.images], pa.binary()),
        }
    ).replace_schema_metadata(
        {
            "source": "Optical Recognition of Handwritten Digits (UCI), by way of scikit-learn",
            "licence": "CC BY 4.0",
        }
    )
    OUTPUT.parent.mkdir(exist_ok=True)
    pq.write_table(table, OUTPUT, compression="zstd")
    print(f"{OUTPUT}: {len(true)} images, {len(flipped)} labels flipped, {OUTPUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
