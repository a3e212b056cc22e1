"""Of clear rows Spark's expressions tell what the arrays would; every other row keeps its array."""

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import LabelAudit
from cl_spark.evidence import native_evidence
from cl_spark.evidence.native_evidence import replace_clear_arrays
from cl_spark.kernels.row_evidence import ListingPolicy, extract_dense
from cl_spark.tables import columns as c
from tests.frames import dense, ids, predictions
from tests.oracle import reference

pytestmark = pytest.mark.matrix
CLASSES = 70
POLICY = ListingPolicy()
NAMES = [f"class {k}" for k in range(CLASSES)]


def make_row(highest: float = 0.7, second: float = 0.05, *, at: int = 3, length: int = CLASSES) -> np.ndarray:
    """A row that is clear if its label is `at`."""
    row = np.full(length, (1 - highest - second) / (length - 2))
    row[at], row[(at + 1) % length] = highest, second
    return row


def changed(row: np.ndarray, **values: float | None) -> list[float | None]:
    cells = row.tolist()
    for place, value in values.items():
        cells[int(place.removeprefix("p"))] = value
    return cells


UNCLEAR = {
    "another label": (4, make_row().tolist()),
    "no label": (None, make_row().tolist()),
    "a label beyond the classes": (CLASSES, make_row().tolist()),
    "a label beyond 32 bits": (2**40 + 3, make_row().tolist()),
    "a negative label": (-1, make_row().tolist()),
    "a class that comes near": (3, make_row(0.6, 0.25).tolist()),
    "a flat row": (3, make_row(0.02, 0.015).tolist()),
    "two highest classes": (3, make_row(0.4, 0.4).tolist()),
    "a null": (3, changed(make_row(), p50=None)),
    "NaN": (3, changed(make_row(), p50=float("nan"))),
    "infinity": (3, changed(make_row(), p3=float("inf"))),
    "minus infinity": (3, changed(make_row(), p50=float("-inf"))),
    "a negative value": (3, changed(make_row(), p50=-1e-9)),
    "a value above 1": (3, changed(make_row(), p3=1.0000001)),
    "a short array": (3, make_row(length=64).tolist()),
    "an empty array": (3, []),
    "no array": (3, None),
}


def taken(spark: SparkSession, rows: list[tuple[object, object]], element: str = "double") -> DataFrame:
    frame = spark.createDataFrame(
        [(number, *row) for number, row in enumerate(rows)],
        f"id long, {c.LABEL} long, {c.PROBS} array<{element}>",
    )
    return replace_clear_arrays(frame, element, F.col(c.PREDICTED), POLICY)


@pytest.mark.parametrize("element", ["float", "double"])
def test_only_native_evidence_lose_their_arrays(spark: SparkSession, element: str) -> None:
    rows = [*UNCLEAR.values(), (3, make_row().tolist()), (0, make_row(1.0, 0.0, at=0).tolist())]
    found = {row.id: row for row in taken(spark, rows, element).collect()}
    assert len(found) == len(rows)
    for number, name in enumerate(UNCLEAR):
        row = found[number]
        assert row[c.NUM_PROBS] is row[c.MAX_PROB] is row[c.SECOND_MAX_PROB] is None, name
        assert (row[c.PROBS] is None) == (UNCLEAR[name][1] is None), name
    for number in (len(UNCLEAR), len(UNCLEAR) + 1):
        assert found[number][c.PROBS] is None
        assert found[number][c.NUM_PROBS] == CLASSES
    assert found[len(UNCLEAR) + 1][c.MAX_PROB] == 1


