"""Ensembles: what several models, folds or epochs say of the same examples, one by one."""

import logging
from collections.abc import Iterator, Mapping, Sequence, Set, Sized
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError, EmptyTableError, InputError
from cl_spark.evidence.blocks import Block
from cl_spark.evidence.packing import ddl
from cl_spark.evidence.prob_formats import DenseProbs
from cl_spark.kernels import CACHED_VALUES, EPS
from cl_spark.kernels import ensembles as kernels
from cl_spark.kernels.arrays import Bools, Float64s, Int32s
from cl_spark.kernels.fixed_point import exact_mean, split_limbs
from cl_spark.kernels.quality_scores import THRESHOLD_COSINE
from cl_spark.methods.classification.scan import Scan
from cl_spark.methods.classification.scores import ScoresOfRows, check_method, needs_arrays
from cl_spark.methods.classification.thresholds import ClassStatistics, ConfidenceSum
from cl_spark.tables import columns as c

WEIGHTS = ("uniform", "accuracy", "log_loss_search")
"""Ways to weigh models, by the names that users give."""

CORRECTNESS, DISAGREEMENT = "correctness", "disagreement"
MEAN_MARGIN, MARGIN_VARIANCE = "mean_margin", "margin_variance"

ENSEMBLE_COLUMNS = (c.LABEL_QUALITY, CORRECTNESS, DISAGREEMENT, MEAN_MARGIN, MARGIN_VARIANCE)
"""Numbers of each example."""

_MODEL, _CLASS = "model", "class"
_LOSS = ("loss_whole", "loss_high", "loss_low")
_CONFIDENCE = ("examples", "whole", "high", "low")
_SUMS = ("examples", "hits", "whole", "high", "low", *_LOSS)


logger = logging.getLogger(__name__)

NEAR_ONE = 1e-6
"""How far a sum of weights may be from 1 without a word."""


def check_weights(weights: str | Sequence[float], num_models: int) -> None:
    """Check how models are to be weighed.

    Raises:
        ConfigurationError: there is no such way, or they are not a list with a number for each model.
    """
    if isinstance(weights, str):
        if weights not in WEIGHTS:
            raise ConfigurationError(
                f"weights={weights!r} is unknown; choose one of {', '.join(WEIGHTS)}, or give "
                f"{num_models} numbers"
            )
        return
    values = _read_numbers(weights, num_models)
    if len(values) != num_models:
        raise ConfigurationError(f"weights: {len(values)} were given for {num_models} models")
    if not np.isfinite(values).all() or (values < 0).any() or not values.any():
        raise ConfigurationError(
            f"weights={list(weights)!r} must be finite, none of them negative, and not all 0"
        )
    if abs(values.sum() - 1) > NEAR_ONE:
        logger.warning(
            "weights=%r add up to %g, and so the scores go up to that: divide them by it for a mean",
            list(weights),
            values.sum(),
        )


def _read_numbers(weights: Sequence[float], num_models: int) -> Float64s:
    """Read the weights that a caller gives as numbers, in the order of the models."""
    wanted = ConfigurationError(
        f"weights={weights!r} must be one of {', '.join(WEIGHTS)}, or a list of {num_models} numbers in the "
        "order of pred_probs_cols"
    )
    # neither knows the order of the models, an iterator is read once, and numpy reads texts that are numbers
    if isinstance(weights, Mapping | Set) or not isinstance(weights, Sized):
        raise wanted
    numbers = list(weights)
    if any(isinstance(number, str) for number in numbers):
        raise wanted
    try:
        values = np.asarray(numbers, dtype=np.float64)
    except (TypeError, ValueError):
        raise wanted from None
    if values.ndim != 1:
        raise wanted
    return values


