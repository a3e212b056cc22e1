"""The page of the results: introduction, tables and reading, as Markdown."""

import platform
import textwrap
from collections.abc import Callable, Sequence
from importlib.metadata import version

from scripts.noise_experiment.datasets import DATASETS
from scripts.noise_experiment.methods import METHODS
from scripts.noise_experiment.reading import (
    read_comparison,
    read_corrections,
    read_filters,
    summarise_corrections,
)
from scripts.noise_experiment.results import Comparisons, CorrectionResult, Corrections, Values, show
from scripts.noise_experiment.training import CONFIDENT_LEARNING, FILTER, HOWS
from scripts.noise_experiment.trials import FILTERS, MIN_EXAMPLES_PER_CLASS, Condition

PACKAGES = ("cl_spark", "pyspark", "scikit-learn", "numpy", "cleanlab")

WAYS = ("all labels", *HOWS, "cleanlab", "true labels")

METHOD_NAMES = {
    "baseline": "baseline: all labels, cross entropy",
    "mixup": "mixup",
    "symmetric_cross_entropy": "symmetric cross entropy (SCE-loss)",
    "soft_bootstrapping": "bootstrapping, soft",
    "hard_bootstrapping": "bootstrapping, hard",
    "s_model": "S-model",
    "co_teaching": "Co-teaching (is told the noise)",
    "incv": "INCV",
    **{name: f"confident learning: {name}" for name in CONFIDENT_LEARNING},
    "true_labels": "true labels, cross entropy",
}


def build_page(
    conditions: Sequence[Condition],
    corrections: Corrections,
    compared: Sequence[Condition],
    comparisons: Comparisons,
    num_seeds: int,
    command: str,
) -> str:
    """Build the page.

    Args:
        conditions: all conditions of the first tables, possible or not.
        corrections: results of the possible ones.
        compared: all conditions of the last table.
        comparisons: results of the possible ones.
        num_seeds: how many seeds there are, from 0.
        command: how the script was called.
    """
    measures: dict[str, Callable[[CorrectionResult], Values]] = {
        "F1": lambda result: result.f1,
        "Precision": lambda result: result.precision,
        "Recall": lambda result: result.recall,
    }
    parts = [
        "# Experiments with noisy labels",
        *map(wrap, introduce(conditions, num_seeds, command)),
        "## Finding wrong labels, and training",
        *map(wrap, explain_corrections()),
        "### Reading",
        itemise(
            [
                *summarise_corrections(corrections),
                *read_corrections(corrections),
                *read_filters(corrections),
            ]
        ),
        "### Test accuracy, %",
        correction_table(
            conditions, WAYS, {condition: result.accuracies for condition, result in corrections.items()}
        ),
    ]
    for measure, of_result in measures.items():
        values = {condition: of_result(result) for condition, result in corrections.items()}
        parts += [f"### {measure} of the label issues, %", correction_table(conditions, FILTERS, values)]
    parts += [
        "## Comparison with other methods",
        *map(wrap, explain_comparison(compared)),
        "### Reading of the comparison",
        itemise(read_comparison(comparisons)),
        "### Test accuracy of the network, %",
        comparison_table(comparisons),
        wrap(list_impossible(compared)),
    ]
    return "\n\n".join(parts) + "\n"


def introduce(conditions: Sequence[Condition], num_seeds: int, command: str) -> list[str]:
    """Write what was done, with what data, and with which software."""
    datasets = list({condition.dataset: condition.num_classes for condition in conditions}.items())
    repeated = (
        f"Figures are means over the seeds 0 to {num_seeds - 1}, ± the standard deviation between them."
        if num_seeds > 1
        else "Figures are of one seed, 0."
    )
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    sizes = ", ".join(
        f"{name} ({num_examples(name):,} examples of {size} classes)" for name, size in datasets
    )
    return [
        "How well are wrong labels found, and what is that worth to a classifier that learns from them? "
        "Some labels that are right are made wrong. The classifier is not told which; only the scores are.",
        f"Data sets of scikit-learn: {sizes}. Two thirds of the examples of each class are for training. "
        "Their features are scaled to the mean 0 and the deviation 1 of these two thirds. The labels of the "
        "others stay right, and test the classifier.",
        "`noise_matrix` draws p(given label | true class). The noise is the mean over the classes of the "
        "share of wrong labels. The sparsity is the share of zeros off the diagonal: the higher it is, the "
        "fewer classes a class is confused with, and the more often with each. Of few classes, several "
        "sparsities are the same number of zeros, and share a row. The diagonal of a matrix can only be "
        "dominant where the noise is below a bound, which is lower for fewer classes and more zeros "
        "(`noise_bound`). `flip_labels` flips labels as the matrix says. A data set with an amount of noise "
        "and a sparsity is called a condition; those beyond the bound are listed as not possible.",
        f"{repeated} A seed decides the split, the noise matrix, the labels that are flipped, the folds of "
        "the cross-validation and the networks.",
        f"This page was written by `{command}` with Python {platform.python_version()}, {versions}.",
    ]


