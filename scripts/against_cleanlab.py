"""cleanlab as a contestant of the benchmark: `python scripts/against_cleanlab.py <name> <data> <settings as JSON>`.

Its answers are taken through its public functions only, on the same Parquet files, reading included.
"""

import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.dataset as ds

from cl_spark.bench.contestants import main, process_started, resources


def batches(data: str, rows: int = 8192) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Labels and probabilities, a batch at a time."""
    for batch in ds.dataset(data, exclude_invalid_files=True).to_batches(columns=["label", "pred_probs"], batch_size=rows):
        if batch.num_rows:
            values = batch["pred_probs"].flatten().to_numpy()
            yield batch["label"].to_numpy(), values.reshape(batch.num_rows, -1)


def in_memory(data: str, settings: dict[str, Any]) -> tuple[list[float], dict[str, Any]]:
    """find_label_issues, default filter, everything loaded."""
    begun = process_started()
    from cleanlab.filter import find_label_issues

    runs, found = [], 0
    for _ in range(settings["repeat"] + 1):
        labels, probs = zip(*batches(data), strict=True)
        issues = find_label_issues(
            np.concatenate(labels),
            np.concatenate(probs),
            filter_by="prune_by_noise_rate",
            return_indices_ranked_by="self_confidence",
        )
        found = len(issues)
        del labels, probs, issues
        runs.append(time.time() - begun)
        begun = time.time()
    return runs, {"issues": found, **resources()}


def batched(data: str, settings: dict[str, Any]) -> tuple[list[float], dict[str, Any]]:
    """LabelInspector, two passes over the files; it has one filter only, lowest self-confidence."""
    begun = process_started()
    from cleanlab.experimental.label_issues_batched import LabelInspector

    runs, found = [], 0
    for _ in range(settings["repeat"] + 1):
        classes = next(batches(data))[1].shape[1]
        inspector = LabelInspector(num_class=classes)
        for labels, probs in batches(data):
            inspector.update_confident_thresholds(labels, probs)
        for labels, probs in batches(data):
            inspector.score_label_quality(labels, probs)
        found = len(inspector.get_label_issues())
        runs.append(time.time() - begun)
        begun = time.time()
    return runs, {"issues": found, **resources()}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main({"cleanlab in memory": in_memory, "cleanlab batched": batched})