@pytest.mark.parametrize("element", ["float", "double"])
def test_the_numbers_of_native_evidence_are_those_of_their_arrays(spark: SparkSession, element: str) -> None:
    rng = np.random.default_rng(5)
    probs = rng.dirichlet(np.full(CLASSES, 0.03), 400).astype("float32" if element == "float" else "float64")
    labels = np.where(rng.random(400) < 0.2, rng.integers(0, CLASSES, 400), probs.argmax(axis=1))
    rows = list(zip(labels.tolist(), probs.tolist(), strict=True))
    clear = [row for row in taken(spark, rows, element).collect() if row[c.NUM_PROBS] is not None]
    assert 100 < len(clear) < 350
    number = np.array([row.id for row in clear])
    evidence = extract_dense(labels[number].astype(np.int32), probs[number], POLICY, with_sums=False)
    assert evidence.predicted.tolist() == labels[number].tolist()
    assert not len(evidence.listed.row), "the evidence would list none of their classes"
    for name, values in {
        c.MAX_PROB: evidence.max_prob,
        c.SECOND_MAX_PROB: evidence.second_max_prob,
    }.items():
        assert [row[name] for row in clear] == values.tolist()
    listed = set(range(400)) - set(number.tolist())
    others = np.array(sorted(listed))
    evidence = extract_dense(labels[others].astype(np.int32), probs[others], POLICY, with_sums=False)
    disagrees = labels[others] != evidence.predicted
    assert all(disagrees | np.isin(np.arange(len(others)), evidence.listed.row)), (
        "no array crosses for nothing"
    )


@pytest.mark.slow
@pytest.mark.parametrize("short_array", [1, 64, 1_000])
@pytest.mark.parametrize("kind", ["indices", "names", "columns"])
def test_answers_do_not_depend_on_which_arrays_stay_in_spark(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, short_array: int, kind: str
) -> None:
    rng = np.random.default_rng(11)
    probs = rng.dirichlet(np.full(CLASSES, 0.05), 300)
    true = np.array([rng.choice(CLASSES, p=row) for row in probs])
    labels = np.where(rng.random(300) < 0.3, rng.integers(0, CLASSES, 300), true)
    df = predictions(spark, labels, probs)
    arguments: dict[str, object] = {}
    if kind == "names":
        df = df.withColumn("label", F.concat(F.lit("class "), F.col("label").cast("string")))
        arguments = {"class_names": NAMES}
    if kind == "columns":
        df = df.select("id", "label", *[F.get("pred_probs", F.lit(k)).alias(f"p{k}") for k in range(CLASSES)])
        arguments = {"pred_probs_col": [f"p{k}" for k in range(CLASSES)]}
    monkeypatch.setattr(native_evidence, "SHORT_ARRAY", short_array)
    with LabelAudit(df, **arguments) as audit:
        for filter_by in ("prune_by_noise_rate", "both", "low_normalized_margin", "off_diagonal"):
            expected = reference.issues(labels, probs, filter_by)
            assert ids(audit.find_label_issues(filter_by=filter_by)) == expected, filter_by
        margins = {
            row.id: row.label_quality
            for row in audit.label_quality_scores(method="normalized_margin").collect()
        }
        others = probs.copy()
        others[np.arange(300), labels] = -np.inf
        wanted = (probs[np.arange(300), labels] - others.max(axis=1) + 1) / 2
        assert np.allclose([margins[i] for i in range(300)], wanted, atol=1e-15)


def test_rows_are_settled_alike_in_spark_and_in_python(spark: SparkSession) -> None:
    rows = [(0, make_row(0.77, at=0))] * 20 + [(5, make_row(0.15, 0.05, at=5))] * 20
    rows += [(0, make_row(0.5, at=0))]  # Spark bounds its other classes by 0.05, the evidence by 0.2
    rows += [(0, make_row(0.5, 0.3, at=0))]  # which only its array settles
    labels, probs = np.array([label for label, _ in rows]), np.stack([row for _, row in rows])
    with LabelAudit(predictions(spark, labels, probs)) as audit:
        counts = dense(audit.confident_joint(calibrate=False), "count", CLASSES)
    assert np.array_equal(counts, reference.raised_joint(labels, probs))