@dataclass(frozen=True)
class Ensemble:
    """The models of a table that was scanned: each column of `pred_probs_cols` is one.

    Attributes:
        scan: the scan of their mean, which tells what rows are accepted, and K.
    """

    scan: Scan

    @property
    def num_models(self) -> int:
        """M."""
        return len(self.scan.predictions.pred_probs_cols)

    def score(
        self, method: str, adjust_pred_probs: bool, weights: str | Sequence[float], columns: Sequence[str]
    ) -> DataFrame:
        """Score all accepted rows; scans the data once, or again where weights or scores need statistics.

        Args:
            method: label quality score of each model.
            adjust_pred_probs: score adjusted probabilities, by each model's own confident thresholds.
            weights: how the scores are weighed.
            columns: columns of `Predictions.row_types` wanted of each row.

        Returns:
            These columns and `ENSEMBLE_COLUMNS`.

        Raises:
            ConfigurationError: an option is unknown, or needs probabilities, and some are none, or the
                thresholds of each model, and the audit was given some.
            EmptyTableError: weights are to be found, and there is no example.
            InputError: no model predicts a given label, so that accuracy weighs none.
        """
        check_method(method, adjust_pred_probs, "method")
        check_weights(weights, self.num_models)
        cause = "adjust_pred_probs" if adjust_pred_probs else f"method={method!r}"
        needs_thresholds = adjust_pred_probs or method == THRESHOLD_COSINE
        if needs_thresholds and self.scan.given_thresholds is not None:
            raise ConfigurationError(
                f"{cause} takes the confident thresholds of each model, and the thresholds that LabelAudit "
                "was given are those of their mean: leave thresholds out, or score otherwise"
            )
        if needs_arrays(method, adjust_pred_probs):
            self.statistics.check_probabilities(cause)
        thresholds = self.statistics.thresholds if needs_thresholds else None
        kernel = ModelScores(
            self.num_models, self.scan.num_classes, method, self._weigh(weights), thresholds, columns
        )
        types = {name: kind for name, kind in self.scan.predictions.row_types.items() if name in columns}
        schema = ddl({**types, **dict.fromkeys(ENSEMBLE_COLUMNS, "double")})
        return self.scan.read_arrays()(kernel, schema, ("ids", "kept"))

    @cached_property
    def statistics(self) -> "ModelStatistics":
        """Statistics of each model, by a scan."""
        kernel = ModelSums(self.num_models, self.scan.num_classes)
        types = {_MODEL: "int", _CLASS: "int", **dict.fromkeys(_SUMS, "bigint")}
        schema = ddl({**types, "least": "double", "highest": "double"})
        rows = (
            self.scan.read_arrays()(kernel, schema, ("kept",))
            .groupBy(_MODEL, _CLASS)
            .agg(*[F.sum(name).alias(name) for name in _SUMS], F.min("least").alias("least"),
                 F.max("highest").alias("highest"))
            .collect()
        )  # fmt: skip
        return ModelStatistics(self.scan.predictions.pred_probs_cols, self.scan.num_classes, rows)

    def _weigh(self, weights: str | Sequence[float]) -> Float64s:
        """(M,) weights of the models: of sum 1, but numbers of the caller are used as they are."""
        if not isinstance(weights, str):
            return _read_numbers(weights, self.num_models)
        if weights == "uniform":
            return np.full(self.num_models, 1 / self.num_models)
        if not self.statistics.rows:
            raise EmptyTableError(
                f"weights={weights!r} is told from examples, and no row of the input can be used: give "
                f"'uniform', or {self.num_models} numbers"
            )
        if weights == "accuracy":
            return self.statistics.weigh_by_accuracy()
        self.statistics.check_probabilities(f"weights={weights!r}")
        candidates = kernels.weigh_by_log_loss(self.statistics.log_losses())
        kernel = CandidateLosses(self.num_models, self.scan.num_classes, candidates)
        losses = self.scan.read_arrays()(kernel, ddl(dict.fromkeys(_LOSS, "array<bigint>")), ("kept",))
        # each with a name: Spark 3.5 makes none of get()
        sums = [
            F.sum(F.get(name, F.lit(i))).alias(f"{name}_{i}")
            for i in range(len(candidates))
            for name in _LOSS
        ]
        limbs = np.reshape(losses.agg(*sums).collect()[0], (-1, 3)).tolist()
        count = self.scan.statistics.num_examples
        means = [exact_mean(whole, high, low, count) for whole, high, low in limbs]
        return np.asarray(candidates[int(np.argmin(means))])


@dataclass(frozen=True)
class ModelStatistics:
    """Statistics of M models on the same examples.

    Attributes:
        names: (M,) columns of the models.
        num_classes: K.
        rows: sums by model and given class.
    """

    names: Sequence[str]
    num_classes: int
    rows: Sequence[Row]

    @cached_property
    def thresholds(self) -> Float64s:
        """(M, K) confident thresholds of each model."""
        return np.array([self._summarize(model).thresholds() for model in range(len(self.names))])

    def _summarize(self, model: int) -> ClassStatistics:
        rows = [row for row in self.rows if row[_MODEL] == model]
        sums = {row[_CLASS]: ConfidenceSum(*(row[name] for name in _CONFIDENCE)) for row in rows}
        least, highest = min(row["least"] for row in rows), max(row["highest"] for row in rows)
        return ClassStatistics(self.num_classes, sums, least, highest)

    def log_losses(self) -> Float64s:
        """(M,) mean log losses."""
        sums = self._sum_by_model(*_LOSS, "examples")
        return np.array([exact_mean(whole, high, low, count) for whole, high, low, count in sums])

    def weigh_by_accuracy(self) -> Float64s:
        """(M,) weights in proportion to the share of examples whose given label a model predicts.

        Raises:
            InputError: no model predicts a given label.
        """
        hits = np.array(self._sum_by_model("hits"), dtype=np.float64)[:, 0]
        if not hits.any():
            raise InputError(
                "weights='accuracy': no model predicts the given label of any example, so all weights are 0: "
                "check that labels and probabilities have one order of classes, or take 'uniform'"
            )
        return np.asarray(hits / hits.sum())

    def check_probabilities(self, option: str) -> None:
        """Check that each model holds probabilities, for an option that needs them.

        Raises:
            ConfigurationError: one holds scores or logits.
        """
        for row in self.rows:
            if row["least"] < -EPS or row["highest"] > 1 + EPS:
                raise ConfigurationError(
                    f"{option} needs probabilities, but {self.names[row[_MODEL]]!r} holds values from "
                    f"{row['least']:g} to {row['highest']:g}: normalise them (softmax), or take "
                    "self_confidence or normalized_margin, unadjusted, and other weights"
                )

    def _sum_by_model(self, *names: str) -> list[list[int]]:
        return [
            [sum(row[name] for row in self.rows if row[_MODEL] == model) for name in names]
            for model in range(len(self.names))
        ]


