"""CROWDLAB: how far annotators and models are trusted, and what they say together (specification, section
13).

Source: Goh, Tkachenko, Mueller, "CROWDLAB: Supervised learning to infer consensus labels and quality scores
for data with multiple annotators", 2022 (arXiv 2210.06812), section 3.
"""

from dataclasses import dataclass, replace

import numpy as np

from cl_spark.kernels.arrays import Float64s, Int64s
from cl_spark.kernels.votes import VoteBlock, narrow_to_highest

LEAST = 1e-6
"""Least weight of an annotator or a model, and least error of the simplest guess."""


@dataclass(frozen=True)
class AnnotatorCounts:
    """Whole numbers about each of A annotators, (A,) each, against a consensus. They add up over blocks.

    Attributes:
        same: other annotations of its examples that give its label.
        others: other annotations of its examples.
        agreed: examples on which it agrees with the consensus.
        examples: examples that it labelled.
        agreed_shared: as `agreed`, of examples with several annotations.
        shared: examples with several annotations that it labelled.
    """

    same: Int64s
    others: Int64s
    agreed: Int64s
    examples: Int64s
    agreed_shared: Int64s
    shared: Int64s


def count_annotators(block: VoteBlock, consensus: Int64s, num_annotators: int) -> AnnotatorCounts:
    """Count how each annotator agrees with the others and with a consensus.

    Args:
        block: the examples.
        consensus: (n,) their consensus; votes on examples that have none (-1) do not count.
        num_annotators: A.
    """
    counts = consensus[block.vote_rows] >= 0
    fellows = block.num_votes[block.vote_rows] - 1
    agrees = block.labels == consensus[block.vote_rows]
    terms = (
        counts * (block.counts[block.vote_candidates] - 1),
        counts * fellows,
        agrees,
        counts,
        agrees & (fellows > 0),
        counts & (fellows > 0),
    )
    # doubles hold these sums exactly: a block has far fewer than 2**53 annotations
    sums = [np.bincount(block.annotators, weights=term, minlength=num_annotators) for term in terms]
    return AnnotatorCounts(*[found.astype(np.int64) for found in sums])


@dataclass(frozen=True)
class Trust:
    """Weights of annotators and models, against a consensus.

    Attributes:
        annotators: (A,) weight of each annotator.
        models: (M,) weight of each model.
        agreement: probability that an annotation is the true class, P: the mean share of the annotations of
            an example that give its consensus.
        num_classes: K.
    """

    annotators: Float64s
    models: Float64s
    agreement: float
    num_classes: int

    @property
    def other_class(self) -> float:
        """Probability that an annotation gives to each class that it does not name."""
        return (1 - self.agreement) / (self.num_classes - 1)

    def of_models_only(self) -> "Trust":
        """Return weights by which annotators do not count."""
        return replace(self, annotators=np.zeros_like(self.annotators))


def find_agreement(counts: AnnotatorCounts) -> Float64s:
    """Find the agreement of each annotator with its fellows: (A,).

    It is the share of other annotations of its examples that give its label; of annotators without fellows
    the mean of the others.
    """
    return divide_or_mean(counts.same, counts.others)


def divide_or_mean(parts: Int64s, wholes: Int64s) -> Float64s:
    """Divide, (A,) by (A,); where the whole is 0 the mean of the other shares, and 1 where all are."""
    shares = parts / np.maximum(wholes, 1)
    is_known = wholes > 0
    mean = float(shares[is_known].mean()) if is_known.any() else 1.0
    return np.where(is_known, shares, mean)


def find_weight(error: Float64s, guess_error: float) -> Float64s:
    """Find weights by how much less one errs than who always gives the most frequent consensus."""
    return np.maximum(1 - error / guess_error, LEAST)


