"""Find wrong labels, learn without them, and compare: `python -m scripts.noise_experiment.run`.

Prints the page of the results, and writes it. `--quick` is a try of a minute, which writes nothing unless it
is told where.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pyspark.sql import SparkSession

from cl_spark.runs.session import spark_session
from scripts.noise_experiment.datasets import DATASETS, load_split
from scripts.noise_experiment.methods import new_network
from scripts.noise_experiment.network import one_thread
from scripts.noise_experiment.page import build_page
from scripts.noise_experiment.reading import summarise_corrections
from scripts.noise_experiment.results import CorrectionResult, Values, transpose
from scripts.noise_experiment.training import (
    FILTER,
    HOWS,
    find_by_stable_cleanlab,
    fit_clean_learning,
    new_classifier,
    score_issues,
    train_by_cleanlab,
    train_each_way,
    train_networks,
)
from scripts.noise_experiment.trials import Condition, audit_labels, draw_noise, list_conditions

SESSION = {
    "spark.master": "local[2]",
    "spark.driver.memory": "2g",
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
}


@dataclass(frozen=True)
class Grid:
    """Amounts of noise and sparsities, of the first tables and of the comparison."""

    noises: Sequence[float] = (0.2, 0.4, 0.7)
    sparsities: Sequence[float] = (0.0, 0.2, 0.4, 0.6)
    compared_noises: Sequence[float] = (0.4,)
    compared_sparsities: Sequence[float] = (0.0, 0.6)


QUICK = Grid(noises=(0.2, 0.4), sparsities=(0.0,), compared_sparsities=(0.0,))


def run_corrections(
    spark: SparkSession, condition: Condition, seeds: Sequence[int], check: bool
) -> CorrectionResult:
    """Find the label issues of a condition, and train each way.

    Args:
        spark: the session.
        condition: a condition that is possible.
        seeds: one noisy data set is drawn for each.
        check: run `CleanLearning.fit` too, for the first seed.

    Raises:
        AssertionError: `CleanLearning.fit` has another test accuracy than the same training without Spark.
    """
    scores, accuracies = [], []
    is_same, is_same_if_stable, is_dominant = [], [], []
    for seed in seeds:
        data = draw_noise(spark, condition, seed)
        audited = audit_labels(data, new_classifier(), seed)
        scores.append({name: score_issues(found, data.is_wrong) for name, found in audited.is_issue.items()})
        trained = train_each_way(data, audited)
        trained["cleanlab"], their_issues = train_by_cleanlab(data, audited)
        accuracies.append(trained)
        is_same.append(np.array_equal(their_issues, audited.is_issue[FILTER]))
        stable_issues = find_by_stable_cleanlab(data, audited)
        is_same_if_stable.append(np.array_equal(stable_issues, audited.is_issue[FILTER]))
        is_dominant.append(audited.is_dominant)
        if check and seed == seeds[0]:
            for how in HOWS:
                accuracy = fit_clean_learning(data, how, seed)
                assert accuracy == trained[how], f"{condition}: how={how!r} {accuracy} is not {trained[how]}"
    precision, recall, f1 = (
        transpose([{name: of[measure] for name, of in by_filter.items()} for by_filter in scores])
        for measure in ("precision", "recall", "F1")
    )
    return CorrectionResult(
        precision,
        recall,
        f1,
        transpose(accuracies),
        num_same_issues=sum(is_same),
        num_same_if_stable=sum(is_same_if_stable),
        num_dominant=sum(is_dominant),
    )


def run_comparison(spark: SparkSession, condition: Condition, seeds: Sequence[int]) -> Values:
    """Train the network by each method on a condition that is possible, for each seed: test accuracies."""
    accuracies = []
    for seed in seeds:
        data = draw_noise(spark, condition, seed)
        audited = audit_labels(data, new_network(condition.num_classes, seed), seed)
        accuracies.append(train_networks(data, audited, condition.noise, seed))
    return transpose(accuracies)


def run(
    datasets: Sequence[str], seeds: Sequence[int], grid: Grid, command: str, *, brief: bool
) -> tuple[str, list[str]]:
    """Run the whole experiment.

    Args:
        datasets: names of data sets.
        seeds: how often all is repeated.
        grid: amounts of noise and sparsities.
        command: how the script was called, for the page.
        brief: the session is for a minute, not for many.

    Returns:
        The page, and its summary.
    """
    sizes = {name: load_split(name, 0).num_classes for name in datasets}
    conditions = list_conditions(sizes, grid.noises, grid.sparsities)
    compared = list_conditions(sizes, grid.compared_noises, grid.compared_sparsities)
    corrections, comparisons, checked = {}, {}, set()
    with spark_session(SESSION, delta=False, brief=brief) as spark, one_thread():
        for condition in (each for each in conditions if each.is_possible):
            start = time.perf_counter()
            corrections[condition] = run_corrections(
                spark, condition, seeds, check=condition.dataset not in checked
            )
            checked.add(condition.dataset)
            tell(f"{condition}: {time.perf_counter() - start:.0f} s")
        for condition in (each for each in compared if each.is_possible):
            start = time.perf_counter()
            comparisons[condition] = run_comparison(spark, condition, seeds)
            tell(f"{condition}, comparison: {time.perf_counter() - start:.0f} s")
    page = build_page(conditions, corrections, compared, comparisons, len(seeds), command)
    return page, summarise_corrections(corrections)


def tell(text: str) -> None:
    """Print on the error output, which is apart from the page."""
    print(text, file=sys.stderr, flush=True)


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Confident learning on data sets with known label noise.")
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds, from 0")
    parser.add_argument("--datasets", default=",".join(DATASETS), help="names, separated by commas")
    parser.add_argument("--quick", action="store_true", help="one seed of two conditions of wine")
    parser.add_argument("--output", type=Path, help="the page; default docs/experiments.md, or none if quick")
    options = parser.parse_args(arguments)
    options.datasets = options.datasets.split(",")
    unknown = [name for name in options.datasets if name not in DATASETS]
    if unknown:
        parser.error(f"--datasets: {unknown[0]!r} is none of {', '.join(DATASETS)}")
    if options.seeds < 1:
        parser.error(f"--seeds must be at least 1, got {options.seeds}")
    if options.quick:
        options.seeds, options.datasets = 1, ["wine"]
    elif options.output is None:
        options.output = Path("docs/experiments.md")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the experiment, print the page and write it."""
    options = parse_arguments(arguments)
    grid = QUICK if options.quick else Grid()
    told = "--quick" if options.quick else f"--seeds {options.seeds} --datasets {','.join(options.datasets)}"
    start = time.perf_counter()
    command = f"python -m scripts.noise_experiment.run {told}"
    page, summary = run(options.datasets, range(options.seeds), grid, command, brief=options.quick)
    print(page)
    if options.output is not None:
        options.output.write_text(page, encoding="utf-8")
    tell("\n".join(summary))
    tell(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
