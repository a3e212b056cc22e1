"""`benchmark_models`: several models on one test set, by its given and by its corrected labels.

Accuracy on a test set with wrong labels rewards models that predict the wrong labels. Where wrong labels are
corrected, the order of models may turn round: the "benchmark effect".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, SparkSession

from cl_spark.errors import ConfigurationError
from cl_spark.evidence.class_columns import check_class_names
from cl_spark.methods.learning import accuracy as tables
from cl_spark.methods.learning.hits import count_hits
from cl_spark.methods.learning.model_predictions import list_tables, name_argument, select_predictions
from cl_spark.methods.learning.reviewed_labels import read_labels
from cl_spark.tables import columns as c
from cl_spark.tables.card import card
from cl_spark.tables.example_ids import ExampleIds
from cl_spark.tables.pandas_frames import to_spark


@dataclass(frozen=True)
class ModelComparison:
    """Accuracy and ranks of models by given and by corrected labels.

    All models, and both label kinds, are compared on the same examples: those that have a right label. An
    example whose corrected label is null has none, and counts nowhere but in `num_without_right_label`. An
    example that nobody reviewed has its given label as the corrected one. An example is *corrected* if its
    corrected label differs from the given one. The tables are small, and are Spark's.

    A model's rank is 1 for the most hits. Of models with equally many the one whose name comes first gets the
    better rank, so that ranks are 1, 2, 3, ... without gaps.

    Attributes:
        accuracy: a row for each label kind, subset, k and model: label_kind ("given" or "corrected": the
            label that a prediction is compared with), subset ("all", or "corrected": corrected examples
            only), top_k, model, examples, correct (examples whose label is among the k classes of highest
            probability; ties go to the lower class index), accuracy (correct / examples), lower and upper
            (its 95 % interval by Wilson), rank. Without examples, accuracy, interval and rank are null.
        class_accuracy: a row for each label kind, model and class: label_kind, model, class, examples (of the
            class, by the label of that kind), correct, accuracy. Top 1, all examples with a right label.
        rank_changes: a row for each subset, k and model, in the order of the ranks by given labels: subset,
            top_k, model, rank_given, rank_corrected, change (rank_given - rank_corrected: positive for a
            model that corrected labels lift).
        prevalence_accuracy: a row for each k, noise prevalence and model: top_k, prevalence (share of
            corrected examples), examples, model, correct_given, correct_corrected, accuracy_given,
            accuracy_corrected, rank_given, rank_corrected. See `benchmark_models` for how the prevalence is
            raised.
        flip_prevalences: a row for each k and pair of models: top_k, model_a, model_b (the later name),
            flip_prevalence and last_flip_prevalence: the lowest and the highest prevalence of
            `prevalence_accuracy` at which given labels put one of the two before the other, and corrected
            labels the other before the one. Both are null where there is none. A tie is no contradiction.
        models: names of the models, ascending.
        num_classes: K.
        num_examples: rows of the labels table.
        num_reviewed: examples that the table of corrected labels names.
        num_corrected: examples whose corrected label differs from the given one.
        num_without_right_label: examples whose corrected label is null, which are left out.
        noise_prevalence: num_corrected / (num_examples - num_without_right_label).
    """

    accuracy: DataFrame
    class_accuracy: DataFrame
    rank_changes: DataFrame
    prevalence_accuracy: DataFrame
    flip_prevalences: DataFrame
    models: tuple[str, ...]
    num_classes: int
    num_examples: int
    num_reviewed: int
    num_corrected: int
    num_without_right_label: int
    noise_prevalence: float

    def _repr_html_(self) -> str:
        return card(
            "Models by given and by corrected labels",
            {
                "models": len(self.models),
                "examples": self.num_examples,
                "corrected": self.num_corrected,
                "without a right label": self.num_without_right_label,
                "noise prevalence": f"{self.noise_prevalence:.2%}",
            },
        )


def benchmark_models(
    predictions: DataFrame | pd.DataFrame | Mapping[str, DataFrame | pd.DataFrame],
    labels: DataFrame | pd.DataFrame,
    corrected_labels: DataFrame | pd.DataFrame,
    *,
    id_col: str | Sequence[str] = "id",
    model_col: str = "model",
    pred_probs_col: str = "pred_probs",
    label_col: str = "label",
    corrected_col: str = "corrected_label",
    class_names: Sequence[str] | None = None,
    top_k: Sequence[int] = (1, 5),
    prevalences: Sequence[float] | None = None,
    seed: int = 0,
    spark: SparkSession | None = None,
) -> ModelComparison:
    """Compare models on a test set by its given labels, and by labels that people have corrected.

    The tables also tell how far the benchmark can be trusted if the test set had more wrong labels: examples
    whose label was not corrected are removed at random, until corrected examples make up a given share of the
    rest, the noise prevalence. They are removed in the order of a 64-bit hash of the id and the seed, which
    1,000 ranges of equal width cut into buckets; whole buckets are removed. So a wanted prevalence is met to
    within half a bucket, and results show the prevalence that was reached, not the wanted one.

    Predictions are read once, whatever the number of models, and only counts leave the cluster: one for each
    model and class, and one for each model and bucket. Wrong input is reported before any result is made;
    only then predictions are read again, to name examples.

    Args:
        predictions: a long table of ids, models and probabilities; or a mapping from names of models to
            tables of ids and probabilities. Probabilities are arrays of K floats or doubles, one per class.
            Scores of any scale do as well, for only their order matters.
        labels: ids and given labels of all examples of the test set.
        corrected_labels: ids and corrected labels of the reviewed examples. A null (or NaN) says that no
            label is right, because none of the classes fits, or several do.
        id_col: id column of all tables, or the columns of a composite key.
        model_col: column of the model's name, a string, in a long table.
        pred_probs_col: column of the probabilities.
        label_col: column of the given label: a class index (number of any type, or boolean) or a class name.
        corrected_col: column of the corrected label, of either kind too.
        class_names: names of the K classes in the order of the probabilities, which names as labels need;
            `class_accuracy` then shows names. Default None: indices, and K is the number of probabilities
            that most rows have.
        top_k: for each k, a prediction is correct if the label is among the k classes of highest probability.
            Where k is K or more, all are. Default 1 and 5, as usual for ImageNet.
        prevalences: noise prevalences of the grid, from the actual one up to 1. Default None: 20 at equal
            distances, from the actual one to 1.
        seed: changes which examples are removed first.
        spark: the session that turns pandas DataFrames into Spark's; default the active one.

    Raises:
        ConfigurationError: an argument cannot be used, or a prevalence not be reached.
        MissingColumnError: a column is missing.
        ColumnTypeError: a column is of a type that cannot be used.
        EmptyTableError: a table has no rows, or no example has a right label.
        InputError: rows cannot be used, each counted by its reason: in any table those without an id or with
            an id of several rows; labels that are null or no class; corrected labels of examples that
            `labels` does not hold; predictions with null, NaN, infinite or not K probabilities, without a
            model, or without a label; and models that lack an example, which would be compared on another
            test set.

    Source: Northcutt, Athalye, Mueller, "Pervasive Label Errors in Test Sets Destabilize Machine Learning
    Benchmarks", NeurIPS 2021 (Datasets and Benchmarks), section 5.

    Example:
        Three examples, the last of which is really of class 0. The model "memory" has learned the wrong
        label.

        >>> labels = pd.DataFrame({"id": [1, 2, 3], "label": [0, 1, 1]})
        >>> corrected = pd.DataFrame({"id": [3], "corrected_label": [0]})
        >>> memory = pd.DataFrame({"id": [1, 2, 3], "pred_probs": [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]})
        >>> honest = pd.DataFrame({"id": [1, 2, 3], "pred_probs": [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]})
        >>> comparison = benchmark_models({"memory": memory, "honest": honest}, labels, corrected, top_k=[1])
        >>> changes = comparison.rank_changes.where("subset = 'all'").orderBy("model")
        >>> {row.model: (row.rank_given, row.rank_corrected) for row in changes.collect()}
        {'honest': (2, 1), 'memory': (1, 2)}
    """
    check_class_names(class_names)
    ks, names = _check_top_k(top_k), None if class_names is None else list(class_names)
    if isinstance(seed, bool) or not isinstance(seed, int) or not -(2**63) <= seed < 2**63:
        raise ConfigurationError(f"seed must be a whole number of at most 64 bits, got {seed!r}")
    ids, by_model = ExampleIds.of(id_col), list_tables(predictions, spark)
    session = next(iter(by_model.values())).sparkSession
    given = to_spark(labels, session, argument="labels")
    corrected = to_spark(corrected_labels, session, argument="corrected_labels")
    ids.check(
        {"labels": given, "corrected_labels": corrected}
        | {name_argument(model): table for model, table in by_model.items()}
    )
    model_predictions = select_predictions(by_model, ids, model_col, pred_probs_col)
    reviewed = read_labels(given, corrected, ids, label_col, corrected_col, names, seed)
    grid = tables.choose_prevalences(prevalences, reviewed.noise_prevalence)
    counts = count_hits(model_predictions, reviewed, ks, None if names is None else len(names))
    accuracy = tables.tabulate_accuracy(counts)
    class_accuracy = tables.tabulate_class_accuracy(counts)
    if names is not None:
        class_accuracy[c.CLASS] = np.array(names, dtype=object)[class_accuracy[c.CLASS]]
    prevalence_accuracy = tables.tabulate_prevalences(counts, grid)
    frames = {
        "accuracy": accuracy,
        "class_accuracy": class_accuracy,
        "rank_changes": tables.tabulate_rank_changes(accuracy),
        "prevalence_accuracy": prevalence_accuracy,
        "flip_prevalences": tables.find_flips(prevalence_accuracy, counts.models),
    }
    return ModelComparison(
        **{name: _to_table(frame, session) for name, frame in frames.items()},
        models=tuple(counts.models),
        num_classes=counts.num_classes,
        num_examples=reviewed.num_examples,
        num_reviewed=reviewed.num_reviewed,
        num_corrected=reviewed.num_corrected,
        num_without_right_label=reviewed.num_without_right_label,
        noise_prevalence=reviewed.noise_prevalence,
    )


def _to_table(frame: pd.DataFrame, spark: SparkSession) -> DataFrame:
    """Turn a table into Spark's; of one model there are no pairs, and no rows that would tell types."""
    return spark.createDataFrame([], tables.FLIP_COLUMNS) if frame.empty else to_spark(frame, spark)


def _check_top_k(top_k: Any) -> tuple[int, ...]:
    ks = list(top_k) if isinstance(top_k, Sequence | np.ndarray) and not isinstance(top_k, str) else []
    if not ks or not all(isinstance(k, int | np.integer) and not isinstance(k, bool) and k >= 1 for k in ks):
        raise ConfigurationError(f"top_k must list whole numbers from 1 on, such as (1, 5), got {top_k!r}")
    return tuple(sorted({int(k) for k in ks}))
