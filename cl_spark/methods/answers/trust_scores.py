"""`trust_scores`: how far each answer of a language model can be trusted."""

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property

import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, NumericType, StringType

from cl_spark.errors import ColumnTypeError, ConfigurationError, EmptyTableError, InputError
from cl_spark.evidence.storage import Releasable, Storage, keep_with
from cl_spark.evidence.usable_rows import FAULT, NULL_ID, UsableRows, choose_reason
from cl_spark.evidence.validity import join_reasons
from cl_spark.methods.answers.calibration import CALIBRATED, Calibration, calibrate
from cl_spark.methods.answers.rejection import (
    NO_RATING,
    NOTHING_TELLS,
    find_faults_of_answers,
    find_faults_of_assessments,
    find_faults_of_similarities,
    is_outside,
)
from cl_spark.methods.answers.similarities import (
    EXACT,
    SIMILARITIES,
    TOKEN_OVERLAP,
    agree_exactly,
    mean_of,
    overlap_in_words,
)
from cl_spark.methods.classification.cuts import is_few
from cl_spark.methods.classification.ranking import add_rank
from cl_spark.tables import columns as c
from cl_spark.tables.columns import check_result_names, quoted
from cl_spark.tables.example_ids import ExampleIds, check_columns, find_types
from cl_spark.tables.ids import lacks_id
from cl_spark.tables.pandas_frames import to_spark
from cl_spark.tables.row_json import select_row_json
from cl_spark.tables.schema import RunWarning

logger = logging.getLogger(__name__)

ANSWER, CONSISTENCY, SELF_ASSESSMENT = "answer", "consistency", "self_assessment"
TRUST, CALIBRATED_TRUST, TO_REVIEW = "trust", "calibrated_trust", "to_review"

DEFAULT_WEIGHT = 0.7
"""Weight of the consistency, as in the paper."""

FEW_RATINGS = 50
"""With fewer ratings than this, calibrated trust is little more than a guess."""

_RATING = "_rating"
_RESULT_COLUMNS = frozenset(
    (ANSWER, CONSISTENCY, SELF_ASSESSMENT, TRUST, CALIBRATED_TRUST, TO_REVIEW, c.RANK, c.REASON, c.ROW)
)


