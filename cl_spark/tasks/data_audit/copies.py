"""Groups of copies as a report shows them: the first members of the first groups, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from cl_spark.methods.checks.check_columns import SCORE
from cl_spark.methods.neighbors.duplicates import GROUP
from cl_spark.report.budget import limit_bytes
from cl_spark.report.cards import make_cards
from cl_spark.report.gallery import CardGroup
from cl_spark.runs.facts import first_rows
from cl_spark.tables import columns as c
from cl_spark.tables.columns import quoted
from cl_spark.tables.union import union_rows

GROUPS, MEMBERS = 12, 8
"""Groups that are shown, and members of each, at most."""

_GROUP_PLACE, _PLACE = "_cl_spark_group_place", "_cl_spark_place"
_SIZE, _NUM_LABELS = "_cl_spark_size", "_cl_spark_num_labels"
_NOTE = "_cl_spark_note"


@dataclass(frozen=True)
class Copies:
    """Copies that a report shows.

    Attributes:
        num_groups: groups that there are.
        members: the first members of the first groups, group by group.
        others: the worst rows of the other groups.
    """

    num_groups: int
    members: pd.DataFrame
    others: pd.DataFrame


def read_copies(
    copies: DataFrame, id_columns: Sequence[str], review: Sequence[str], issues: int
) -> Copies | None:
    """Read the first groups of copies, and rows of the others. Together they take the bytes of a page, those
    of the groups first.

    Args:
        copies: rows of `data_issues` that are near duplicates.
        id_columns: their id columns.
        review: columns for reviewers.
        issues: how many rows of the other groups to read.

    Returns:
        The copies; None in runs of versions that did not tell groups.
    """
    if GROUP not in copies.columns:
        return None
    num_groups = copies.agg(F.count_distinct(GROUP)).collect()[0][0]
    if not num_groups:
        return None
    first = _choose_groups(copies)
    by_id = Window.partitionBy(GROUP).orderBy(*map(quoted, id_columns))
    members = copies.join(first, GROUP).withColumn(_PLACE, F.row_number().over(by_id))
    members = members.where(F.col(_PLACE) <= MEMBERS)
    members = members.withColumn(_PLACE, F.col(_GROUP_PLACE) * MEMBERS + F.col(_PLACE))
    others = copies.join(first, GROUP, "left_anti").orderBy(c.RANK).limit(issues)
    none = {name: F.lit(None).cast("long") for name in (_GROUP_PLACE, _SIZE, _NUM_LABELS)}
    others = others.withColumns({**none, _PLACE: F.col(c.RANK) + (GROUPS + 1) * MEMBERS})
    shown = limit_bytes(union_rows([members, others]), review, _PLACE)
    rows = first_rows(shown, GROUPS * MEMBERS + issues, _PLACE)
    is_member = rows[_GROUP_PLACE].notna()
    return Copies(num_groups, *(rows[kept].reset_index(drop=True) for kept in (is_member, ~is_member)))


def _choose_groups(copies: DataFrame) -> DataFrame:
    """Choose the groups that are shown: those with the closest copies first, of these the largest."""
    label = F.count_distinct(c.GIVEN_LABEL) if c.GIVEN_LABEL in copies.columns else F.lit(0)
    groups = copies.groupBy(GROUP).agg(
        F.count(F.lit(1)).alias(_SIZE),
        label.cast("long").alias(_NUM_LABELS),
        F.min(SCORE).alias("_lowest"),
        F.min(c.RANK).alias("_first"),
    )
    order = [F.asc("_lowest"), F.desc(_SIZE), F.asc("_first")]
    first = groups.orderBy(*order).limit(GROUPS)
    place = F.row_number().over(Window.orderBy(*order)).cast("long")
    return first.select(GROUP, _SIZE, _NUM_LABELS, place.alias(_GROUP_PLACE))


def make_groups(
    copies: Copies, id_columns: Sequence[str], review: Sequence[str], facts: dict[str, str]
) -> list[CardGroup]:
    """Make a group of cards of each group of copies.

    Args:
        copies: the copies.
        id_columns: their id columns.
        review: columns for reviewers.
        facts: names of facts by their column.
    """
    members = copies.members.assign(**{_NOTE: np.where(copies.members[SCORE] == 0, "at distance 0", "")})
    cards = make_cards(members, id_columns, review, facts, _NOTE)
    groups = [part.index for _, part in members.groupby(_GROUP_PLACE)]
    return [
        CardGroup(
            f"Group {members[GROUP][places[0]]}",
            [cards[i] for i in places],
            _tell_size(int(members[_SIZE][places[0]])),
            _tell_labels(int(members[_NUM_LABELS][places[0]])),
        )
        for places in groups
    ]


def _tell_size(size: int) -> str:
    return f"{size:,} near copies" + (f", the first {MEMBERS} by id are shown" if size > MEMBERS else "")


def _tell_labels(num_labels: int) -> str:
    return f"{num_labels:,} different labels" if num_labels > 1 else ""


def tell_groups(num_groups: int, issues: int) -> str:
    """Tell which groups are shown, and in which order.

    Args:
        num_groups: groups that there are.
        issues: how many rows of the other groups are listed, at most.
    """
    order = "Groups with the closest copies come first, of these the largest"
    if num_groups <= GROUPS:
        return f"{order}; the table data_issues holds all."
    return (
        f"The first {GROUPS} of {num_groups:,} groups are shown, with at most {MEMBERS} members each, and up "
        f"to {issues:,} rows of the others; the table data_issues holds all. {order}."
    )
