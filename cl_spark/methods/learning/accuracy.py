"""Accuracy of models by given and by corrected labels: tables that follow from counts of hits.

All tables are small, and are made with pandas on the driver.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from cl_spark.errors import ConfigurationError
from cl_spark.kernels.arrays import Float64s, Int64s
from cl_spark.methods.classification.health import wilson_interval
from cl_spark.methods.learning.hits import KIND, NUM_BUCKETS, VALUE, HitCounts, Kind, name_hits
from cl_spark.tables import columns as c

MODEL, LABEL_KIND, SUBSET, TOP_K, CORRECT, ACCURACY = (
    "model",
    "label_kind",
    "subset",
    "top_k",
    "correct",
    "accuracy",
)
"""Columns of several tables."""

RANK_GIVEN, RANK_CORRECTED = "rank_given", "rank_corrected"
PREVALENCE, CORRECT_GIVEN, CORRECT_CORRECTED = "prevalence", "correct_given", "correct_corrected"

GIVEN, CORRECTED, ALL = "given", "corrected", "all"
"""Values of `label_kind`, and of `subset`."""

PARTS = {
    (GIVEN, ALL): (Kind.UNCHANGED, Kind.GIVEN),
    (GIVEN, CORRECTED): (Kind.GIVEN,),
    (CORRECTED, ALL): (Kind.UNCHANGED, Kind.CORRECTED),
    (CORRECTED, CORRECTED): (Kind.CORRECTED,),
}
"""Kinds of counts that make up the examples of a label kind and a subset."""

FLIP_COLUMNS = (
    f"{TOP_K} long, model_a string, model_b string, flip_prevalence double, last_flip_prevalence double"
)
"""Columns of `ModelComparison.flip_prevalences`, as Spark reads them."""

NUM_PREVALENCES = 20
"""Points of the default grid."""


def tabulate_accuracy(counts: HitCounts) -> pd.DataFrame:
    """Tabulate the accuracy of each model by label kind, subset and k: `ModelComparison.accuracy`."""
    tables = []
    for (label_kind, subset), kinds in PARTS.items():
        chosen = counts.frame[counts.frame[KIND].isin(kinds)]
        sums = chosen.groupby(MODEL).sum(numeric_only=True).reindex(counts.models, fill_value=0)
        for k in counts.top_k:
            examples, correct = sums[c.EXAMPLES].to_numpy(), sums[name_hits(k)].to_numpy()
            table = pd.DataFrame({LABEL_KIND: label_kind, SUBSET: subset, TOP_K: k, MODEL: counts.models})
            table[c.EXAMPLES], table[CORRECT], table[ACCURACY] = examples, correct, divide(correct, examples)
            ends = [
                wilson_interval(share, n) if n else (np.nan, np.nan)
                for share, n in zip(table[ACCURACY].tolist(), examples.tolist(), strict=True)
            ]
            table[[c.LOWER, c.UPPER]] = np.array(ends)
            table[c.RANK] = pd.Series(rank_models(correct), dtype="Int64").mask(examples == 0)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def tabulate_class_accuracy(counts: HitCounts) -> pd.DataFrame:
    """Tabulate the top-1 accuracy of each model by label kind and class: `ModelComparison.class_accuracy`.

    Classes are indices here.
    """
    tables = []
    every = pd.MultiIndex.from_product([counts.models, range(counts.num_classes)], names=[MODEL, c.CLASS])
    for label_kind in (GIVEN, CORRECTED):
        chosen = counts.frame[counts.frame[KIND].isin(PARTS[label_kind, ALL])]
        sums = chosen.groupby([MODEL, VALUE])[[c.EXAMPLES, name_hits(1)]].sum()
        table = sums.rename_axis(index=[MODEL, c.CLASS]).reindex(every, fill_value=0).reset_index()
        table.insert(0, LABEL_KIND, label_kind)
        table = table.rename(columns={name_hits(1): CORRECT})
        table[ACCURACY] = divide(table[CORRECT].to_numpy(), table[c.EXAMPLES].to_numpy())
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def tabulate_rank_changes(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the ranks by given and by corrected labels, as `ModelComparison.rank_changes` has them.

    Args:
        accuracy: as `tabulate_accuracy` returns it.
    """
    ranks = accuracy.set_index([MODEL, SUBSET, TOP_K, LABEL_KIND])[c.RANK].unstack(LABEL_KIND)
    table = ranks.rename(columns={GIVEN: RANK_GIVEN, CORRECTED: RANK_CORRECTED}).reset_index()
    table["change"] = table[RANK_GIVEN] - table[RANK_CORRECTED]
    columns = [SUBSET, TOP_K, MODEL, RANK_GIVEN, RANK_CORRECTED, "change"]
    return table[columns].sort_values([SUBSET, TOP_K, RANK_GIVEN, MODEL], ignore_index=True)


