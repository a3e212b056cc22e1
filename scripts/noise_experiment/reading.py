"""Sentences on the results: all their numbers and names are counted from the values, none is typed."""

from collections.abc import Callable, Sequence

import numpy as np

from scripts.noise_experiment.methods import METHODS
from scripts.noise_experiment.results import (
    Comparisons,
    CorrectionResult,
    Corrections,
    Values,
    count_best,
    find_best,
    join_or_none,
    mean,
)
from scripts.noise_experiment.training import CONFIDENT_LEARNING, FILTER, HOWS
from scripts.noise_experiment.trials import FILTERS

ALL_LABELS = "all labels"


def summarise_corrections(results: Corrections) -> list[str]:
    """Say where pruning beats training on all labels, where not, and how far cleanlab is from it."""
    accuracies = {condition: result.accuracies for condition, result in results.items()}
    better = [condition for condition, values in accuracies.items() if is_better(values, "prune")]
    worse = [
        f"{condition}: {percent(values['prune'])} against {percent(values[ALL_LABELS])} %"
        for condition, values in accuracies.items()
        if condition not in better
    ]
    always = [condition for condition in better if is_always_better(accuracies[condition], "prune")]
    of_conditions = [abs(mean(values["prune"]) - mean(values["cleanlab"])) for values in accuracies.values()]
    of_seeds = [
        abs(ours - theirs)
        for values in accuracies.values()
        for ours, theirs in zip(values["prune"], values["cleanlab"], strict=True)
    ]
    num_same = sum(result.num_same_issues for result in results.values())
    num_stable = sum(result.num_same_if_stable for result in results.values())
    return [
        f"Pruning beats training on all labels, in the mean of the seeds, in {len(better)} of {len(results)} "
        f"conditions; in {len(always)} it does for every seed. All have a noise of 20 % or more.",
        f"Conditions where it does not: {join_or_none(worse)}.",
        f"The largest difference between pruning here and in cleanlab is {100 * max(of_conditions):.2f} "
        f"points of accuracy in the mean of a condition, and {100 * max(of_seeds):.2f} points for one seed. "
        f"Both prune the same examples for {num_same} of {len(of_seeds)} noisy data sets; and for "
        f"{num_stable} if cleanlab's sorts, which order equal values by chance, are made stable.",
    ]


def read_corrections(results: Corrections) -> list[str]:
    """Say which corrections do best, and where they do not help."""
    values = [result.accuracies for result in results.values()]
    averages = {way: 100 * mean(mean(each[way]) for each in values) for way in values[0]}
    gains = [
        f"{dataset} {100 * mean(gain):+.1f} at noise {noise:g}"
        for (dataset, noise), gain in gather(results, lambda result: gain_of(result, "prune")).items()
    ]
    num_seeds = len(values[0][ALL_LABELS])
    dominant = [
        f"{sum(counts):.0f} of {num_seeds * len(counts)} of {dataset} at noise {noise:g}"
        for (dataset, noise), counts in gather(results, lambda result: result.num_dominant).items()
    ]
    return [
        f"Pruning changes the mean accuracy, in points, by: {join_or_none(gains)}.",
        "The mean accuracy over all conditions is "
        + ", ".join(f"{average:.1f} % ({way})" for way, average in averages.items())
        + ".",
        "Conditions where a correction has the highest mean accuracy of the three (equal ones all count): "
        f"{count_best(values, HOWS)}.",
        *(say_where_worse(results, how) for how in HOWS),
        "Reweighting inverts the estimated noise rates, and amplifies their errors where a class is hardly "
        "given its own label more often than others. Noisy data sets where the estimated diagonal is "
        f"dominant: {join_or_none(dominant)}.",
    ]


