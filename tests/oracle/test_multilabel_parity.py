"""Multi-label audits give what cleanlab gives: sets of issues of every filter, scores, health."""

import itertools
import warnings
from collections.abc import Iterator
from functools import cache, reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from cleanlab.count import num_label_issues
from cleanlab.multilabel_classification import dataset, get_label_quality_scores
from cleanlab.multilabel_classification import filter as multilabel_filter
from cleanlab.multilabel_classification.rank import get_label_quality_scores_per_class
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from cl_spark import MultilabelAudit
from tests.methods.multilabel.frames import make_sets

pytestmark = pytest.mark.slow

BY_CLASS = (
    "prune_by_noise_rate",
    "prune_by_class",
    "both",
    "confident_learning",
    "predicted_neq_given",
)
PRUNING = BY_CLASS[:3]
LOWEST = ("low_self_confidence", "low_normalized_margin")

AGGREGATES: list[dict[str, Any]] = [
    {"method": "exponential_moving_average", "alpha": 0.8},
    {"method": "exponential_moving_average", "alpha": 0.3},
    {"method": "exponential_moving_average", "alpha": None},
    {"method": "softmin", "temperature": 0.1},
    {"method": "softmin", "temperature": 0.5},
]

ATTRIBUTES = {
    "has a loop": (0, 6, 8, 9),
    "odd": (1, 3, 5, 7, 9),
    "large": (5, 6, 7, 8, 9),
    "prime": (2, 3, 5, 7),
    "has a straight line": (1, 4, 5, 7),
}
"""Attributes of a digit."""

TABLES = {
    "plain": {"seed": 1, "rows": 400, "classes": 7},
    "rare classes": {"seed": 2, "rows": 300, "classes": 25, "density": 0.05},
    "ties": {"seed": 5, "rows": 300, "classes": 6, "decimals": 1},
    "much noise": {"seed": 7, "rows": 300, "classes": 5, "noise": 0.4},
}

Sets = tuple[list[list[int]], npt.NDArray[np.float64]]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="module", params=[*TABLES, "digits"])
def sets(request: pytest.FixtureRequest) -> Sets:
    return make_digits()[:2] if request.param == "digits" else make_sets(**TABLES[request.param])


