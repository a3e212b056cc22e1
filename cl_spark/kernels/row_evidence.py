"""The evidence of single rows: a few numbers, and the classes worth listing."""

from dataclasses import dataclass, fields

import numpy as np

from cl_spark.kernels import CACHED_VALUES, EPS
from cl_spark.kernels.arrays import Bools, Float64s, Floats, Int32s

SHORT_ARRAY = 64
"""Arrays up to this length are as cheap to keep as to list."""


@dataclass(frozen=True)
class ListingPolicy:
    """Rules for what the evidence lists, and whose arrays it keeps.

    Results are the same for any values: these only decide how often a row has to be read again.

    Attributes:
        min_listed_prob: classes are listed from this probability up, or from half the highest probability if
            that is lower. Suspects list all classes from half their self-confidence up: those that beat the
            label, and more.
        min_suspect_prob: but suspects list no class below this. By default they list these too: a quota that
            takes more examples than the listed classes tell takes classes of hardly any probability, and
            reading all rows again for them takes as long as the scan.
        max_listed: a row where more classes than this would be listed lists none; suspects list a sixteenth
            of all classes if that is more. A suspect that lists none keeps its array, and so do those with
            short arrays: a list of most classes is no smaller.
    """

    min_listed_prob: float = 0.2
    min_suspect_prob: float = 0.0
    max_listed: int = 64

    def keeps_array(self, max_prob: Floats, unlisted_max_prob: Floats, num_probs: Int32s | int) -> Bools:
        """(n,) True where the evidence keeps the array of the row, if that is a suspect."""
        return np.asarray((unlisted_max_prob >= max_prob) | (np.asarray(num_probs) <= SHORT_ARRAY))


@dataclass(frozen=True)
class ListedProbs:
    """Listed classes of rows, (m,) each.

    Attributes:
        row: row number.
        class_index: listed class.
        prob: its probability.
    """

    row: Int32s
    class_index: Int32s
    prob: Floats

    @staticmethod
    def concat(parts: "list[ListedProbs]") -> "ListedProbs":
        """Concatenate entries; row numbers stay."""
        if len(parts) == 1:
            return parts[0]
        return ListedProbs(
            *(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(ListedProbs))
        )

    def where(self, chosen: Bools) -> "ListedProbs":
        """Keep some of the entries."""
        return ListedProbs(self.row[chosen], self.class_index[chosen], self.prob[chosen])


@dataclass(frozen=True)
class RowEvidence:
    """The evidence of n rows; (n,) each but for the listed classes.

    Attributes:
        predicted: predicted class: the lowest class of the highest probability.
        self_confidence: probability of the given class; NaN where the label is none of the classes.
        max_prob: highest probability; NaN if any of the row is.
        second_max_prob: highest probability of a class other than the predicted one.
        min_prob: lowest probability.
        unlisted_max_prob: upper bound on the probability of every class that is neither predicted nor listed.
        listed: listed classes, without the predicted class.
        prob_sum: sum of the probabilities; None where it was not asked for.
    """

    predicted: Int32s
    self_confidence: Floats
    max_prob: Floats
    second_max_prob: Floats
    min_prob: Floats
    unlisted_max_prob: Floats
    listed: ListedProbs
    prob_sum: Float64s | None

    @staticmethod
    def concat(parts: "list[RowEvidence]") -> "RowEvidence":
        """Concatenate the evidence of rows that are already numbered one after the other."""
        sums = [part.prob_sum for part in parts if part.prob_sum is not None]
        return RowEvidence(
            predicted=np.concatenate([part.predicted for part in parts]),
            self_confidence=np.concatenate([part.self_confidence for part in parts]),
            max_prob=np.concatenate([part.max_prob for part in parts]),
            second_max_prob=np.concatenate([part.second_max_prob for part in parts]),
            min_prob=np.concatenate([part.min_prob for part in parts]),
            unlisted_max_prob=np.concatenate([part.unlisted_max_prob for part in parts]),
            listed=ListedProbs.concat([part.listed for part in parts]),
            prob_sum=np.concatenate(sums) if sums else None,
        )


def find_suspects(given: Int32s, predicted: Int32s, self_confidence: Floats, max_prob: Floats) -> Bools:
    """Find the rows whose label another class beats by more than 1e-6, so that they can be issues.

    This is ``argmax(p + 1e-6 at the label) != label`` (specification, section 4.1) from scalars alone. Only
    the label's entry changes, so the argmax is the label or stays `predicted`, the first maximum: the label
    wins where ``p[label] + 1e-6`` is larger, or equal and the label comes first.

    Args:
        given: (n,) given class.
        predicted: (n,) predicted class.
        self_confidence: (n,) probability of the given class.
        max_prob: (n,) probability of the predicted class.

    Returns:
        (n,) True for suspects.

    Example:
        >>> given, predicted = np.array([0, 0]), np.array([1, 1])
        >>> find_suspects(given, predicted, np.array([0.4, 0.5]), np.array([0.6, 0.5])).tolist()
        [True, False]
    """
    raised, highest = self_confidence.astype(np.float64) + EPS, max_prob.astype(np.float64)
    is_beaten = (raised < highest) | ((raised == highest) & (predicted < given))
    return np.asarray((predicted != given) & is_beaten)