class TrustAudit(Releasable):
    """How far each answer of a language model can be trusted, and which rows tell nothing.

    Each row holds answers that a model gave to one question: the first is judged, the others are samples of
    what it might have said. An answer that the samples repeat, and of which the model itself is sure, is more
    often right. No model is called: answers come from the table. Use it as a context manager, or call
    `release`, to free what it keeps.

    Args:
        df: any Spark DataFrame, classic or Connect, or a pandas DataFrame; one row per question.
        answers_col: column of the answers: array<string>. The first is the one that is judged.
        self_assessment_col: column of what the model itself says of the first answer, in [0, 1]: a number, or
            an array of numbers, whose mean counts. Default None: there is none.
        similarity: how two answers are compared. "exact": equal but for case, white space, and punctuation
            around them. "token_overlap": the Jaccard similarity of their words. Or the name of a column of
            array<double>: similarities in [0, 1] of the other answers to the first, in their order, which the
            caller computed, for example by an entailment model. Default "exact", which suits short answers.
        id_col: id column, or a list of columns for a composite key. Rows that share an id are rejected; ids
            order ties.
        consistency_weight: weight of the consistency in trust, from 0 to 1; the rest is that of the
            self-assessment. Default 0.7, as in the paper.
        ratings_col: column of what people found of the first answer: 0 (wrong) to 1 (right), null where
            nobody looked. Adds `calibrated_trust`. Default None.
        budget: number of answers that people can check: as many, the least trusted, are marked `to_review`.
            Default None.
        evidence_path: a directory to keep rows in (Parquet), for sessions that refuse to cache, such as
            serverless ones. Results have to be read before `release`, which removes what was written.
            Default None: cached, or computed again where that is refused.
        spark: the session that turns a pandas DataFrame into one of Spark's; default the active one.

    Raises:
        ConfigurationError: the arguments contradict each other.
        InputError: a column is missing or unusable (at once), or the rows are (at the first question).

    Source: Chen, Mueller, "Quantifying Uncertainty in Answers from any Language Model and Enhancing their
    Trustworthiness", ACL 2024 (arXiv 2308.16175): BSDetector.

    Example:
        >>> rows = [(1, ["Paris", "paris.", "Paris"], 0.9), (2, ["1912", "1915", "1907"], 0.5), (3, [], 0.9)]
        >>> table = spark.createDataFrame(rows, "id int, answers array<string>, sure double")
        >>> with TrustAudit(table, "answers", "sure") as audit:
        ...     found = audit.scores().orderBy("rank").collect()
        ...     print([(row.id, row.answer, round(row.trust, 2)) for row in found])
        ...     print(audit.rejected_counts)
        [(2, '1912', 0.15), (1, 'Paris', 0.97)]
        {'null or empty answers': 1}
    """

    def __init__(
        self,
        df: DataFrame | pd.DataFrame,
        answers_col: str,
        self_assessment_col: str | None = None,
        similarity: str = EXACT,
        *,
        id_col: str | Sequence[str] = "id",
        consistency_weight: float = DEFAULT_WEIGHT,
        ratings_col: str | None = None,
        budget: int | None = None,
        evidence_path: str | None = None,
        spark: SparkSession | None = None,
    ) -> None:
        if isinstance(consistency_weight, bool) or not 0 <= consistency_weight <= 1:
            raise ConfigurationError(f"consistency_weight must be from 0 to 1, got {consistency_weight!r}")
        if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int) or budget < 1):
            raise ConfigurationError(f"budget must be a whole number of at least 1, got {budget!r}")
        self.df, self._ids = to_spark(df, spark), ExampleIds.of(id_col)
        self.answers_col, self.self_assessment_col, self.similarity = (
            *(answers_col, self_assessment_col, similarity),
        )
        self.ratings_col, self.consistency_weight, self.budget = ratings_col, consistency_weight, budget
        self._check_columns()
        self._storage = Storage(evidence_path)
        self._storage.release_with(self)

    def _check_columns(self) -> None:
        """Check names and types of the columns.

        Raises:
            ConfigurationError: an id column has the name of a column of the results.
            MissingColumnError: a column is missing.
            ColumnTypeError: a column is of a type that cannot mean what it should.
        """
        self._ids.check({"df": self.df})
        check_result_names(self._ids.columns, _RESULT_COLUMNS)
        if self.similarity not in (*SIMILARITIES, *self.df.columns):
            raise ConfigurationError(
                f"similarity: {self.similarity!r} is none of {', '.join(SIMILARITIES)}, and no column"
            )
        wanted = {
            "answers_col": self.answers_col,
            "self_assessment_col": self.self_assessment_col,
            "similarity": None if self.similarity in SIMILARITIES else self.similarity,
            "ratings_col": self.ratings_col,
        }
        named = {key: col for key, col in wanted.items() if col is not None}
        check_columns("df", self.df, {key: [col] for key, col in named.items()})
        for key, col in named.items():
            kind = self._type(col)
            fits, meaning = _MEANINGS[key]
            if not fits(kind):
                raise ColumnTypeError(f"{key}: column {col!r} is {kind.simpleString()}; {meaning}: cast it")

    def _type(self, col: str) -> DataType:
        return find_types(self.df, [col])[col]

    def release(self) -> None:
        """Free what is kept.

        Results already returned stay valid, and compute it again, except with `evidence_path`.
        """
        self._storage.release()

    # Rows ---------------------------------------------------------------------------------------------------

    @property
    def _answers(self) -> Column:
        return F.col(quoted(self.answers_col))

    @property
    def _assessments(self) -> Column | None:
        """Self-assessments as an array."""
        if self.self_assessment_col is None:
            return None
        column = F.col(quoted(self.self_assessment_col))
        if isinstance(self._type(self.self_assessment_col), ArrayType):
            return column
        return F.when(column.isNotNull(), F.array(column))

    @property
    def _rating(self) -> Column:
        if self.ratings_col is None:
            return F.lit(None).cast("double")
        return F.col(quoted(self.ratings_col)).cast("double")

    def _select_reason(self) -> Column:
        """Reason why a row cannot be used by itself, null where it can."""
        faults = [(lacks_id(self.df, self._ids.columns), NULL_ID), *find_faults_of_answers(self._answers)]
        if self.similarity not in SIMILARITIES:
            faults += find_faults_of_similarities(F.col(quoted(self.similarity)), self._answers)
        if self._assessments is None:
            faults.append((F.size(self._answers) == 1, NOTHING_TELLS))
        else:
            faults += find_faults_of_assessments(self._assessments)
        if self.ratings_col is not None:
            faults.append((is_outside(self._rating), NO_RATING))
        return choose_reason(faults)

    def _select_consistency(self) -> Column:
        if self.similarity == EXACT:
            return agree_exactly(self._answers)
        if self.similarity == TOKEN_OVERLAP:
            return overlap_in_words(self._answers)
        return mean_of(F.col(quoted(self.similarity)))

    @cached_property
    def _rows(self) -> DataFrame:
        """Every row of the table, with its scores or the reason why it has none."""
        is_usable = F.col(FAULT).isNull()
        reason = self._select_reason()
        assessment = F.lit(None).cast("double") if self._assessments is None else mean_of(self._assessments)
        rows = self.df.select(
            *self._ids.select(self.df),
            F.get(self._answers, F.lit(0)).alias(ANSWER),
            F.when(reason.isNull(), self._select_consistency()).alias(CONSISTENCY),
            F.when(reason.isNull(), assessment).alias(SELF_ASSESSMENT),
            self._rating.alias(_RATING),
            reason.alias(FAULT),
        )
        trust = mix(F.col(CONSISTENCY), F.col(SELF_ASSESSMENT), self.consistency_weight)
        return self._storage.persist(rows.withColumn(TRUST, F.when(is_usable, trust)))

    @cached_property
    def _usable(self) -> UsableRows:
        return UsableRows(self._rows, self._ids.names, self._storage)

    @property
    def num_read(self) -> int:
        """Rows of the table."""
        return self._usable.num_read

    @property
    def rejected_counts(self) -> Mapping[str, int]:
        """Rows that cannot be used, by reason."""
        return self._usable.rejected_counts

    @cached_property
    def num_scored(self) -> int:
        """Rows that have a score.

        Raises:
            EmptyTableError: there are none.
        """
        rejected = self._usable.num_rejected
        seen = join_reasons(self.rejected_counts)
        if rejected == self.num_read:
            raise EmptyTableError(
                f"{self.answers_col}: none of the {rejected:,} rows can be used{': ' if seen else ''}{seen}"
            )
        if rejected:
            logger.warning("%s rows cannot be used: %s", f"{rejected:,}", seen)
        return self.num_read - rejected

    @cached_property
    def _scored(self) -> DataFrame:
        """Rows that have a score, ranked."""
        few = is_few(self.num_scored)
        return add_rank(self._usable.accepted(), TRUST, self._ids.names, c.RANK, few=few)

    @cached_property
    def _calibration(self) -> Calibration | None:
        if self.ratings_col is None or not self.num_scored:
            return None
        found = calibrate(self._usable.accepted(), TRUST, _RATING)
        if found is None:
            raise InputError(
                f"ratings_col: column {self.ratings_col!r} has no rating of a row that can be used: there is "
                "nothing to calibrate by. Let people rate some answers, or leave ratings_col out"
            )
        return found

    # Answers ------------------------------------------------------------------------------------------------

    def scores(self) -> DataFrame:
        """Score how far each answer can be trusted.

        Returns:
            The id columns; `answer`, the first answer; `consistency`, the mean similarity of it and the
            others, null where there are none; `self_assessment`, if the table has it; `trust`, in [0, 1], low
            where the answer is doubtful: consistency_weight * consistency + (1 - consistency_weight) *
            self_assessment, or the only one of both that there is; `rank` by trust, from 1, the least
            trusted, ties in the order of ids; with ratings `calibrated_trust`, the share of answers of such a
            trust that people find right (isotonic regression on trust rounded to 0.0001); and with a budget
            `to_review`, true for as many of the least trusted.
        """
        rows, calibration = self._scored, self._calibration
        shown = [*self._ids.restore(self.df), F.col(ANSWER), F.col(CONSISTENCY)]
        if self.self_assessment_col is not None:
            shown.append(F.col(SELF_ASSESSMENT))
        shown += [F.col(TRUST), F.col(c.RANK)]
        if calibration is not None:
            rows = calibration.add_to(rows, TRUST)
            shown.append(F.col(CALIBRATED).alias(CALIBRATED_TRUST))
        if self.budget is not None:
            shown.append((F.col(c.RANK) <= self.budget).alias(TO_REVIEW))
        _ = self._warnings
        return keep_with(rows.select(*shown), self)

    def rejected(self) -> DataFrame:
        """Rows that cannot be used: id columns, reason, and the row as JSON. Reads the table again."""
        rows = self.df.select(
            *self._ids.select(self.df),
            *[F.col(quoted(col)).alias(f"_of_input_{i}") for i, col in enumerate(self._ids.columns)],
            self._select_reason().alias(FAULT),
            select_row_json().alias(c.ROW),
        )
        ids = [F.col(f"_of_input_{i}").alias(col) for i, col in enumerate(self._ids.columns)]
        found = self._usable.mark(rows).where(F.col(FAULT).isNotNull())
        return keep_with(found.select(*ids, F.col(FAULT).alias(c.REASON), c.ROW), self)

    def warnings(self) -> list[RunWarning]:
        """Doubts about the input, each with what to do. The first answer logs them."""
        return list(self._warnings)

    @cached_property
    def _warnings(self) -> list[RunWarning]:
        found, calibration = [], self._calibration
        if calibration is not None and calibration.num_ratings < FEW_RATINGS:
            found.append(
                RunWarning(
                    "few_ratings",
                    f"calibrated_trust rests on {calibration.num_ratings:,} ratings: let people rate at "
                    f"least {FEW_RATINGS}, of answers of every trust",
                )
            )
        if calibration is not None and calibration.tells_nothing:
            found.append(
                RunWarning(
                    "trust_does_not_order_ratings",
                    "answers that are trusted more are not rated higher: calibrated_trust is the same for "
                    "all. Are the ratings 1 where the answer is right?",
                )
            )
        for warning in found:
            logger.warning("%s (%s)", warning.message, warning.code)
        return found


