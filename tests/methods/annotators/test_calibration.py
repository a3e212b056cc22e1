"""Temperature scaling against the vote shares."""

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from cl_spark import AnnotatorAudit
from cl_spark.kernels.temperature import COARSE, find_fine_grid
from tests.methods.annotators.frames import make


def plain_temperature(probs: np.ndarray, annotations: pd.DataFrame) -> float:
    """The temperature of the lowest mean soft cross-entropy, written plainly."""
    shares = np.zeros_like(probs)
    for row in annotations.itertuples():
        shares[row.id, row.label] += 1
    shares = shares[shares.sum(axis=1) > 0] / shares.sum(axis=1, keepdims=True)[shares.sum(axis=1) > 0]
    probs = probs[sorted(annotations["id"].unique())]

    def loss(temperature: float) -> float:
        with np.errstate(divide="ignore"):
            powers = np.exp(np.log(probs) / temperature)
        scaled = powers / powers.sum(axis=1, keepdims=True)
        logs = np.log(np.maximum(scaled, 1e-30))
        return float(-(shares * logs).sum(axis=1).mean() / np.log(probs.shape[1]))

    best = min(COARSE, key=loss)
    return min(find_fine_grid(best), key=loss)


@pytest.mark.slow
def test_the_temperature_is_the_best_and_scales_what_follows(spark: SparkSession) -> None:
    made = make(21, examples=120, classes=4, annotators=10)
    sharp = made.probs**4 / (made.probs**4).sum(axis=1, keepdims=True)
    expected = plain_temperature(sharp, made.annotations)
    assert expected > 1  # an overconfident model
    table = pd.DataFrame({"id": range(120), "pred_probs": list(sharp), "other": list(made.probs)})
    with AnnotatorAudit(made.annotations, table, calibrate=True, spark=spark) as audit:
        assert audit.temperatures == [expected]
        found = audit.consensus().toPandas().sort_values("id")
    powers = np.exp(np.log(np.maximum(sharp, 1e-30)) / expected)
    scaled = pd.DataFrame({"id": range(120), "pred_probs": list(powers / powers.sum(axis=1, keepdims=True))})
    with AnnotatorAudit(made.annotations, scaled, spark=spark) as audit:
        np.testing.assert_allclose(
            found["consensus_quality"],
            audit.consensus().toPandas().sort_values("id")["consensus_quality"],
            atol=1e-9,
        )
    models = ["pred_probs", "other"]
    with AnnotatorAudit(made.annotations, table, pred_probs_col=models, calibrate=True, spark=spark) as audit:
        assert audit.temperatures == [expected, plain_temperature(made.probs, made.annotations)]