def find_listing_floors(
    given: Int32s,
    predicted: Int32s,
    self_confidence: Floats,
    max_prob: Floats,
    num_probs: int,
    policy: ListingPolicy,
) -> Floats:
    """Find from which probability on each row lists its classes.

    Args:
        given: (n,) given class.
        predicted: (n,) predicted class.
        self_confidence: (n,) probability of the given class.
        max_prob: (n,) highest probability.
        num_probs: K.
        policy: what to list.

    Returns:
        (n,) floors, in the precision of the probabilities.
    """
    half = max_prob.dtype.type(0.5)
    floor = np.minimum(max_prob.dtype.type(policy.min_listed_prob), max_prob * half)
    is_suspect = find_suspects(given, predicted, self_confidence, max_prob)
    of_suspects = np.fmax(self_confidence * half, max_prob.dtype.type(policy.min_suspect_prob))
    floor = np.where(is_suspect & (num_probs > SHORT_ARRAY), np.fmin(floor, of_suspects), floor)
    # half of a score below 0 lies above it
    return np.where(max_prob <= 0, max_prob, floor)


def extract_dense(given: Int32s, probs: Floats, policy: ListingPolicy, *, with_sums: bool) -> RowEvidence:
    """Extract the evidence of arrays of one length.

    Args:
        given: (n,) given classes; any number outside 0..K-1 is none.
        probs: (n, K) probabilities or scores.
        policy: what to list.
        with_sums: sum the probabilities of each row too.

    Example:
        >>> probs = np.array([[0.1, 0.3, 0.6]])
        >>> found = extract_dense(np.array([1]), probs, ListingPolicy(), with_sums=False)
        >>> found.predicted.tolist(), found.self_confidence.tolist(), found.second_max_prob.tolist()
        ([2], [0.3], [0.3])
        >>> found.listed.class_index.tolist()
        [1]
    """
    size, classes = probs.shape
    step = max(CACHED_VALUES // classes, 1)
    parts = [
        _extract_chunk(given[start : start + step], probs[start : start + step], start, policy, with_sums)
        for start in range(0, max(size, 1), step)
    ]
    return parts[0] if len(parts) == 1 else RowEvidence.concat(parts)


def _extract_chunk(
    given: Int32s, probs: Floats, start: int, policy: ListingPolicy, with_sums: bool
) -> RowEvidence:
    (size, classes), kind = probs.shape, probs.dtype
    rows = np.arange(size)
    prob_sum = probs.sum(axis=1, dtype=np.float64) if with_sums else None
    is_class = (given >= 0) & (given < classes)
    self_confidence = np.where(is_class, probs[rows, np.where(is_class, given, 0)], kind.type(np.nan))
    is_short = classes <= SHORT_ARRAY
    if is_short:  # numpy is slow along short rows, so these are turned
        others = np.array(probs.T, order="C")
        max_prob, min_prob = others.max(axis=0), others.min(axis=0)
        predicted = others.argmax(axis=0)
        others[predicted, rows] = -np.inf
        second_max_prob = others.max(axis=0)
    else:
        predicted = probs.argmax(axis=1)
        max_prob, min_prob = probs[rows, predicted], probs.min(axis=1)
        others = probs.copy()
        others[rows, predicted] = -np.inf
        second_max_prob = others.max(axis=1)
    unlisted_max_prob = find_listing_floors(given, predicted, self_confidence, max_prob, classes, policy)
    if is_short:
        hits = np.flatnonzero(others >= unlisted_max_prob)
        class_index, row = np.divmod(hits, size) if size else (rows, rows)
        prob = others[class_index, row]
    else:
        row, class_index = np.divmod(np.flatnonzero(others >= unlisted_max_prob[:, None]), classes)
        prob = others[row, class_index]
    listed = ListedProbs((row + start).astype(np.int32), class_index.astype(np.int32), prob)
    num_listed = np.bincount(row, minlength=size)
    is_crowded = num_listed > policy.max_listed
    if is_crowded.any():
        is_suspect = find_suspects(given, predicted, self_confidence, max_prob)
        is_crowded &= ~is_suspect | (num_listed > classes // 16)
        unlisted_max_prob = np.where(is_crowded, max_prob, unlisted_max_prob)
        listed = listed.where(~is_crowded[row])
    return RowEvidence(
        predicted.astype(np.int32),
        self_confidence,
        max_prob,
        second_max_prob,
        min_prob,
        unlisted_max_prob,
        listed,
        prob_sum,
    )