def weigh_models(block: VoteBlock, trust: Trust) -> Float64s:
    """Sum the probabilities of each candidate over the models, each times its weight: (c,).

    The sums add model by model. A product of matrices adds in an order that depends on where in the block a
    candidate stands, and so on the partitions of the table.
    """
    total = np.zeros(len(block.probs))
    for model, weight in enumerate(trust.models):
        total += block.probs[:, model] * weight
    return total


def find_posterior(block: VoteBlock, trust: Trust) -> Float64s:
    """Find the probability of each candidate, given all annotators and models of its example: (c,).

    An example without prediction is judged by its annotators alone. Classes that are no candidates have no
    higher probability than the best of the candidates.
    """
    weights = trust.annotators[block.annotators]
    votes = np.bincount(block.vote_candidates, weights=weights, minlength=len(block.candidates))
    of_annotators = block.sum_by_row(weights)
    of_models = np.where(block.has_prediction, trust.models.sum(), 0.0)
    numerator = (
        weigh_models(block, trust)
        + trust.other_class * of_annotators[block.candidate_rows]
        + (trust.agreement - trust.other_class) * votes
    )
    weights = of_annotators + of_models
    # without any weight nothing tells: an annotator is taken at its word
    is_empty = weights == 0
    posterior = numerator / np.where(is_empty, 1.0, weights)[block.candidate_rows]
    return np.where(is_empty[block.candidate_rows], (block.counts > 0).astype(float), posterior)


def find_consensus(block: VoteBlock, posterior: Float64s, majority: Int64s) -> Int64s:
    """Find the class of highest posterior: (n,). Where several have it, the majority vote is the "
    "consensus."""
    marked = block.is_highest(posterior)
    classes = np.where(block.count_marked(marked) > 1, majority, block.first_by_row(marked))
    return np.where(block.gold >= 0, block.gold, classes)


def find_qualities(block: VoteBlock, posterior: Float64s, consensus: Int64s) -> tuple[Float64s, Float64s]:
    """Find the label quality of the consensus, (n,), and of each annotation, (v,): their posterior.

    Where a gold answer is known, they are 1 where they agree with it, else 0.
    """
    has_gold = block.gold >= 0
    of_consensus = posterior[block.find_candidates(np.arange(block.size), consensus)]
    is_gold = (block.labels == block.gold[block.vote_rows]).astype(float)
    of_votes = np.where(has_gold[block.vote_rows], is_gold, posterior[block.vote_candidates])
    return np.where(has_gold, 1.0, of_consensus), of_votes


def score_labeled(block: VoteBlock, qualities: Float64s, trust: Trust, mean_weight: float) -> Float64s:
    """Score how little another annotation of each example would tell: (n,), low = label next.

    Source: Goh, Mueller, "ActiveLab: Active Learning with Re-Labeling by Multiple Annotators", 2023, eq. 4.
    """
    weights = block.sum_by_row(trust.annotators[block.annotators])
    weights += np.where(block.has_prediction, trust.models.sum(), 0.0)
    return (weights * qualities + mean_weight / trust.num_classes) / (weights + mean_weight)


def score_unlabeled(block: VoteBlock, trust: Trust, mean_weight: float) -> Float64s:
    """Score how little a first annotation of each example would tell: (n,), low = label next.

    Args:
        block: examples with predictions, whose votes do not count.
        trust: the weights.
        mean_weight: mean weight of the annotators.
    """
    weight = float(trust.models.sum())
    classes = predict_together(block)
    probs = weigh_models(block, trust)[block.find_candidates(np.arange(block.size), classes)]
    return (probs + mean_weight / trust.num_classes) / (weight + mean_weight)


def predict_together(block: VoteBlock) -> Int64s:
    """Find the class that most models find most probable: (n,). Ties go to the highest mean probability, then
    to the lower class.
    """
    votes = np.zeros(len(block.candidates))
    for model in range(block.probs.shape[1]):
        votes[block.find_candidates(np.arange(block.size), block.predicted(model))] += 1
    marked = narrow_to_highest(block, block.is_highest(votes), block.probs.sum(axis=1))
    return block.first_by_row(marked)
