"""How consistent sampled answers are: the mean similarity of the first answer and the others."""

from pyspark.sql import Column
from pyspark.sql import functions as F

EXACT, TOKEN_OVERLAP = "exact", "token_overlap"
SIMILARITIES = (EXACT, TOKEN_OVERLAP)

_ANY_SPACE = r"[\s\p{Z}]+"
_AROUND = r"^[ \"'“”‘’«»「」『』（(\[]+|[ \"'“”‘’«»「」『』）)\].,;:!?…。，、；：！？｡､।؟؛،]+$"
_NO_WORD = r"[^\p{L}\p{M}\p{N}]+"


def agree_exactly(answers: Column) -> Column:
    """Share of the other answers that equal the first, in [0, 1]; null where there is no other.

    Answers are equal in lower case, with one space for any white space, without quotation marks and brackets
    around them and without punctuation at the end. Other signs count: 3.5 is not 35, and -5 is not 5; and so
    do all where there is nothing else: "?" is not "...".
    """
    normalized = F.transform(answers, normalize_answer)
    equal = F.filter(_others(normalized), lambda answer: answer == F.get(normalized, F.lit(0)))
    return _divide(F.size(equal), F.size(answers) - 1)


def overlap_in_words(answers: Column) -> Column:
    """Mean Jaccard similarity of the words of the first answer and those of the others, in [0, 1]; null where
    there is no other.

    Words are runs of letters, marks and digits, in lower case; each counts once. Of two answers without a
    word the similarity is 1.
    """
    words = F.transform(answers, list_words)
    similarities = F.transform(_others(words), lambda other: _jaccard(F.get(words, F.lit(0)), other))
    return mean_of(similarities)


def mean_of(values: Column) -> Column:
    """Mean of an array of numbers, added in its order; null where the array is null or empty."""
    numbers = F.transform(values, lambda value: value.cast("double"))
    return _divide(F.aggregate(numbers, F.lit(0.0), lambda total, value: total + value), F.size(values))


def normalize_answer(answer: Column) -> Column:
    """Write an answer as it is compared with others: one of signs alone keeps them."""
    spaced = F.trim(F.regexp_replace(F.lower(answer), _ANY_SPACE, " "))
    stripped = F.regexp_replace(spaced, _AROUND, "")
    return F.when(stripped == "", spaced).otherwise(stripped)


def list_words(answer: Column) -> Column:
    """List the different words of an answer."""
    words = F.split(F.regexp_replace(F.lower(answer), _NO_WORD, " "), " ")
    return F.array_distinct(F.filter(words, lambda word: word != ""))


def _others(answers: Column) -> Column:
    return F.slice(answers, F.lit(2), F.greatest(F.size(answers) - 1, F.lit(0)))


def _jaccard(one: Column, other: Column) -> Column:
    both = F.size(F.array_intersect(one, other))
    either = F.size(one) + F.size(other) - both
    return F.when(either == 0, 1.0).otherwise(both / either)


def _divide(total: Column, number: Column) -> Column:
    return F.when(number > 0, total / number)
