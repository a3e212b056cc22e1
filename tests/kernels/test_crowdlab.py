"""CROWDLAB's sums over models, without Spark."""

import numpy as np

from cl_spark.kernels.crowdlab import Trust, find_posterior, score_unlabeled
from cl_spark.kernels.votes import VoteBlock

CANDIDATES, MODELS = 3, 9
RANDOM = np.random.default_rng(0)
PROBS = RANDOM.random((40 * CANDIDATES, MODELS))
TRUST = Trust(RANDOM.random(1), RANDOM.random(MODELS), agreement=0.8, num_classes=CANDIDATES)


def examples(first: int, last: int) -> VoteBlock:
    """Examples of three candidates, the first of which the one annotator chose."""
    size = last - first
    return VoteBlock(
        vote_offsets=np.arange(size + 1),
        annotators=np.zeros(size, np.int64),
        labels=np.zeros(size, np.int64),
        candidate_offsets=np.arange(size + 1) * CANDIDATES,
        candidates=np.tile(np.arange(CANDIDATES), size),
        probs=PROBS[first * CANDIDATES : last * CANDIDATES],
        has_prediction=np.ones(size, bool),
        gold=np.full(size, -1),
    )


def test_what_many_models_say_of_an_example_depends_on_it_alone() -> None:
    whole, parts = examples(0, 40), [examples(i, i + 1) for i in range(40)]
    posterior = np.concatenate([find_posterior(part, TRUST) for part in parts])
    np.testing.assert_array_equal(find_posterior(whole, TRUST), posterior)
    scores = np.concatenate([score_unlabeled(part, TRUST, 0.5) for part in parts])
    np.testing.assert_array_equal(score_unlabeled(whole, TRUST, 0.5), scores)
