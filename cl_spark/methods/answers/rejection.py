"""Rows of answers that cannot be used, each with its reason."""

from pyspark.sql import Column
from pyspark.sql import functions as F

NO_ANSWERS = "null or empty answers"
NO_FIRST_ANSWER = "null or blank first answer"
NULL_ANSWER = "null inside answers"
NO_SELF_ASSESSMENT = "null or empty self-assessment"
NO_PROBABILITY = "self-assessment outside 0..1"
WRONG_LENGTH = "similarities of another number than the other answers"
NO_SIMILARITY = "similarity outside 0..1"
NO_RATING = "rating outside 0..1"
NOTHING_TELLS = "one answer without self-assessment"


def find_faults_of_answers(answers: Column) -> list[tuple[Column, str]]:
    """List conditions under which answers cannot be used, each with its reason."""
    return [
        (answers.isNull() | (F.size(answers) == 0), NO_ANSWERS),
        (~F.coalesce(F.get(answers, F.lit(0)).rlike(r"[^\s\p{Z}]"), F.lit(False)), NO_FIRST_ANSWER),
        (F.exists(answers, F.isnull), NULL_ANSWER),
    ]


def find_faults_of_assessments(assessments: Column) -> list[tuple[Column, str]]:
    """List conditions under which an array of self-assessments cannot be used, each with its reason."""
    is_missing = assessments.isNull() | (F.size(assessments) == 0) | F.exists(assessments, F.isnull)
    return [(is_missing, NO_SELF_ASSESSMENT), (F.exists(assessments, is_outside), NO_PROBABILITY)]


def find_faults_of_similarities(similarities: Column, answers: Column) -> list[tuple[Column, str]]:
    """List conditions under which similarities of the caller's cannot be used, each with its reason."""
    # one answer has no others, and may have null for the similarities to them
    length = F.when(similarities.isNull(), 0).otherwise(F.size(similarities))
    return [
        (length != F.size(answers) - 1, WRONG_LENGTH),
        (F.exists(similarities, lambda value: value.isNull() | is_outside(value)), NO_SIMILARITY),
    ]


def is_outside(value: Column) -> Column:
    """Condition that a number is not in [0, 1]. NaN is greater than any number, and so outside."""
    return (value < 0) | (value > 1)