def choose_prevalences(prevalences: Sequence[float] | None, actual: float) -> list[float]:
    """Choose the grid of noise prevalences.

    Args:
        prevalences: those that were asked for; None: 20, evenly from the actual one up to 1.
        actual: noise prevalence of the whole test set, the lowest that can be reached.

    Raises:
        ConfigurationError: a prevalence is not between the actual one and 1.

    Example:
        >>> choose_prevalences([1, 0.25], actual=0.2)
        [0.25, 1.0]
    """
    if prevalences is None:
        # without corrected examples, removing others leaves the prevalence at 0
        return [float(p) for p in np.linspace(actual, 1, NUM_PREVALENCES)] if actual else [0.0]
    for prevalence in prevalences:
        if not isinstance(prevalence, int | float):
            raise ConfigurationError(f"prevalences must be numbers, got {prevalence!r}")
        if not actual - 1e-9 <= prevalence <= 1 or (prevalence > 0 and not actual):
            raise ConfigurationError(
                f"prevalences: {prevalence!r} cannot be reached. The test set has a noise prevalence of "
                f"{actual:.6g}, and correctly labelled examples are removed from it: give values from "
                "there up to 1" + ("" if actual else ". No corrected label differs from the given one")
            )
    if len(prevalences) == 0:
        raise ConfigurationError(
            "prevalences holds no value: give at least one, or None for the default grid"
        )
    return sorted(map(float, prevalences))


def tabulate_prevalences(counts: HitCounts, prevalences: Sequence[float]) -> pd.DataFrame:
    """Tabulate accuracy and ranks as unchanged examples are removed, as
    `ModelComparison.prevalence_accuracy`.

    The examples that stay are those of the first buckets, so that a higher prevalence has a subset of the
    examples of a lower one. Of the possible numbers of buckets the one is taken whose number of examples is
    closest to the number wanted (the smaller one on a tie). Wanted prevalences that come to the same examples
    are one row.

    Args:
        counts: the counts.
        prevalences: wanted noise prevalences, ascending.
    """
    unchanged = _sum_buckets(counts, c.EXAMPLES)[:, 0]
    corrected = _sum_kind(counts, Kind.CORRECTED, c.EXAMPLES)[0]
    buckets = sorted({find_prefix(unchanged, int(corrected), p) for p in prevalences}, reverse=True)
    kept, tables = unchanged[buckets], []
    for k in counts.top_k:
        hits = _sum_buckets(counts, name_hits(k))[buckets]
        given, fixed = (hits + _sum_kind(counts, kind, name_hits(k)) for kind in (Kind.GIVEN, Kind.CORRECTED))
        for row, examples in enumerate((kept + corrected).tolist()):
            share = corrected / examples
            table = pd.DataFrame({TOP_K: k, PREVALENCE: share, c.EXAMPLES: examples, MODEL: counts.models})
            table[CORRECT_GIVEN], table[CORRECT_CORRECTED] = given[row], fixed[row]
            table["accuracy_given"] = given[row] / examples
            table["accuracy_corrected"] = fixed[row] / examples
            table[RANK_GIVEN], table[RANK_CORRECTED] = rank_models(given[row]), rank_models(fixed[row])
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def find_prefix(unchanged: Int64s, corrected: int, prevalence: float) -> int:
    """Find the number of buckets to keep for a noise prevalence, in [0, NUM_BUCKETS].

    Args:
        unchanged: (NUM_BUCKETS + 1,) unchanged examples in the first 0, 1, ... buckets.
        corrected: corrected examples.
        prevalence: wanted noise prevalence.

    Example:
        15 unchanged examples are wanted, to which 10 are as close as 20.

        >>> find_prefix(np.array([0, 10, 20, 30]), corrected=5, prevalence=0.25)
        1
    """
    wanted = corrected * (1 - prevalence) / prevalence if corrected else float(unchanged[-1])
    return int(np.argmin(np.abs(unchanged - wanted)))  # the first of those that are equally close


