"""Every audit answers from its own evidence: of what lies at a path now, and until it is forgotten."""

import gc
import shutil
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from cl_spark import AuditConfig, LabelAudit, find_label_issues, run_audit
from tests.forgotten import collect

pytestmark = [pytest.mark.classic, pytest.mark.slow]


def write(path: Path, share: float, seed: int, rows: int = 200) -> int:
    """Write predictions over what is there, in a file of the same name; returns how many labels are wrong."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % 3
    wrong = rng.random(rows) < share
    probs = np.full((rows, 3), 0.1)
    probs[np.arange(rows), np.where(wrong, (labels + 1) % 3, labels)] = 0.8
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    frame = pd.DataFrame(
        {"id": np.arange(rows), "label": labels.astype("int32"), "pred_probs": probs.tolist()}
    )
    frame.to_parquet(path / "a.parquet", index=False)
    return int(wrong.sum())


def test_files_that_were_replaced_are_audited_anew(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "in"
    kept = []
    for seed, share in enumerate((0.1, 0.3, 0.2)):
        wrong = write(path, share, seed)
        kept.append(LabelAudit(spark.read.parquet(str(path))))
        assert kept[-1].find_label_issues().count() == wrong
        assert find_label_issues(spark.newSession().read.parquet(str(path))).count() == wrong
    config = AuditConfig(predictions=str(path), output=str(tmp_path / "out"), format="parquet")
    for seed, share in enumerate((0.15, 0.25)):
        wrong = write(path, share, seed)
        assert run_audit(spark, config).num_issues == wrong
    for audit in kept:
        audit.release()


def test_a_delta_table_that_others_write_is_audited_anew(spark: SparkSession, tmp_path: Path) -> None:
    path = str(tmp_path / "table")
    kept = []
    for seed, share in enumerate((0.1, 0.3)):
        wrong = write(tmp_path / "in", share, seed)
        df = spark.read.parquet(str(tmp_path / "in"))
        df.write.format("delta").mode("overwrite").save(path)
        kept.append(LabelAudit(spark.read.format("delta").load(path)))
        assert kept[-1].find_label_issues().count() == wrong


def test_a_forgotten_audit_frees_what_it_kept(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path / "in", 0.2, 0)
    collect()
    cache = spark._jsparkSession.sharedState().cacheManager()
    before = cache.numCachedEntries()
    audit = LabelAudit(spark.read.parquet(str(tmp_path / "in")))
    issues = audit.find_label_issues()
    count = issues.count()
    assert cache.numCachedEntries() > before
    del audit
    collect()
    assert cache.numCachedEntries() > before, "the answer is computed from it"
    assert issues.count() == count
    del issues
    collect()
    assert cache.numCachedEntries() == before


def test_an_audit_is_forgotten_in_the_midst_of_a_call(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "in", 0.2, 0)
    cache = spark._jsparkSession.sharedState().cacheManager()
    collect()
    before = cache.numCachedEntries()
    audit = LabelAudit(spark.read.parquet(str(tmp_path / "in")))
    audit.find_label_issues().count()
    audit.itself = audit  # type: ignore[attr-defined]
    assert cache.numCachedEntries() > before
    del audit
    receive = socket.SocketIO.readinto

    def collect_and_receive(stream: socket.SocketIO, buffer: bytearray) -> int | None:
        gc.collect()
        return receive(stream, buffer)

    with monkeypatch.context() as patch:
        patch.setattr(socket.SocketIO, "readinto", collect_and_receive)
        assert spark.range(3).count() == 3
    collect()
    assert cache.numCachedEntries() == before
