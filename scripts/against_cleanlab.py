"""cleanlab as a contestant of the benchmark: `python scripts/against_cleanlab.py <name> <data> <settings as
JSON>`.

Its answers are taken through its public functions only, on the same Parquet files, reading included.
"""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.dataset as ds

from cl_spark.bench.contestants import Measured, main, timed


def batches(data: str, rows: int = 8192) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Labels and probabilities, a batch at a time."""
    for batch in ds.dataset(data, exclude_invalid_files=True).to_batches(
        columns=["label", "pred_probs"], batch_size=rows
    ):
        if batch.num_rows:
            values = batch["pred_probs"].flatten().to_numpy()
            yield batch["label"].to_numpy(), values.reshape(batch.num_rows, -1)


def in_memory(data: str, settings: dict[str, Any]) -> Measured:
    """find_label_issues, default filter, everything loaded."""
    from cleanlab.filter import find_label_issues

    def run(_: int) -> dict[str, Any]:
        labels, probs = zip(*batches(data), strict=True)
        issues = find_label_issues(
            np.concatenate(labels),
            np.concatenate(probs),
            filter_by="prune_by_noise_rate",
            return_indices_ranked_by="self_confidence",
        )
        return {"issues": len(issues)}

    return timed(run, settings)


def batched(data: str, settings: dict[str, Any]) -> Measured:
    """LabelInspector, two passes over the files; it has one filter only, lowest self-confidence."""
    from cleanlab.experimental.label_issues_batched import LabelInspector

    def run(_: int) -> dict[str, Any]:
        inspector = LabelInspector(num_class=next(batches(data))[1].shape[1])
        for labels, probs in batches(data):
            inspector.update_confident_thresholds(labels, probs)
        for labels, probs in batches(data):
            inspector.score_label_quality(labels, probs)
        return {"issues": len(inspector.get_label_issues())}

    return timed(run, settings)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main({"cleanlab in memory": in_memory, "cleanlab batched": batched})