@dataclass(frozen=True)
class _ModelKernel:
    """Kernel of blocks whose arrays hold the probabilities of all models.

    Attributes:
        num_models: M.
        num_classes: K.
    """

    num_models: int
    num_classes: int

    def read(self, blocks: Iterator[Block]) -> Iterator[tuple[Block, slice, Int32s, Float64s]]:
        """Read as many rows at a time as stay in the processor's cache: their block, which of its rows they
        are, their (m,) given classes, and the (m, M, K) probabilities.
        """
        shape = (-1, self.num_models, self.num_classes)
        step = max(CACHED_VALUES // (self.num_models * self.num_classes), 1)
        for block in blocks:
            for start in range(0, len(block), step):
                rows = slice(start, start + step)
                lists = DenseProbs("double").take_apart(block.kept.arrays[rows])
                yield block, rows, block.given[rows], lists.probs.reshape(shape)


@dataclass(frozen=True)
class ModelSums(_ModelKernel):
    """Kernel: sums by model and given class of a Spark task's rows."""

    def __call__(self, blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
        """Sum the rows of a Spark task."""
        shape = (self.num_models, self.num_classes)
        sums = {name: np.zeros(shape, dtype=np.int64) for name in _SUMS}
        least, highest = np.full(shape, np.inf), np.full(shape, -np.inf)
        for _, _, given, of_models in self.read(blocks):
            for model in range(self.num_models):
                probs = of_models[:, model]
                confidence, loss = probs[np.arange(len(given)), given], kernels.log_loss(given, probs)
                is_hit = probs.argmax(axis=1) == given
                values: list[Float64s | Bools | None] = [None, is_hit]
                values += [*split_limbs(confidence), *split_limbs(loss)]
                for name, value in zip(_SUMS, values, strict=True):
                    # whole numbers below 2^53, and so exact though bincount adds doubles
                    counted = np.bincount(given, value, self.num_classes)
                    sums[name][model] += counted.astype(np.int64)
                np.minimum.at(least[model], given, probs.min(axis=1))
                np.maximum.at(highest[model], given, probs.max(axis=1))
        of_model, class_index = np.nonzero(sums["examples"])
        yield pa.RecordBatch.from_pydict(
            {
                _MODEL: pa.array(of_model, pa.int32()),
                _CLASS: pa.array(class_index, pa.int32()),
                **{name: pa.array(of_class[of_model, class_index]) for name, of_class in sums.items()},
                "least": pa.array(least[of_model, class_index]),
                "highest": pa.array(highest[of_model, class_index]),
            }
        )


@dataclass(frozen=True)
class CandidateLosses(_ModelKernel):
    """Kernel: sums of the log losses of several weighted means, of a Spark task's rows.

    Attributes:
        weights: (T, M) weights.
    """

    weights: Float64s

    def __call__(self, blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
        """Sum the losses of a Spark task: an array of T sums for each limb."""
        sums = np.zeros((len(_LOSS), len(self.weights)), dtype=np.int64)
        for _, _, given, of_models in self.read(blocks):
            losses = kernels.log_loss_of_mean(given, of_models, self.weights)
            sums += np.array([limb.sum(axis=0) for limb in split_limbs(losses)], dtype=np.int64)
        of_limb = zip(_LOSS, sums.tolist(), strict=True)
        yield pa.RecordBatch.from_pydict({name: [values] for name, values in of_limb})


@dataclass(frozen=True)
class ModelScores(_ModelKernel):
    """Kernel: columns of rows with `ENSEMBLE_COLUMNS`.

    Attributes:
        method: label quality score of each model.
        weights: (M,) weights of the scores.
        thresholds: (M, K) confident thresholds of each model, where the score needs them.
        columns: columns of each row.
    """

    method: str
    weights: Float64s
    thresholds: Float64s | None
    columns: Sequence[str]

    def __call__(self, blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
        """Score the rows of a Spark task."""
        for block, rows, given, of_models in self.read(blocks):
            score = np.zeros(len(given))
            for model, weight in enumerate(self.weights):
                thresholds = None if self.thresholds is None else self.thresholds[model]
                of_model = ScoresOfRows(self.method, given, thresholds)
                score += weight * of_model(slice(None), of_models[:, model])
            predicted, margins = of_models.argmax(axis=2), kernels.margins(given, of_models)
            numbers = {
                c.LABEL_QUALITY: score,
                CORRECTNESS: (predicted == given[:, None]).mean(axis=1),
                DISAGREEMENT: (predicted != block.predicted[rows, None]).mean(axis=1),
                MEAN_MARGIN: margins.mean(axis=1),
                MARGIN_VARIANCE: margins.var(axis=1),
            }
            yield block.to_batch(np.arange(len(block))[rows], self.columns, numbers)
