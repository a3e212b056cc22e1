"""Which answers of people can be used, and why others cannot."""

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError
from cl_spark.methods.review import columns as q
from cl_spark.tables import columns as c
from cl_spark.tables.columns import quoted, resolve_columns
from cl_spark.tables.example_ids import ExampleIds
from cl_spark.tables.ids import lacks_id
from cl_spark.tables.row_json import select_row_json

ANSWER_OF, REASON_OF = "_answer", "_reason"
"""Columns of checked answers: one of the four answers, and why it cannot be used (null where it can)."""

NULL_ID = "null id"
NULL_ANNOTATOR = "null annotator"
SKIPPED = "skipped: null answer"
UNKNOWN_ANSWER = "unknown answer"
NOT_QUEUED = "example that the queue does not have"
NO_SUGGESTION = "suggestion that the row does not have"
SEVERAL_ANSWERS = "several answers by one annotator to one example"
EQUAL_ANSWER = "answer that its annotator gave before"
NO_QUALITY = "annotator without a quality"

_ANNOTATOR, _IS_SAME, _IS_QUEUED, _HAS_SUGGESTION = "_annotator", "_is_same", "_is_queued", "_has_suggestion"
_MEANING, _GIVEN_TEXT, _SUGGESTED_TEXT = "_meaning", "_given_text", "_suggested_text"

_KNOWN = (*q.ANSWERS, q.PRESENT, q.ABSENT)
"""Answers, of which the last two name the label of a single label."""


def check_answers(
    answers: DataFrame,
    queue: DataFrame,
    ids: ExampleIds,
    *,
    annotator_col: str,
    answer_col: str,
    names: Mapping[str, str] | None,
    weights: DataFrame | None,
) -> DataFrame:
    """Find for each answer the example it is about, and the reason why it cannot be used.

    Of several answers by one annotator to one example, equal ones count once, and different ones not at all.

    Args:
        answers: the answers.
        queue: the keys of the rows that were asked about, with their given and suggested labels.
        ids: the id columns of the answers.
        annotator_col: column of the annotator.
        answer_col: column of the answer.
        names: other names of answers.
        weights: annotator and `_weight`; None where votes have no weights.

    Returns:
        A row per answer: keys, `_answer`, `_reason`, row (as JSON), and `_weight` where there are weights.

    Raises:
        ConfigurationError: a name stands for no answer.
        MissingColumnError: a column is missing.
    """
    known = list_answer_names(names)
    meaning = F.col(_MEANING)
    found = resolve_columns(answers, "answers", {"annotator_col": annotator_col, "answer_col": answer_col})
    annotator, answer = (F.col(quoted(found[key])).cast("string") for key in ("annotator_col", "answer_col"))
    keys = ids.names
    given = answers.select(
        *ids.select(answers),
        annotator.alias(_ANNOTATOR),
        answer.alias("_written"),
        _find_meaning(answer, known).alias(_MEANING),
        select_row_json().alias(c.ROW),
    )
    suggested = F.col(c.SUGGESTED_LABEL)
    asked = queue.select(
        *keys,
        F.lit(True).alias(_IS_QUEUED),
        suggested.isNotNull().alias(_HAS_SUGGESTION),
        suggested.eqNullSafe(F.col(c.GIVEN_LABEL)).alias(_IS_SAME),
        F.col(c.GIVEN_LABEL).cast("string").alias(_GIVEN_TEXT),
        suggested.cast("string").alias(_SUGGESTED_TEXT),
    )
    joined = given.join(asked, keys, "left")
    # people who are asked whether an example has a class name the label itself
    given_text, suggested_text = F.col(_GIVEN_TEXT), F.col(_SUGGESTED_TEXT)
    named = F.when(meaning == given_text, q.GIVEN).when(meaning == suggested_text, q.SUGGESTED)
    found_answer = F.when(meaning.isin(q.PRESENT, q.ABSENT), named).otherwise(meaning)
    joined = joined.withColumn(ANSWER_OF, found_answer)
    if weights is not None:
        of_annotator = weights.withColumnRenamed(q.ANNOTATOR, _ANNOTATOR)
        joined = joined.join(F.broadcast(of_annotator), _ANNOTATOR, "left")
    reason = (
        F.when(lacks_id(joined, keys), NULL_ID)
        .when(F.col(_ANNOTATOR).isNull(), NULL_ANNOTATOR)
        .when(F.col("_written").isNull(), SKIPPED)
        .when(meaning.isNull(), UNKNOWN_ANSWER)
        .when(F.col(_IS_QUEUED).isNull(), NOT_QUEUED)
        .when(F.col(ANSWER_OF).isNull(), UNKNOWN_ANSWER)
        .when(F.col(ANSWER_OF).isin(q.SUGGESTED, q.BOTH) & ~F.col(_HAS_SUGGESTION), NO_SUGGESTION)
    )
    # of two equal labels, whoever says that the suggested one is right says so of the given one
    same = F.col(ANSWER_OF).isin(q.SUGGESTED, q.BOTH) & F.col(_IS_SAME)
    checked = joined.withColumns(
        {REASON_OF: reason, ANSWER_OF: F.when(same, q.GIVEN).otherwise(F.col(ANSWER_OF))}
    )
    is_usable = F.col(REASON_OF).isNull()
    of_one = Window.partitionBy(*keys, _ANNOTATOR, is_usable)
    differs = F.min(ANSWER_OF).over(of_one) != F.max(ANSWER_OF).over(of_one)
    place = F.row_number().over(of_one.orderBy(c.ROW))
    later = F.when(differs, SEVERAL_ANSWERS).when(place > 1, EQUAL_ANSWER)
    if weights is not None:
        later = later.when(F.col("_weight").isNull(), NO_QUALITY)
    checked = checked.withColumn(REASON_OF, F.coalesce(REASON_OF, F.when(is_usable, later)))
    kept = [] if weights is None else ["_weight"]
    return checked.select(*keys, ANSWER_OF, REASON_OF, c.ROW, *kept)


def _find_meaning(written: Column, known: Mapping[str, str]) -> Column:
    """Find the answer that a name stands for; where no name is written so, case and spaces are ignored."""
    meaning = F.when(F.lit(False), F.lit(""))
    for name, meant in known.items():
        meaning = meaning.when(written == name, meant)
    folded: dict[str, set[str]] = {}
    for name, meant in known.items():
        folded.setdefault(name.strip().lower(), set()).add(meant)
    for name, meanings in folded.items():
        if len(meanings) == 1:  # else case tells the names apart
            meaning = meaning.when(F.lower(F.trim(written)) == name, *meanings)
    return meaning


def list_answer_names(names: Mapping[str, str] | None) -> dict[str, str]:
    """List the names of answers, each with the answer it stands for.

    Args:
        names: names beside the four of `ANSWERS`, and "present" and "absent", which answer for single labels;
            they may give one of those another meaning.

    Raises:
        ConfigurationError: a name is no text, or stands for no answer.

    Example:
        >>> list_answer_names({"guessed": "suggested"})["guessed"]
        'suggested'
    """
    for name, meant in (names or {}).items():
        if not isinstance(name, str):
            raise ConfigurationError(
                f"answer_names: {name!r} is no text; answers are texts: write {str(name)!r}"
            )
        if meant not in _KNOWN:
            raise ConfigurationError(
                f"answer_names: {name!r} stands for {meant!r}, which is no answer; the answers are "
                f"{', '.join(map(repr, _KNOWN))}"
            )
    return {**{answer: answer for answer in _KNOWN}, **(names or {})}