def read_filters(results: Corrections) -> list[str]:
    """Say which filters do best, and where they do no better than no filter."""
    f1 = [result.f1 for result in results.values()]
    averages = {name: 100 * mean(mean(each[name]) for each in f1) for name in FILTERS}
    ranked = sorted(FILTERS, key=averages.__getitem__, reverse=True)
    useless = [
        f"{condition}: {percent(result.f1[FILTER])} %"
        for condition, result in results.items()
        if mean(result.f1[FILTER]) <= f1_of_all(condition.noise)
    ]
    yardsticks = {condition.noise: f1_of_all(condition.noise) for condition in results}
    shown = ", ".join(f"{100 * f1:.0f} % at noise {noise:g}" for noise, f1 in sorted(yardsticks.items()))
    return [
        "The mean F1 over all conditions is "
        + ", ".join(f"{averages[name]:.1f} % ({name})" for name in ranked)
        + f". Conditions where a filter has the highest mean F1: {count_best(f1, FILTERS)}.",
        f"To call every label wrong would have an F1 of {shown}. Conditions where `{FILTER}` does no better: "
        f"{join_or_none(useless)}.",
    ]


def read_comparison(results: Comparisons) -> list[str]:
    """Say, for each condition, which methods do best, and how the ways of confident learning compare."""
    lines = []
    ahead = 0
    for condition, values in results.items():
        best = find_best(values, CONFIDENT_LEARNING)
        highest = mean(values[best[0]])
        above = [name for name in METHODS if mean(values[name]) > highest]
        below = [name for name in CONFIDENT_LEARNING if not is_better(values, name, "baseline")]
        ahead += beats_all_methods(values, best[0])
        lines.append(
            f"{condition}: the best way of confident learning is {', '.join(best)} with {100 * highest:.1f} "
            f"%; the baseline has {percent(values['baseline'])} %. Methods with a higher mean: "
            f"{join_or_none([f'{name} ({percent(values[name])} %)' for name in above])}. Ways of confident "
            f"learning that do not beat the baseline: {join_or_none(below)}."
        )
    lines.append(
        f"The best of the five ways of confident learning has the highest mean in {ahead} of {len(results)} "
        "conditions. To be the best of five in hindsight is an advantage; a single one, `both`, beats every "
        f"other method in {sum(beats_all_methods(values, 'both') for values in results.values())}, and "
        f"`{FILTER}` in {sum(beats_all_methods(values, FILTER) for values in results.values())}."
    )
    return lines


def is_better(values: Values, name: str, than: str = ALL_LABELS) -> bool:
    """Tell whether one mean is higher than another."""
    return mean(values[name]) > mean(values[than])


def is_always_better(values: Values, name: str, than: str = ALL_LABELS) -> bool:
    """Tell whether the value of each seed is higher than another."""
    return bool(np.all(np.asarray(values[name]) > np.asarray(values[than])))


def beats_all_methods(values: Values, name: str) -> bool:
    """Tell whether a mean is higher than those of all methods that are not confident learning."""
    return all(is_better(values, name, method) for method in METHODS)


def gather(
    results: Corrections, number: Callable[[CorrectionResult], float]
) -> dict[tuple[str, float], list[float]]:
    """List a number of each sparsity by data set and noise."""
    gathered: dict[tuple[str, float], list[float]] = {}
    for condition, result in results.items():
        gathered.setdefault((condition.dataset, condition.noise), []).append(number(result))
    return gathered


def gain_of(result: CorrectionResult, how: str) -> float:
    """Compute the mean accuracy that a correction adds to that of all labels."""
    return round(mean(result.accuracies[how]) - mean(result.accuracies[ALL_LABELS]), 12)


def say_where_worse(results: Corrections, how: str) -> str:
    """Say where a correction is worse than training on all labels, and by how much."""
    gains = {condition: gain_of(result, how) for condition, result in results.items()}
    worse = [f"{condition} by {-100 * gain:.1f}" for condition, gain in gains.items() if gain < 0]
    return (
        f"Conditions where {how} is worse than all labels, in points: {join_or_none(worse)} ({len(worse)} of "
        f"{len(gains)})."
    )


def f1_of_all(noise: float) -> float:
    """Compute the F1 of calling every label wrong: precision is the noise, recall 1."""
    return 2 * noise / (1 + noise)


def percent(values: Sequence[float]) -> str:
    """Show the mean as a percentage."""
    return f"{100 * mean(values):.1f}"