def find_flips(prevalence_accuracy: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """Find where pairs of models change their order, as `ModelComparison.flip_prevalences` has it.

    Args:
        prevalence_accuracy: as `tabulate_prevalences` returns it.
        models: names of the models, ascending.
    """
    pairs = pd.DataFrame(list(combinations(models, 2)), columns=["model_a", "model_b"], dtype=object)
    first, second = np.triu_indices(len(models), 1)
    tables = []
    for k, of_k in prevalence_accuracy.groupby(TOP_K, sort=True):
        given, corrected = (
            of_k.pivot(index=PREVALENCE, columns=MODEL, values=col)[list(models)]
            for col in (CORRECT_GIVEN, CORRECT_CORRECTED)
        )
        orders = (
            np.sign(table.to_numpy()[:, first] - table.to_numpy()[:, second]) for table in (given, corrected)
        )
        is_flipped = np.prod(list(orders), axis=0) < 0
        at = np.where(is_flipped, given.index.to_numpy()[:, None], np.nan)
        never = np.full((1, len(pairs)), np.nan)
        table = pairs.copy()
        table.insert(0, TOP_K, k)
        table["flip_prevalence"] = np.fmin.reduce(np.vstack([at, never]))
        table["last_flip_prevalence"] = np.fmax.reduce(np.vstack([at, never]))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def rank_models(correct: Int64s) -> Int64s:
    """Rank models that are in the order of their names: 1 has most hits; of equal ones, the lower name.

    Example:
        >>> rank_models(np.array([7, 9, 9])).tolist()
        [3, 1, 2]
    """
    ranks = np.empty(len(correct), dtype=np.int64)
    ranks[np.argsort(-correct, kind="stable")] = np.arange(1, len(correct) + 1)
    return ranks


def divide(correct: Int64s, examples: Int64s) -> Float64s:
    """Divide hits by examples; NaN, which tables show as null, without examples."""
    return np.where(examples > 0, correct / np.maximum(examples, 1), np.nan)


def _sum_buckets(counts: HitCounts, col: str) -> Int64s:
    """Sum a column over the first buckets: (NUM_BUCKETS + 1, models)."""
    of_buckets = counts.frame[counts.frame[KIND] == Kind.BUCKET]
    table = of_buckets.pivot(index=VALUE, columns=MODEL, values=col)
    sums = table.reindex(index=range(NUM_BUCKETS), columns=counts.models).fillna(0).to_numpy(dtype=np.int64)
    return np.vstack([np.zeros((1, len(counts.models)), dtype=np.int64), sums.cumsum(axis=0)])


def _sum_kind(counts: HitCounts, kind: Kind, col: str) -> Int64s:
    """Sum a column over the counts of a kind: (models,)."""
    sums = counts.frame[counts.frame[KIND] == kind].groupby(MODEL)[col].sum()
    return sums.reindex(counts.models, fill_value=0).to_numpy(dtype=np.int64)