@cache
def make_digits() -> tuple[list[list[int]], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Make sets of attributes of digits, of which some are wrong, with a model trained on them."""
    images, digits = load_digits(return_X_y=True)
    true = np.array([[digit in having for having in ATTRIBUTES.values()] for digit in digits])
    wrong = np.random.default_rng(0).random(true.shape) < 0.03
    given = true ^ wrong
    model = LogisticRegression(max_iter=300, C=0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        columns = [
            cross_val_predict(model, images, column, cv=3, method="predict_proba")[:, 1] for column in given.T
        ]
    return [np.flatnonzero(row).tolist() for row in given], np.stack(columns, axis=1), wrong


@pytest.fixture(scope="module")
def audit(spark: SparkSession, sets: Sets) -> Iterator[MultilabelAudit]:
    with MultilabelAudit(to_frame(spark, sets)) as audit:
        yield audit


def to_frame(spark: SparkSession, sets: Sets) -> DataFrame:
    labels, probs = sets
    frame = pd.DataFrame({"id": range(len(labels)), "labels": labels, "pred_probs": list(probs)})
    rows: Any = list(frame.itertuples(index=False, name=None))
    rows = [(i, list(given), [float(p) for p in row]) for i, given, row in rows]
    return spark.createDataFrame(rows, "id int, labels array<int>, pred_probs array<double>").repartition(3)


def has_ties(probs: npt.NDArray[np.float64]) -> bool:
    return len(np.unique(probs)) < probs.size / 2


def sort_memberships(
    flagged: npt.NDArray[np.bool_], has: npt.NDArray[np.bool_], probs: npt.NDArray[np.float64]
) -> list[Any]:
    """Sort memberships by class, given or not, and probability."""
    row, class_index = np.nonzero(flagged)
    return sorted(zip(class_index, has[row, class_index], probs[row, class_index], strict=True))


@pytest.mark.parametrize("filter_by", BY_CLASS)
def test_each_class_has_the_issues_of_cleanlab(audit: MultilabelAudit, sets: Sets, filter_by: str) -> None:
    labels, probs = sets
    expected = multilabel_filter.find_multilabel_issues_per_class(labels, probs, filter_by=filter_by)
    found = audit.find_label_issues_per_class(filter_by=filter_by).toPandas()
    has = np.zeros(probs.shape, dtype=bool)
    for i, given in enumerate(labels):
        has[i, given] = True
    mask = np.zeros(probs.shape, dtype=bool)
    mask[found["id"], found["class"]] = True
    if has_ties(probs) and filter_by in PRUNING:  # of equal ones cleanlab takes any, the audit the lower id
        assert sort_memberships(mask, has, probs) == sort_memberships(np.array(expected), has, probs)
    else:
        assert np.array_equal(mask, np.array(expected))
    assert (found["given"] == has[found["id"], found["class"]]).all()
    assert (found["suggested"] != found["given"]).all()
    quality = get_label_quality_scores_per_class(labels, probs)[found["id"], found["class"]]
    assert np.abs(found["label_quality"] - quality).max() < 1e-12 if len(found) else True
    assert sorted(found["rank"]) == list(range(1, len(found) + 1))


@pytest.mark.parametrize("filter_by", [*BY_CLASS, *LOWEST])
def test_examples_are_the_issues_of_cleanlab(audit: MultilabelAudit, sets: Sets, filter_by: str) -> None:
    labels, probs = sets
    expected = multilabel_filter.find_label_issues(labels, probs, filter_by=filter_by)
    found = audit.find_label_issues(filter_by=filter_by).toPandas().sort_values("rank")
    if has_ties(probs) and filter_by in PRUNING:
        by_class = audit.find_label_issues_per_class(filter_by=filter_by).toPandas()
        assert set(found["id"]) == set(by_class["id"])
    else:
        assert sorted(found["id"]) == np.flatnonzero(expected).tolist()
    quality = get_label_quality_scores(labels, probs)
    assert np.abs(found["label_quality"] - quality[found["id"]]).max() < 1e-12 if len(found) else True
    assert [list(given) for given in found["given_labels"]] == [labels[i] for i in found["id"]]
    order = sorted(found["id"], key=lambda i: (float(found.set_index("id").label_quality[i]), i))
    assert found["id"].tolist() == order


def test_scores_are_those_of_cleanlab(audit: MultilabelAudit, sets: Sets) -> None:
    labels, probs = sets
    methods = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
    cases = list(itertools.product(methods, AGGREGATES))
    frames = []
    for case, (method, aggregate) in enumerate(cases):
        options = {("aggregate" if key == "method" else key): value for key, value in aggregate.items()}
        frames.append(audit.label_quality_scores(method=method, **options).withColumn("case", F.lit(case)))
    found = reduce(DataFrame.unionByName, frames).toPandas().sort_values("id")  # one query instead of 15
    for case, (method, aggregate) in enumerate(cases):
        expected = get_label_quality_scores(labels, probs, method=method, aggregator_kwargs=aggregate)
        scores = found.label_quality[found.case == case].to_numpy()
        assert np.abs(scores - expected).max() < 1e-9, cases[case]


@pytest.mark.parametrize("method", ["self_confidence", "confidence_weighted_entropy"])
def test_scores_of_classes_are_those_of_cleanlab(audit: MultilabelAudit, sets: Sets, method: str) -> None:
    labels, probs = sets
    expected = get_label_quality_scores_per_class(labels, probs, method=method)
    found = audit.label_quality_scores_per_class(method=method).toPandas()
    assert len(found) == probs.size
    assert np.abs(found["label_quality"] - expected[found["id"], found["class"]]).max() < 1e-9


def test_health_is_that_of_cleanlab(audit: MultilabelAudit, sets: Sets) -> None:
    labels, probs = sets
    health = audit.health_summary()
    if has_ties(probs):
        assert health.num_issues == len(audit.find_label_issues().toPandas())
        return
    assert health.overall_health == pytest.approx(dataset.overall_multilabel_health_score(labels, probs))
    common = dataset.common_multilabel_issues(labels, probs)
    ours = health.class_health.toPandas().set_index("class")
    for given, column in ((True, "wrongly_given"), (False, "wrongly_missing")):
        theirs = common[common["In Given Label"] == given].set_index("Class Index")["Num Examples"]
        assert ours[column].sort_index().tolist() == theirs.sort_index().tolist()
    ranked = dataset.rank_classes_by_multilabel_quality(labels, probs).set_index("Class Index").sort_index()
    assert np.allclose(ours["class_quality"].sort_index(), ranked["Label Quality Score"])
    assert np.allclose(ours["inverse_label_noise"].sort_index(), ranked["Inverse Label Noise"])
    assert audit.num_label_issues() == num_label_issues(labels, probs, multi_label=True)


def test_wrong_attributes_of_digits_are_found(spark: SparkSession) -> None:
    labels, probs, wrong = make_digits()
    with MultilabelAudit(to_frame(spark, (labels, probs))) as audit:
        found = audit.find_label_issues_per_class().toPandas()
    is_found = np.zeros(wrong.shape, dtype=bool)
    is_found[found["id"], found["class"]] = True
    assert wrong[is_found].mean() > 0.3  # of what is found, ten times its share
    assert is_found[wrong].mean() > 0.75  # of what is wrong
