"""Annotations and predictions made up for tests, and their audit within this process."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from cl_spark.kernels.crowdlab import divide_or_mean
from cl_spark.kernels.majority_vote import TieBreak
from cl_spark.methods.annotators.columns import ANNOTATORS, GOLD, LABELS
from cl_spark.methods.annotators.judgement import JudgeExamples, Judgement, JudgeVotes, ScoreLabeled, SumCells
from cl_spark.methods.annotators.predictions import PREDICTED
from cl_spark.methods.annotators.trust import (
    BestQuality,
    ConsensusRule,
    CountBlocks,
    MajorityVote,
    UndisputedVote,
    fit_trust,
    mean_weight,
    read_counts,
)
from cl_spark.methods.annotators.votes import ReduceRows
from cl_spark.tables import columns as c


@dataclass(frozen=True)
class Made:
    """Examples with known classes.

    Attributes:
        true: (n,) their classes.
        annotations: id, annotator, label.
        probs: (n, K) predictions of a model.
        skills: (annotators,) probability that an annotator knows the class.
    """

    true: np.ndarray
    annotations: pd.DataFrame
    probs: np.ndarray
    skills: np.ndarray

    @property
    def predictions(self) -> pd.DataFrame:
        return pd.DataFrame({"id": np.arange(len(self.probs)), "pred_probs": list(self.probs)})


def make(
    seed: int,
    *,
    examples: int = 200,
    classes: int = 4,
    annotators: int = 30,
    labels: tuple[int, int] = (1, 5),
    skill: tuple[float, float] = (0.4, 0.95),
    decimals: int | None = None,
) -> Made:
    """Make up annotators of different skill, and a model that is often right.

    Args:
        labels: fewest and most annotations of an example.
        decimals: digits of the probabilities; few make ties.
    """
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, examples)
    skills = rng.uniform(*skill, annotators)
    rows = []
    for i in range(examples):
        number = min(int(rng.integers(labels[0], labels[1] + 1)), annotators)
        for annotator in rng.choice(annotators, number, replace=False):
            knows = rng.random() < skills[annotator]
            label = true[i] if knows else rng.integers(0, classes)
            rows.append((i, f"a{annotator:03d}", int(label)))
    probs = rng.dirichlet(np.full(classes, 0.6), examples)
    probs[np.arange(examples), true] += rng.uniform(0, 1.5, examples)
    probs /= probs.sum(axis=1, keepdims=True)
    if decimals is not None:
        probs = np.floor(probs * 10**decimals) / 10**decimals
        probs[:, -1] = 1 - probs[:, :-1].sum(axis=1)
    return Made(true, pd.DataFrame(rows, columns=["id", "annotator", "label"]), probs, skills)


class LocalAudit:
    """The kernels of `AnnotatorAudit` on one record batch: what Spark would do, without it."""

    def __init__(self, annotations: pd.DataFrame, models: list[np.ndarray], num_classes: int) -> None:
        self.names = sorted(annotations["annotator"].unique())
        self.num_classes = num_classes
        codes = {name: code for code, name in enumerate(self.names)}
        coded = annotations.assign(code=annotations["annotator"].map(codes)).sort_values(["code", "label"])
        grouped = coded.groupby("id")
        self.ids = sorted(grouped.groups)
        columns = {
            "_id_0": pa.array(self.ids, pa.int64()),
            ANNOTATORS: pa.array(
                [grouped.get_group(i)["code"].tolist() for i in self.ids], pa.list_(pa.int32())
            ),
            LABELS: pa.array(
                [grouped.get_group(i)["label"].tolist() for i in self.ids], pa.list_(pa.int32())
            ),
            GOLD: pa.array([None] * len(self.ids), pa.int32()),
            PREDICTED: pa.array([True] * len(self.ids)),
        }
        names = tuple(f"{c.PROBS}_{model}" for model in range(len(models)))
        for name, probs in zip(names, models, strict=True):
            columns[name] = pa.array([probs[i].tolist() for i in self.ids])
        reduce = ReduceRows(("_id_0",), names, num_classes, ())
        (self.votes,) = reduce([pa.RecordBatch.from_pydict(columns)])
        self.num_models = len(models)
        disputed = self._count(UndisputedVote())
        agreement = divide_or_mean(disputed.annotators.agreed, disputed.annotators.examples)
        self.majority = MajorityVote(TieBreak(disputed.class_votes, agreement))
        self.first = self._count(self.majority)
        best = BestQuality(self.majority, fit_trust(self.first, num_classes))
        self.final = self._count(best)
        self.by_method = {
            "majority_vote": (self.first, Judgement(self.majority, fit_trust(self.first, num_classes))),
            "best_quality": (self.final, Judgement(best, fit_trust(self.final, num_classes))),
        }

    def _count(self, rule: ConsensusRule):  # type: ignore[no-untyped-def]
        kernel = CountBlocks(rule, len(self.names), self.num_classes, self.num_models)
        found = pd.concat([batch.to_pandas() for batch in kernel([self.votes])])
        summed = found.groupby(["kind", "key", "other_key"], as_index=False).sum()
        return read_counts(summed, len(self.names))

    def consensus(self, method: str) -> pd.DataFrame:
        (batch,) = JudgeExamples(self.by_method[method][1])([self.votes])
        return batch.to_pandas()

    def qualities(self, method: str) -> pd.DataFrame:
        (batch,) = JudgeVotes(self.by_method[method][1])([self.votes])
        return batch.to_pandas()

    def cells(self, method: str) -> pd.DataFrame:
        (batch,) = SumCells(self.by_method[method][1], self.num_classes)([self.votes])
        return batch.to_pandas()

    def scores(self) -> np.ndarray:
        counts, judgement = self.by_method["best_quality"]
        mean = mean_weight(judgement.trust, counts)
        (batch,) = ScoreLabeled(judgement, judgement.trust, mean)([self.votes])
        return batch.to_pandas()["_active_learning_score"].to_numpy()