def trust_scores(
    df: DataFrame | pd.DataFrame,
    answers_col: str,
    self_assessment_col: str | None = None,
    similarity: str = EXACT,
    *,
    id_col: str | Sequence[str] = "id",
    consistency_weight: float = DEFAULT_WEIGHT,
    ratings_col: str | None = None,
    budget: int | None = None,
    evidence_path: str | None = None,
    spark: SparkSession | None = None,
) -> DataFrame:
    """Score how far each answer of a language model can be trusted, the least trusted first by `rank`.

    It is `TrustAudit.scores` in one call, and takes the arguments of `TrustAudit`. Rows that cannot be used
    have no score: a warning in the log counts them by reason, and `TrustAudit.rejected` lists them.

    Args:
        df: a table of a row per question.
        answers_col: column of the answers, array<string>: the first is judged, the others are samples.
        self_assessment_col: column of the model's self-assessment in [0, 1], a number or an array of numbers.
        similarity: "exact", "token_overlap", or a column of similarities of the other answers to the first.
        id_col: id column, or a list of columns for a composite key.
        consistency_weight: weight of the consistency, from 0 to 1.
        ratings_col: column of ratings by people, 0 (wrong) to 1 (right), null where there is none.
        budget: number of answers that people can check.
        evidence_path: a directory to keep rows in (Parquet), for sessions that refuse to cache.
        spark: the session that turns a pandas DataFrame into one of Spark's; default the active one.

    Returns:
        The id columns, `answer`, `consistency`, `self_assessment` (if given), `trust`, `rank`,
        `calibrated_trust` (with ratings) and `to_review` (with a budget).

    Raises:
        ConfigurationError: the arguments contradict each other.
        InputError: a column is missing or unusable, or no row can be used.

    Example:
        >>> rows = [(1, ["Paris", "paris.", "Paris"]), (2, ["1912", "1915", "1912"]), (3, ["7", "12", "9"])]
        >>> table = spark.createDataFrame(rows, "id int, answers array<string>")
        >>> scores = trust_scores(table, "answers", budget=1)
        >>> {row.id: (row.trust, row.to_review) for row in scores.orderBy("rank").collect()}
        {3: (0.0, True), 2: (0.5, False), 1: (1.0, False)}
    """
    audit = TrustAudit(
        df,
        answers_col,
        self_assessment_col,
        similarity,
        id_col=id_col,
        consistency_weight=consistency_weight,
        ratings_col=ratings_col,
        budget=budget,
        evidence_path=evidence_path,
        spark=spark,
    )
    return audit.scores()


