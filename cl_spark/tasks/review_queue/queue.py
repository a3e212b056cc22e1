"""The review queue of a finished run: the issues to look at first, and random rows to estimate by."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, MapType

from cl_spark.errors import ColumnTypeError, ConfigurationError
from cl_spark.methods.learning.hash_cuts import hash_of
from cl_spark.methods.review import columns as q
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tables.schema import RunWarning
from cl_spark.tasks.multilabel_audit.task import MULTILABEL_AUDIT
from cl_spark.tasks.review_queue.audited import check_audit
from cl_spark.tasks.review_queue.example_labels import ExampleLabels
from cl_spark.tasks.review_queue.judged import FLAGGED_SALT, ORDER_SALT, JudgedLabels, draw
from cl_spark.tasks.review_queue.single_labels import SingleLabels
from cl_spark.tasks.review_queue.sizes import QueueSizes, check_options, find_share, find_sizes

logger = logging.getLogger(__name__)

_TURN, _PLACE, _HASH = "_turn", "_place", "_hash"


@dataclass(frozen=True)
class QueueOptions:
    """The choice of rows for a review queue; see `review_queue`."""

    budget: int
    per_class: int | None = None
    diversify_by: Sequence[str] = ()
    random_share: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        check_options(self.budget, self.per_class, self.random_share)


@dataclass(frozen=True)
class ReviewQueue:
    """A review queue.

    Attributes:
        rows: its rows, as `review_queue` returns them.
        sizes: its strata.
        warnings: doubts about it.
    """

    rows: DataFrame
    sizes: QueueSizes
    warnings: Sequence[RunWarning] = ()


def review_queue(
    run: Run,
    budget: int,
    *,
    per_class: int | None = None,
    diversify_by: str | Sequence[str] | None = None,
    random_share: float = 0.1,
    seed: int = 0,
) -> DataFrame:
    """Choose the rows of a finished run that people look at: the worst issues, and some rows at random.

    The queue has three strata. "top" are issues by rank. "flagged" is a random sample of the issues that are
    left, if not all fit into the budget. "unflagged" is a random sample of the examples that are no issues.
    So the precision of all issues, and the wrong labels among other examples, can be estimated without bias.
    All of them stand in one random order, so that their place tells nothing of a row.

    Of sets of labels, people judge single labels: does this example have this class? Then "examples" above
    are single labels, of which there are as many as examples times classes. The queue has the column `class`
    behind the id columns, and tells rows apart by both; given_label and suggested_label are "present" or
    "absent". Of one example at most one single label is drawn into "unflagged".

    Args:
        run: a finished label audit, cross-validation, run of learning with noisy labels, or audit of sets of
            labels.
        budget: rows that people can look at; the queue has at most so many.
        per_class: at most so many issues of one given label (of sets of labels: of one class, be it given or
            missing) are taken by rank. It does not bind the random rows. Default None is no limit.
        diversify_by: a column of the table of issues, or several, such as "given_label" or a review column:
            its values take turns, each with its worst issue that is left; of sets of labels, such as "class".
            Default None goes by rank alone.
        random_share: share of the budget that is drawn from examples that are no issues, and again, where the
            issues do not all fit, from those that are left. At least one row if it is above 0. With 0,
            nothing can be estimated beyond the rows that are looked at.
        seed: changes which random rows are drawn, and the order. The same seed gives the same queue.

    Returns:
        The id columns (of sets of labels: and class), given_label, suggested_label, label_quality, issue_rank
        (null where the row is no issue; of sets of labels: the rank in `class_issues`), place (1 to n, the
        order to look at them), stratum, inclusion_probability (rows drawn / rows of the stratum; 1 for
        "top"), and the review columns of the run. Of an example that is no issue, the suggested label is the
        predicted one; where that is the given label, the class that is most often confused with it, so that
        people cannot tell these rows by their labels. Of a single label, it is the contrary.

    Raises:
        ConfigurationError: an argument is out of range.
        MissingColumnError: `diversify_by` names no column of the issues.
        InputError: the run has no label issues, or its input cannot be read.
        SourceChangedError: the run has no table `label_scores`, and its input has changed since.

    Example:
        >>> queue = review_queue(read_run(results), 50)
        >>> queue.count(), queue.where("stratum = 'unflagged'").count()
        (50, 5)
    """
    columns = [diversify_by] if isinstance(diversify_by, str) else list(diversify_by or ())
    options = QueueOptions(budget, per_class, columns, random_share, seed)
    return draw_queue(open_judged(run), options).rows


def open_judged(run: Run) -> JudgedLabels:
    """Open the labels of a run that people judge.

    Raises:
        InputError: it has no label issues.
    """
    check_audit(run)
    return SingleLabels(run) if run.task == MULTILABEL_AUDIT.name else ExampleLabels(run)


def draw_queue(judged: JudgedLabels, options: QueueOptions) -> ReviewQueue:
    """Draw the review queue of the labels of a run; see `review_queue`."""
    judged.check_names()
    ids, review = judged.ids, judged.review_columns
    turns = _resolve_turns(judged.read_issues(review), options.diversify_by)
    issues = judged.read_issues([col for col in turns if col in review])
    num_issues = judged.num_issues
    num_unflagged = judged.num_labels - num_issues
    share = min(find_share(options.budget, options.random_share), num_unflagged)
    others, num_drawn = judged.draw_others(issues, options.seed, share) if share else (None, 0)
    in_reach = (
        num_issues if options.per_class is None else _count_in_reach(issues, judged.group, options.per_class)
    )
    sizes = find_sizes(
        options.budget,
        options.random_share,
        num_issues=num_issues,
        num_in_reach=in_reach,
        num_unflagged=num_unflagged,
        num_drawable=num_drawn,
    )
    warnings = _find_warnings(options, sizes, num_left=num_issues - in_reach)
    rows = judged.add_review_columns(_take_issues(issues, judged, options, turns, sizes))
    columns = [*map(c.quoted, (*ids, *q.QUEUE_COLUMNS, *review))]
    if others is not None and num_drawn:
        probability = F.lit(num_drawn / num_unflagged)
        others = others.withColumn(q.ISSUE_RANK, F.lit(None).cast("long"))
        rows = rows.unionByName(_in_stratum(others, q.UNFLAGGED, probability))
    order = hash_of(ids, options.seed, ORDER_SALT).alias(_HASH)
    # at most as many rows as the budget
    place = F.row_number().over(Window.orderBy(_HASH, *map(c.quoted, ids))).cast("long")
    placed = rows.select("*", order).withColumn(q.PLACE, place)
    return ReviewQueue(placed.select(*columns), sizes, warnings)


def _find_warnings(options: QueueOptions, sizes: QueueSizes, num_left: int) -> list[RunWarning]:
    """Warn where a limit per class leaves part of the budget unspent; the warning is logged, too."""
    drawn = sizes.drawn.top + sizes.drawn.flagged + sizes.drawn.unflagged
    if drawn >= options.budget or not num_left:
        return []
    message = (
        f"per_class: the queue has {drawn:,} of the {options.budget:,} rows that budget allows, as at most "
        f"{options.per_class} issues of a class are taken by rank and {num_left:,} issues are beyond that: "
        "raise per_class, or leave it out"
    )
    logger.warning("%s (unspent_budget)", message)
    return [RunWarning("unspent_budget", message)]


def _resolve_turns(issues: DataFrame, columns: Sequence[str]) -> list[str]:
    """Find the columns whose values take turns.

    Raises:
        MissingColumnError: the issues lack one.
        ColumnTypeError: the values of one cannot be told apart.
    """
    sensitive, turns = c.is_case_sensitive(issues.sparkSession), []
    for col in columns:
        found = c.resolve_column(
            "diversify_by", col, issues.columns, case_sensitive=sensitive, table="the table of issues"
        )
        kind = issues.schema[found].dataType
        if isinstance(kind, MapType | ArrayType):
            raise ColumnTypeError(
                f"diversify_by: column {found!r} is {kind.simpleString()}; take a column of plain values"
            )
        turns.append(found)
    if len(set(turns)) < len(turns):
        raise ConfigurationError(f"diversify_by names a column twice: {', '.join(columns)}")
    return turns


def _count_in_reach(issues: DataFrame, group: str, per_class: int) -> int:
    """Count the issues that a limit per class leaves."""
    counts = issues.groupBy(group).agg(F.least(F.count(F.lit(1)), F.lit(per_class)).alias("_rows"))
    return int(counts.agg(F.coalesce(F.sum("_rows"), F.lit(0))).collect()[0][0])


def _take_issues(
    issues: DataFrame, judged: JudgedLabels, options: QueueOptions, turns: Sequence[str], sizes: QueueSizes
) -> DataFrame:
    """Take the first issues, and draw some of the others."""
    ids = judged.ids
    issues = issues.withColumnRenamed(c.RANK, q.ISSUE_RANK)
    top = _take_first(issues, judged.group, options.per_class, turns, sizes.drawn.top)
    taken = _in_stratum(top, q.TOP, F.lit(1.0))
    if not sizes.drawn.flagged:
        return taken
    if options.per_class is None and not turns:
        left = issues.where(F.col(q.ISSUE_RANK) > sizes.drawn.top)
    else:
        left = issues.join(F.broadcast(top.select(q.ISSUE_RANK)), q.ISSUE_RANK, "left_anti")
    drawn = draw(left, ids, hash_of(ids, options.seed, FLAGGED_SALT), sizes.drawn.flagged)
    share = F.lit(sizes.drawn.flagged / sizes.whole.flagged)
    return taken.unionByName(_in_stratum(drawn, q.FLAGGED, share))


def _take_first(
    issues: DataFrame, group: str, per_class: int | None, turns: Sequence[str], number: int
) -> DataFrame:
    """Take so many issues by rank, or in turn from the values of some columns."""
    if per_class is not None:
        # a limit on row_number keeps each Spark task to so many rows of a class
        place = F.row_number().over(Window.partitionBy(group).orderBy(q.ISSUE_RANK))
        issues = issues.withColumn(_PLACE, place).where(F.col(_PLACE) <= per_class).drop(_PLACE)
    if not turns:
        return issues.orderBy(q.ISSUE_RANK).limit(number)
    turn = F.row_number().over(Window.partitionBy(*map(c.quoted, turns)).orderBy(q.ISSUE_RANK))
    in_turn = issues.withColumn(_TURN, turn).where(F.col(_TURN) <= number)
    return in_turn.orderBy(_TURN, q.ISSUE_RANK).limit(number).drop(_TURN)


def _in_stratum(rows: DataFrame, stratum: str, probability: Column) -> DataFrame:
    """Add the stratum and what goes with it; the columns of issues that reviewers do not need go."""
    return rows.drop(c.SELF_CONFIDENCE, c.NORMALIZED_MARGIN).withColumns(
        {q.STRATUM: F.lit(stratum), q.INCLUSION_PROBABILITY: probability}
    )
