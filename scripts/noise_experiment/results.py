"""Results of the experiment: values of each seed, and what is said of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scripts.noise_experiment.trials import Condition

Values = Mapping[str, Sequence[float]]
"""One value per seed, by the name of what it belongs to."""


@dataclass(frozen=True)
class CorrectionResult:
    """What was found wrong in the labels of a condition, and what it is worth.

    Attributes:
        precision: of the label issues, by filter.
        recall: likewise.
        f1: likewise.
        accuracies: test accuracy, by way of training (see `training.train_each_way`), and of cleanlab.
        num_same_issues: for how many seeds cleanlab found the same label issues.
        num_same_if_stable: likewise, with stable sorts.
        num_dominant: for how many seeds the estimated noise rates have a dominant diagonal.
    """

    precision: Values
    recall: Values
    f1: Values
    accuracies: Values
    num_same_issues: int
    num_same_if_stable: int
    num_dominant: int


Corrections = Mapping[Condition, CorrectionResult]
Comparisons = Mapping[Condition, Values]
"""Test accuracies of a condition, by method."""


def transpose(rows: Sequence[Mapping[str, float]]) -> Values:
    """Turn one mapping per seed into one list of values per name.

    Example:
        >>> transpose([{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 4.0}])
        {'a': [1.0, 3.0], 'b': [2.0, 4.0]}
    """
    return {name: [row[name] for row in rows] for name in rows[0]}


def mean(values: Iterable[float]) -> float:
    """Compute the mean, rounded far beyond what is shown, so that equal values have equal means."""
    return round(float(np.mean([*values])), 12)


def show(values: Sequence[float]) -> str:
    """Show the mean and the deviation (of a sample) as percentages; of one value the value alone.

    Example:
        >>> show([0.5, 0.7]), show([0.5])
        ('60.0 ± 14.1', '50.0')
    """
    shown = f"{100 * mean(values):.1f}"
    return shown if len(values) < 2 else f"{shown} ± {100 * np.std(values, ddof=1):.1f}"


def find_best(values: Values, names: Sequence[str]) -> list[str]:
    """Find the names with the highest mean: several if they are equal."""
    means = {name: mean(values[name]) for name in names}
    highest = max(means.values())
    return [name for name in names if means[name] == highest]


def count_best(all_values: Sequence[Values], names: Sequence[str]) -> str:
    """Count how often each name has the highest mean, as a text; equal ones count for each.

    Example:
        >>> count_best([{"a": [1.0], "b": [0.0]}, {"a": [1.0], "b": [1.0]}], ["a", "b"])
        'a 2, b 1'
    """
    best = [name for values in all_values for name in find_best(values, names)]
    return ", ".join(f"{name} {best.count(name)}" for name in sorted(names, key=best.count, reverse=True))


def join_or_none(items: Sequence[str]) -> str:
    """Join items by semicolons, or say that there are none."""
    return "; ".join(items) or "none"
