"""Memberships: whether an example has a class. Each of the K classes is a binary problem of its own.

A class asks of every example whether it has the class, with the probabilities ``(1 - p, p)``. The binary
problem of class c has two "classes": 2c (the example does not have c) and 2c + 1 (it has). All K problems
together are then one problem of 2K classes, of which the joint has blocks of 2 x 2 on its diagonal.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields

import numpy as np

from cl_spark.kernels import CACHED_VALUES, EPS, quality_scores
from cl_spark.kernels.arrays import Bools, Float64s, Floats, Int64s
from cl_spark.kernels.class_score_aggregates import Aggregate, ScoreEntries
from cl_spark.kernels.fixed_point import LIMB

MembershipScore = Callable[[Float64s, Float64s], Float64s]
"""(probability of what is given, probability of the contrary) -> label quality scores."""


def self_confidence(of_given: Float64s, of_other: Float64s) -> Float64s:
    """Probability of what is given."""
    return of_given


def normalized_margin(of_given: Float64s, of_other: Float64s) -> Float64s:
    """``(p[given] - p[other] + 1) / 2``: the self-confidence again, up to rounding."""
    return np.asarray((of_given - of_other + 1) / 2)


def confidence_weighted_entropy(of_given: Float64s, of_other: Float64s) -> Float64s:
    """Entropy of the two probabilities, over that of what is given; see `kernels.quality_scores`."""
    pairs = np.stack([of_given.ravel(), of_other.ravel()], axis=1)
    scores = quality_scores.confidence_weighted_entropy(np.zeros(len(pairs), dtype=np.int64), pairs)
    return scores.reshape(of_given.shape)


METHODS: dict[str, MembershipScore] = {
    "self_confidence": self_confidence,
    "normalized_margin": normalized_margin,
    "confidence_weighted_entropy": confidence_weighted_entropy,
}
"""Label quality scores of a membership by the names that users give."""


@dataclass(frozen=True)
class Suspects:
    """Memberships that the contrary beats by more than 1e-6; (m,) each, ordered by row and class.

    Attributes:
        row: row.
        class_index: class.
        prob: probability of the class.
        given: True where the row has the class.
    """

    row: Int64s
    class_index: Int64s
    prob: Float64s
    given: Bools

    @staticmethod
    def concat(parts: "Sequence[Suspects]") -> "Suspects":
        """Concatenate suspects; row numbers stay."""
        numbers, bools = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
        none = Suspects(numbers, numbers, np.zeros(0), bools)
        return Suspects(
            *(np.concatenate([getattr(part, of.name) for part in (none, *parts)]) for of in fields(Suspects))
        )


def is_suspect(prob: Float64s, given: Bools) -> Bools:
    """Tell which memberships are suspects: the agreement rule, as `find_suspects` has it, of two classes.

    Example:
        >>> is_suspect(np.array([0.6, 0.5, 0.5]), np.array([False, False, True])).tolist()
        [True, False, False]
    """
    other = 1 - prob
    has_not, has = other + EPS < prob, (prob + EPS < other) | (prob + EPS == other)
    return np.where(given, has, has_not)


@dataclass
class ClassSums:
    """Sums over rows, exact in any order: (K,) whole numbers each.

    The sums are those of the limbs of probabilities (see `kernels.fixed_point`), of which the first two are
    one number here.

    Attributes:
        num_classes: K.
        rows: number of rows.
        given: rows that have the class.
        high: sum of the high limbs of all rows.
        low: sum of the low limbs of all rows.
        given_high: sum of the high limbs of rows that have the class.
        given_low: sum of the low limbs of rows that have the class.
    """

    num_classes: int
    rows: int = 0
    given: Int64s = field(init=False)
    high: Int64s = field(init=False)
    low: Int64s = field(init=False)
    given_high: Int64s = field(init=False)
    given_low: Int64s = field(init=False)

    def __post_init__(self) -> None:
        for name in SUMS:
            setattr(self, name, np.zeros(self.num_classes, dtype=np.int64))

    def add_given(self, class_index: Int64s, prob: Float64s) -> None:
        """Add the memberships of rows that have the class."""
        high, low = cut_limbs(prob)
        self.given += np.bincount(class_index, minlength=self.num_classes)
        # whole numbers below 2^53 add exactly as doubles
        self.given_high += np.bincount(class_index, high, self.num_classes).astype(np.int64)
        self.given_low += np.bincount(class_index, low, self.num_classes).astype(np.int64)


SUMS = tuple(part.name for part in fields(ClassSums) if not part.init)


def cut_limbs(prob: Float64s) -> tuple[Float64s, Float64s]:
    """Cut probabilities into two whole numbers: ``p = high / 2**29 + low / 2**58``, rounded there."""
    scaled = prob * LIMB
    high = np.floor(scaled)
    scaled -= high
    scaled *= LIMB
    return high, np.rint(scaled, out=scaled)


@dataclass(frozen=True)
class Floors:
    """From which probability on a class is in the confident set; (K,) each.

    Attributes:
        has_not: floors of 1 - p.
        has: floors of p.
    """

    has_not: Float64s
    has: Float64s

    def find_true(self, prob: Float64s, class_index: Int64s | slice) -> tuple[Bools, Bools]:
        """Tell for which memberships the true class is "has not", and for which it is "has": of two confident
        classes the more probable one, the first on a tie.
        """
        other = 1 - prob
        has_not, has = other >= self.has_not[class_index], prob >= self.has[class_index]
        is_more = prob > other
        return has_not & ~(has & is_more), has & ~(has_not & ~is_more)


@dataclass(frozen=True)
class DenseMemberships:
    """Rows with the probabilities of all classes.

    Attributes:
        probs: (n, K) probabilities.
        given_row: (m,) row of each given label, ascending.
        given_class: (m,) its class; of no row twice.
    """

    probs: Floats
    given_row: Int64s
    given_class: Int64s

    def __len__(self) -> int:
        return len(self.probs)

    @property
    def num_classes(self) -> int:
        """K."""
        return int(self.probs.shape[1])

    def given_labels(self) -> tuple[Int64s, Int64s]:
        """Rows and classes of the given labels, ordered by both."""
        return self.given_row, self.given_class

    def _iter_chunks(self) -> Iterator[tuple[slice, Float64s, Int64s]]:
        """Iterate over so many rows as stay in the processor's cache: rows, their probabilities, and the
        positions of their given labels in these.
        """
        step = max(CACHED_VALUES // max(self.num_classes, 1), 1)
        starts = np.arange(0, len(self), step)
        ends = np.searchsorted(self.given_row, starts + step)
        first = 0
        for start, last in zip(starts.tolist(), ends.tolist(), strict=True):
            rows = slice(start, min(start + step, len(self)))
            of_given = (self.given_row[first:last] - start) * self.num_classes + self.given_class[first:last]
            yield rows, self.probs[rows].astype(np.float64), of_given
            first = last

    def add_to(self, sums: ClassSums) -> None:
        """Add the rows to sums."""
        sums.rows += len(self)
        for _, probs, _ in self._iter_chunks():
            high, low = cut_limbs(probs)
            sums.high += high.sum(axis=0).astype(np.int64)
            sums.low += low.sum(axis=0).astype(np.int64)
        probs = self.probs[self.given_row, self.given_class].astype(np.float64)
        sums.add_given(self.given_class, probs)

    def find_suspects(self) -> Suspects:
        """Find the suspects: given labels that are improbable, and others that are probable."""
        found = []
        for rows, probs, of_given in self._iter_chunks():
            flat = probs.ravel()
            hits = np.flatnonzero(flat > 0.5)
            hits = np.setdiff1d(hits, of_given, assume_unique=True)
            hits = hits[is_suspect(flat[hits], np.zeros(len(hits), dtype=bool))]
            of_given = of_given[is_suspect(flat[of_given], np.ones(len(of_given), dtype=bool))]
            position = np.concatenate([hits, of_given])
            given = np.arange(len(position)) >= len(hits)
            order = np.argsort(position)
            row, class_index = np.divmod(position[order], self.num_classes)
            found.append(Suspects(row + rows.start, class_index, flat[position[order]], given[order]))
        return Suspects.concat(found)

    def score(self, method: str, aggregate: Aggregate) -> Float64s:
        """Score the n rows: (n,) doubles."""
        parts = [aggregate.of_matrix(scores) for _, scores in self.score_classes(method)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def score_classes(self, method: str) -> Iterator[tuple[slice, Float64s]]:
        """Score every membership: slices of rows with their (m, K) scores."""
        for rows, probs, of_given in self._iter_chunks():
            others = 1 - probs
            given, contrary = others, probs
            if method != "self_confidence":
                contrary = probs.copy()
                contrary.ravel()[of_given] = others.ravel()[of_given]
            given.ravel()[of_given] = probs.ravel()[of_given]
            yield rows, METHODS[method](given, contrary)

    def count_true(self, floors: Floors) -> Int64s:
        """Count the memberships by class, given and true class: (K, 2, 2)."""
        counts = np.zeros((self.num_classes, 2, 2), dtype=np.int64)
        for _, probs, _ in self._iter_chunks():
            for true, is_true in enumerate(floors.find_true(probs, slice(None))):
                counts[:, 0, true] += np.count_nonzero(is_true, axis=0)
        probs = self.probs[self.given_row, self.given_class].astype(np.float64)
        return _move_given(counts, floors, self.given_class, probs)


@dataclass(frozen=True)
class SparseMemberships:
    """Rows that list some classes; the probability of every class that a row leaves out is 0.

    Attributes:
        size: n.
        num_classes: K.
        row: (m,) row of each entry, ascending: of the classes that a row lists, and of those it is given.
        class_index: (m,) its class, ascending in each row; of no row twice.
        prob: (m,) its probability.
        given: (m,) True where the row has the class.
    """

    size: int
    num_classes: int
    row: Int64s
    class_index: Int64s
    prob: Float64s
    given: Bools

    def __len__(self) -> int:
        return self.size

    def given_labels(self) -> tuple[Int64s, Int64s]:
        """Rows and classes of the given labels, ordered by both."""
        return self.row[self.given], self.class_index[self.given]

    def add_to(self, sums: ClassSums) -> None:
        """Add the rows to sums."""
        sums.rows += self.size
        high, low = cut_limbs(self.prob)
        sums.high += np.bincount(self.class_index, high, self.num_classes).astype(np.int64)
        sums.low += np.bincount(self.class_index, low, self.num_classes).astype(np.int64)
        sums.add_given(self.class_index[self.given], self.prob[self.given])

    def find_suspects(self) -> Suspects:
        """Find the suspects: a class left out that is not given is none."""
        hits = is_suspect(self.prob, self.given)
        return Suspects(self.row[hits], self.class_index[hits], self.prob[hits], self.given[hits])

    def _score_entries(self, method: str) -> tuple[Float64s, float]:
        """Score the entries, and a class left out."""
        other = 1 - self.prob
        score = METHODS[method]
        of_given, contrary = np.where(self.given, self.prob, other), np.where(self.given, other, self.prob)
        return score(of_given, contrary), float(score(np.ones(1), np.zeros(1))[0])

    def score(self, method: str, aggregate: Aggregate) -> Float64s:
        """Score the n rows: (n,) doubles."""
        scores, absent = self._score_entries(method)
        return aggregate.of_entries(ScoreEntries(self.row, scores, self.size, self.num_classes, absent))

    def score_classes(self, method: str) -> Iterator[tuple[slice, Float64s]]:
        """Score every membership: slices of rows with their (m, K) scores."""
        scores, absent = self._score_entries(method)
        step = max(CACHED_VALUES // self.num_classes, 1)
        for start in range(0, self.size, step):
            rows = slice(start, min(start + step, self.size))
            entries = slice(*np.searchsorted(self.row, [rows.start, rows.stop]))
            matrix = np.full((rows.stop - rows.start, self.num_classes), absent)
            matrix[self.row[entries] - start, self.class_index[entries]] = scores[entries]
            yield rows, matrix

    def count_true(self, floors: Floors) -> Int64s:
        """Count the memberships by class, given and true class: (K, 2, 2).

        A class left out has the probabilities (1, 0). The floor of "has not" is at most 1 where any row has
        not the class, and that of "has" is above 0: it is confidently not had.
        """
        counts = np.zeros((self.num_classes, 2, 2), dtype=np.int64)
        counts[:, 0, 0] = self.size - np.bincount(self.class_index, minlength=self.num_classes)
        for true, is_true in enumerate(floors.find_true(self.prob, self.class_index)):
            counts[:, 0, true] += np.bincount(self.class_index[is_true], minlength=self.num_classes)
        return _move_given(counts, floors, self.class_index[self.given], self.prob[self.given])


MembershipRows = DenseMemberships | SparseMemberships
"""Probabilities and given labels of n rows; both answer the same questions."""


def _move_given(counts: Int64s, floors: Floors, class_index: Int64s, prob: Float64s) -> Int64s:
    """Move the memberships of rows that have the class from "given: has not", where all were counted."""
    for true, is_true in enumerate(floors.find_true(prob, class_index)):
        moved = np.bincount(class_index[is_true], minlength=len(counts))
        counts[:, 0, true] -= moved
        counts[:, 1, true] += moved
    return counts
