"""Several annotators: the same consensus, qualities and statistics as cleanlab.

cleanlab's last tie-break of the majority vote is a random choice: where it comes into play, which a plain
reference tells, examples are left out of the comparison. Ours takes the lowest class.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

import cl_spark
from cl_spark import AnnotatorAudit
from tests.methods.annotators.frames import LocalAudit, Made, make
from tests.oracle import cleanlab_oracle as oracle

pytestmark = pytest.mark.slow

METHODS = ["best_quality", "majority_vote"]


def wide(made: Made) -> pd.DataFrame:
    return made.annotations.pivot(index="id", columns="annotator", values="label")


def has_random_tie(made: Made) -> bool:
    """Tell whether votes tie by count, probability, frequency of the class and agreement of the voters."""
    frequency = made.annotations["label"].value_counts()
    for i, part in made.annotations.groupby("id"):
        votes = part["label"].value_counts()
        tied = votes[votes == votes.max()].index
        probs = made.probs[i][tied]
        tied = tied[probs == probs.max()]
        least = frequency[tied]
        if (least == least.min()).sum() > 1:
            return True  # agreements may tie as well: rare enough to leave such tables out
    return False


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    classes=st.integers(2, 7),
    annotators=st.integers(3, 40),
    most=st.integers(2, 6),
    decimals=st.sampled_from([None, 1, 2]),
)
def test_sparse_tables_give_what_cleanlab_gives(
    method: str, seed: int, classes: int, annotators: int, most: int, decimals: int | None
) -> None:
    made = make(
        seed, examples=60, classes=classes, annotators=annotators, labels=(1, most), decimals=decimals
    )
    made.annotations.loc[0, "label"] = classes - 1  # so that cleanlab counts K classes
    if has_random_tie(made) or made.annotations.groupby("id").size().max() == 1:
        return
    theirs = oracle.multiannotator(wide(made), made.probs, method)
    ours = LocalAudit(made.annotations, [made.probs], classes)
    found = ours.consensus(method)
    expected = theirs["label_quality"]
    assert found["_consensus"].tolist() == expected["consensus_label"].tolist()
    np.testing.assert_allclose(found["_quality"], expected["consensus_quality_score"], atol=1e-9)
    np.testing.assert_allclose(found["_agreement"], expected["annotator_agreement"], atol=1e-12)
    assert found["_num_votes"].tolist() == expected["num_annotations"].tolist()
    detailed = theirs["detailed_label_quality"].to_numpy()
    votes = ours.qualities(method)
    places = {example: place for place, example in enumerate(ours.ids)}
    of_votes = detailed[votes["_id_0"].map(places), votes["_code"]]
    np.testing.assert_allclose(votes["_quality"], of_votes, atol=1e-9)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), classes=st.integers(2, 6), models=st.integers(2, 4))
def test_several_models_give_what_cleanlab_gives(seed: int, classes: int, models: int) -> None:
    made = make(seed, examples=50, classes=classes, annotators=12, labels=(1, 4))
    made.annotations.loc[0, "label"] = classes - 1
    others = [make(seed + 1 + i, examples=50, classes=classes).probs for i in range(models - 1)]
    probs = np.stack([made.probs, *others])
    if has_random_tie(Made(made.true, made.annotations, probs.mean(axis=0), made.skills)):
        return
    theirs = oracle.multiannotator(wide(made), probs, "best_quality")
    ours = LocalAudit(made.annotations, list(probs), classes)
    found = ours.consensus("best_quality")
    assert found["_consensus"].tolist() == theirs["label_quality"]["consensus_label"].tolist()
    np.testing.assert_allclose(
        found["_quality"], theirs["label_quality"]["consensus_quality_score"], atol=1e-9
    )
    scores, _ = oracle.active_learning_scores(wide(made), probs, probs)
    np.testing.assert_allclose(ours.scores(), scores, atol=1e-9)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), classes=st.integers(2, 6))
def test_active_learning_scores_are_those_of_cleanlab_without_scaling(seed: int, classes: int) -> None:
    made = make(seed, examples=50, classes=classes, annotators=12, labels=(1, 4))
    made.annotations.loc[0, "label"] = classes - 1
    if has_random_tie(made):
        return
    scores, _ = oracle.active_learning_scores(wide(made), made.probs, made.probs)
    np.testing.assert_allclose(
        LocalAudit(made.annotations, [made.probs], classes).scores(), scores, atol=1e-9
    )


@pytest.mark.parametrize("most", range(2, 6))
@pytest.mark.parametrize("skill", [(0.6, 0.95), (0.2, 0.9), (0.1, 0.6)])
def test_digits_of_thirty_annotators_give_what_cleanlab_gives(skill: tuple[float, float], most: int) -> None:
    """Real predictions of the sample; consensus labels are right at least as often as the majority vote."""
    sample = pd.read_parquet(Path(cl_spark.__file__).parent / "sample" / "digits.parquet").sort_values("id")
    true, probs = sample["true_label"].to_numpy(), np.stack(sample["pred_probs"].to_numpy())
    labeled = make(most, examples=len(true), classes=10, annotators=30, labels=(1, most), skill=skill)
    shift = true[labeled.annotations["id"]] - labeled.true[labeled.annotations["id"]]
    annotations = labeled.annotations.assign(label=(labeled.annotations["label"] + shift) % 10)
    made = Made(true, annotations, probs, labeled.skills)
    assert not has_random_tie(made)
    theirs = oracle.multiannotator(wide(made), probs, "best_quality")["label_quality"]
    ours = LocalAudit(annotations, [probs], 10)
    found = ours.consensus("best_quality")
    assert found["_consensus"].tolist() == theirs["consensus_label"].tolist()
    np.testing.assert_allclose(found["_quality"], theirs["consensus_quality_score"], atol=1e-9)
    majority = ours.consensus("majority_vote")["_consensus"]
    assert (found["_consensus"] == true).mean() >= (majority == true).mean()


@pytest.mark.parametrize("method", METHODS)
def test_the_audit_on_spark_gives_what_cleanlab_gives(spark: SparkSession, method: str) -> None:
    made = make(1, examples=300, classes=5, annotators=35)
    unlabeled = make(2, examples=40, classes=5).probs
    assert not has_random_tie(made)
    theirs = oracle.multiannotator(wide(made), made.probs, method)
    more = pd.DataFrame({"id": np.arange(1000, 1040), "pred_probs": list(unlabeled)})
    with AnnotatorAudit(made.annotations, made.predictions, consensus_method=method, spark=spark) as audit:
        consensus = audit.consensus().toPandas().set_index("id").sort_index()
        qualities = audit.annotation_quality().toPandas().set_index(["id", "annotator"])["label_quality"]
        annotators = audit.annotators().toPandas().set_index("annotator").sort_index()
        scores = audit.active_learning_scores(more).toPandas().set_index("id")["score"].sort_index()
    expected = theirs["label_quality"]
    assert consensus["consensus_label"].tolist() == expected["consensus_label"].tolist()
    np.testing.assert_allclose(consensus["consensus_quality"], expected["consensus_quality_score"], atol=1e-9)
    np.testing.assert_allclose(consensus["annotator_agreement"], expected["annotator_agreement"], atol=1e-12)
    detailed = theirs["detailed_label_quality"].stack().dropna()
    names = [(example, name.removeprefix("quality_annotator_")) for example, name in detailed.index]
    np.testing.assert_allclose(qualities.loc[names], detailed, atol=1e-9)
    stats = theirs["annotator_stats"].sort_index()
    assert annotators.index.tolist() == stats.index.tolist()
    assert annotators["worst_class"].tolist() == stats["worst_class"].tolist()
    assert annotators["num_examples"].tolist() == stats["num_examples_labeled"].tolist()
    np.testing.assert_allclose(annotators["quality"], stats["annotator_quality"], atol=1e-9)
    np.testing.assert_allclose(
        annotators["agreement_with_consensus"], stats["agreement_with_consensus"], atol=1e-12
    )
    if method == "best_quality":
        labeled, others = oracle.active_learning_scores(wide(made), made.probs, unlabeled)
        np.testing.assert_allclose(scores, np.concatenate([labeled, others]), atol=1e-9)