def num_examples(name: str) -> int:
    """Count the examples of a data set."""
    return len(DATASETS[name]().target)


def explain_corrections() -> list[str]:
    """Explain what the first tables hold."""
    return [
        "For each noisy data set, one cross-validation in five folds (`CrossValidation`) predicts every "
        "example out of sample, and one audit answers for every filter. The model is scikit-learn's "
        "LogisticRegression with max_iter=1000. The three pruning filters leave each class at least "
        f"{MIN_EXAMPLES_PER_CLASS} examples.",
        "The same model is then trained on: *all labels*, as they are; *prune*, *reweight* and *relabel*, "
        f"which is what `CleanLearning` does by that name, with the issues of `{FILTER}`; *cleanlab*, which "
        "is the CleanLearning of that library, given the same probabilities and the same filter, and also "
        "prunes; and the *true labels*, which nobody has.",
        "The final models are trained by scikit-learn alone, with the weights that cl_spark computes. To "
        "make sure that this is what `CleanLearning.fit` does, that too was run, for the first condition of "
        "each data set and the seed 0, with each correction. The script would have failed if one test "
        "accuracy had differed at all.",
    ]


def explain_comparison(compared: Sequence[Condition]) -> list[str]:
    """Explain what the last table holds."""
    noises = " and ".join(f"{noise:g}" for noise in sorted({condition.noise for condition in compared}))
    return [
        "The paper of confident learning (Northcutt, Jiang and Chuang, JAIR 2021) compares five ways to "
        "prune with other methods that learn from noisy labels. This is that comparison on small data, at a "
        f"noise of {noises}. Every method is the same network of one hidden layer, trained for as many "
        "epochs, with the settings of the method's own paper, none of which is tuned to these data.",
        "Confident learning gets its probabilities from the cross-validation of this network in Spark "
        "(`CrossValidation`). The examples that the filter finds are left out, and the network is trained "
        "anew on the others, all of the same weight. `predicted_neq_given` removes all examples whose "
        "prediction is not their label, and `off_diagonal` those that the confident joint counts off its "
        "diagonal. Co-teaching alone is told the true noise, as in its paper; no other method is. MentorNet, "
        "which the paper also compares, is left out: a second network, trained beforehand on data whose "
        "labels are known to be right, tells it what to learn from.",
    ]


def list_impossible(conditions: Sequence[Condition]) -> str:
    """List the conditions that are not possible, with their bounds."""
    found = [
        f"{condition}: {explain_bound(condition)}" for condition in conditions if not condition.is_possible
    ]
    return f"Not possible: {'; '.join(found) or 'none'}."


def explain_bound(condition: Condition) -> str:
    """Say below which bound the noise would have to be."""
    return f"noise must be below {condition.bound:.3f}"


def correction_table(conditions: Sequence[Condition], names: Sequence[str], results: Comparisons) -> str:
    """Build a table of a row per condition, possible or not, and a column per name. The highest mean of a row
    is bold, except that of true labels.
    """
    rows = []
    for condition in conditions:
        head = [condition.dataset, f"{condition.noise:g}", condition.sparsity]
        if condition in results:
            candidates = [name for name in names if name != "true labels"]
            rows.append([*head, *show_best_bold(results[condition], names, candidates)])
        else:
            rows.append([*head, f"not possible: {explain_bound(condition)}", *[""] * (len(names) - 1)])
    return markdown_table(["data set", "noise", "sparsity", *names], rows)


def comparison_table(results: Comparisons) -> str:
    """Build a table of a row per method and a column per condition. The highest mean of a column is bold,
    except that of true labels.
    """
    header = ["method", *(f"{condition.dataset}, {condition.sparsity}" for condition in results)]
    candidates = (*METHODS, *CONFIDENT_LEARNING)
    columns = [show_best_bold(values, [*METHOD_NAMES], candidates) for values in results.values()]
    return markdown_table(header, list(map(list, zip(METHOD_NAMES.values(), *columns, strict=True))))


def show_best_bold(values: Values, names: Sequence[str], candidates: Sequence[str]) -> list[str]:
    """Show the values of all names, and the highest of some in bold, to the digit that is shown."""
    shown = {name: show(values[name]) for name in names}
    means = {name: float(shown[name].split()[0]) for name in candidates}
    highest = max(means.values())
    return [f"**{text}**" if means.get(name) == highest else text for name, text in shown.items()]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Build a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def wrap(text: str) -> str:
    """Wrap a paragraph."""
    return textwrap.fill(text, 140, break_long_words=False, break_on_hyphens=False)


def itemise(items: Sequence[str]) -> str:
    """Make a list of sentences."""
    wrapped = (
        textwrap.fill(
            item, 140, initial_indent="- ", subsequent_indent="  ", break_long_words=False,
            break_on_hyphens=False,
        )
        for item in items
    )  # fmt: skip
    return "\n".join(wrapped)