def mix(consistency: Column, self_assessment: Column, weight: float) -> Column:
    """Trust: the weighted mean of consistency and self-assessment, or the one of them that is not null."""
    mixed = F.lit(float(weight)) * consistency + F.lit(1.0 - weight) * self_assessment
    # weights that add up to 1 but for a rounding must not make a trust above 1
    bounded = F.when(mixed > 1, 1.0).otherwise(mixed)
    return F.coalesce(bounded, consistency, self_assessment)


def _are_texts(kind: DataType) -> bool:
    return isinstance(kind, ArrayType) and isinstance(kind.elementType, StringType)


def _are_numbers(kind: DataType) -> bool:
    return isinstance(kind, ArrayType) and isinstance(kind.elementType, NumericType)


def _is_number_or_numbers(kind: DataType) -> bool:
    return isinstance(kind, NumericType) or _are_numbers(kind)


def _is_number_or_flag(kind: DataType) -> bool:
    return isinstance(kind, NumericType) or kind.typeName() == "boolean"


_MEANINGS = {
    "answers_col": (_are_texts, "answers are array<string>"),
    "self_assessment_col": (_is_number_or_numbers, "a self-assessment is a number or an array of numbers"),
    "similarity": (_are_numbers, "similarities are array<double>"),
    "ratings_col": (_is_number_or_flag, "a rating is a number from 0 to 1"),
}
"""Of each argument that names a column: whether a type fits, and what it should be."""
