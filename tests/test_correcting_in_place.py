"""Audit, correct labels in place, audit again, five times: each answer is of the labels as they are then."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from cl_spark import AuditConfig, LabelAudit, find_label_issues, label_quality_scores, run_audit

pytestmark = [pytest.mark.slow, pytest.mark.matrix]
ROWS, ROUNDS, PER_ROUND = 240, 5, 6


def make_frame() -> tuple[pd.DataFrame, np.ndarray]:
    """Predictions of three classes, and the true labels; every seventh label is wrong."""
    true = np.arange(ROWS) % 3
    given = np.where(np.arange(ROWS) % 7 == 0, (true + 1) % 3, true)
    probs = np.full((ROWS, 3), 0.1)
    probs[np.arange(ROWS), true] = 0.8
    frame = pd.DataFrame(
        {"id": np.arange(ROWS), "label": given.astype("int32"), "pred_probs": probs.tolist()}
    )
    return frame, true


@pytest.mark.parametrize("kind", ["parquet", "delta"])
def test_every_audit_is_of_the_labels_as_they_are(spark: SparkSession, tmp_path: Path, kind: str) -> None:
    frame, true = make_frame()
    path, out = str(tmp_path / "table"), str(tmp_path / "out")
    if kind == "parquet":
        (tmp_path / "table").mkdir()
        frame.to_parquet(f"{path}/a.parquet", index=False)
    else:
        spark.createDataFrame(frame, "id long, label int, pred_probs array<double>").write.format(
            "delta"
        ).save(path)
    kept: list[LabelAudit] = []  # a notebook holds what its cells made
    for number in range(ROUNDS):
        df = spark.read.format(kind).load(path)
        wrong = sorted(np.flatnonzero(frame["label"] != true).tolist())
        assert len(wrong) == 35 - PER_ROUND * number
        kept.append(LabelAudit(df))
        issues = kept[-1].find_label_issues().orderBy("rank").collect()
        assert sorted(row.id for row in issues) == wrong
        assert sorted(row.id for row in find_label_issues(df).collect()) == wrong
        low = label_quality_scores(df, method="confidence_weighted_entropy").orderBy("label_quality", "id")
        assert sorted(row.id for row in low.limit(len(wrong)).collect()) == wrong
        run = run_audit(
            spark, AuditConfig(predictions=path, output=out, format="parquet", run_id=f"round-{number}")
        )
        assert (run.num_issues, run.num_examples) == (len(wrong), ROWS)
        corrected = {row.id: row.suggested_label for row in issues[:PER_ROUND]}
        frame["label"] = [
            corrected.get(i, label) for i, label in zip(frame["id"], frame["label"], strict=True)
        ]
        frame["label"] = frame["label"].astype("int32")
        if kind == "parquet":  # the same file name, as pandas writes it
            frame.to_parquet(f"{path}/a.parquet", index=False)
        else:
            cases = " ".join(f"WHEN {i} THEN {label}" for i, label in corrected.items())
            ids = ", ".join(map(str, corrected))
            spark.sql(f"UPDATE delta.`{path}` SET label = CASE id {cases} END WHERE id IN ({ids})")
    for audit in kept:
        audit.release()
