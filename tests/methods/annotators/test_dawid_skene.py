"""Dawid-Skene against expectation maximisation written plainly, over dense matrices."""

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from cl_spark import AnnotatorAudit, ConfigurationError
from cl_spark.methods.annotators import dawid_skene_cells
from cl_spark.methods.annotators.dawid_skene import TOLERANCE
from cl_spark.methods.annotators.dawid_skene_cells import CellPasses
from cl_spark.methods.annotators.dawid_skene_tables import TablePasses
from tests.methods.annotators.frames import make

pytestmark = pytest.mark.matrix


def plain_dawid_skene(
    annotations: pd.DataFrame, classes: int, gold: dict[int, int]
) -> tuple[np.ndarray, int]:
    """Weights (examples, K) and the passes made."""
    names = sorted(annotations["annotator"].unique())
    ids = sorted(annotations["id"].unique())
    shown = np.zeros((len(ids), len(names), classes))
    for row in annotations.itertuples():
        shown[ids.index(row.id), names.index(row.annotator), row.label] = 1
    fixed = [(ids.index(i), label) for i, label in gold.items()]
    weights = shown.sum(axis=1) / shown.sum(axis=(1, 2))[:, None]
    for example, label in fixed:
        weights[example] = np.eye(classes)[label]
    likelihood = -np.inf
    for passes in range(1, 51):
        priors = weights.sum(axis=0) / len(ids)
        confusion = np.einsum("ij,ial->ajl", weights, shown)
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = np.nan_to_num(confusion / confusion.sum(axis=2, keepdims=True))
            logs = np.log(shares)
            scores = np.log(priors) + np.where(shown[:, :, None, :] > 0, logs[None], 0).sum(axis=(1, 3))
        for example, label in fixed:
            scores[example, np.arange(classes) != label] = -np.inf
        top = scores.max(axis=1, keepdims=True)
        powers = np.exp(scores - top)
        weights = powers / powers.sum(axis=1, keepdims=True)
        found = float((top[:, 0] + np.log(powers.sum(axis=1))).mean())
        if found - likelihood < TOLERANCE:
            return weights, passes
        likelihood = found
    return weights, 50


def once_each(annotations: pd.DataFrame) -> pd.DataFrame:
    """Add annotators with a single label, mostly wrong: some of their weights become less than 2^-58."""
    rows = [
        (i, f"once-{i}", (label + i % 3) % 3) for i, label in annotations.groupby("id").label.first().items()
    ]
    return pd.concat([annotations, pd.DataFrame(rows, columns=["id", "annotator", "label"])])


@pytest.mark.parametrize(("gold", "with_once"), [({}, False), ({0: 1, 3: 2}, False), ({}, True)])
def test_weights_are_those_of_a_plain_search(
    spark: SparkSession, gold: dict[int, int], with_once: bool
) -> None:
    made = make(11, examples=40, classes=3, annotators=5, labels=(2, 4))
    annotations = once_each(made.annotations) if with_once else made.annotations
    expected, passes = plain_dawid_skene(annotations, 3, gold)
    table = pd.DataFrame({"id": list(gold), "label": list(gold.values())}) if gold else None
    with AnnotatorAudit(annotations, consensus_method="dawid_skene", gold=table, spark=spark) as audit:
        consensus = audit.consensus().toPandas().sort_values("id")
        quality = audit.annotation_quality().toPandas()
        annotators = audit.annotators().toPandas().set_index("annotator")
        assert audit.num_passes == passes
        assert [warning.code for warning in audit.warnings()] == ["dawid_skene_unsettled"] * (passes == 50)
        with pytest.raises(ConfigurationError, match="not for dawid_skene"):
            audit.active_learning_scores()
    assert consensus["consensus_label"].tolist() == expected.argmax(axis=1).tolist()
    np.testing.assert_allclose(consensus["consensus_quality"], expected.max(axis=1), atol=1e-9)
    np.testing.assert_allclose(quality["label_quality"], expected[quality["id"], quality["label"]], atol=1e-9)
    means = quality.groupby("annotator")["label_quality"].mean()
    np.testing.assert_allclose(annotators["quality"].sort_index(), means.sort_index(), atol=1e-9)


def test_a_model_is_one_more_annotator(spark: SparkSession) -> None:
    made = make(12, examples=40, classes=3, annotators=4, labels=(1, 3))
    model = pd.DataFrame({"id": range(40), "annotator": " model", "label": made.probs.argmax(axis=1)})
    expected, _ = plain_dawid_skene(pd.concat([made.annotations, model]), 3, {})
    with AnnotatorAudit(
        made.annotations, made.predictions, consensus_method="dawid_skene", spark=spark
    ) as audit:
        consensus = audit.consensus().toPandas().sort_values("id")
        assert set(audit.annotators().toPandas()["annotator"]) == set(made.annotations["annotator"])
    np.testing.assert_allclose(consensus["consensus_quality"], expected.max(axis=1), atol=1e-9)
    own = made.annotations.groupby("id").size()
    assert consensus["num_annotations"].tolist() == own.tolist()


def test_passes_over_tables_find_what_passes_over_cells_find(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(13, examples=30, classes=3, annotators=4, labels=(1, 3))
    gold = pd.DataFrame({"id": [2, 5], "label": [0, 1]})
    with AnnotatorAudit(made.annotations, made.predictions, gold=gold, spark=spark) as audit:
        cells = CellPasses.begin(audit.votes)
        tables = TablePasses(audit.votes)
        monkeypatch.setattr(dawid_skene_cells, "MAX_CELLS", 10)
        assert CellPasses.begin(audit.votes) is None  # too many for the driver
        assert cells is not None
        for _ in range(2):
            assert cells.advance() == pytest.approx(tables.advance(), abs=1e-9)
        keys = ["_id_0", "_true"]
        found, expected = (
            passes.weights.toPandas().sort_values(keys, ignore_index=True) for passes in (cells, tables)
        )
    expected = expected[expected["_weight"] > 0].reset_index(drop=True)
    assert found[keys].values.tolist() == expected[keys].values.tolist()
    np.testing.assert_allclose(found["_weight"], expected["_weight"], atol=1e-9)
