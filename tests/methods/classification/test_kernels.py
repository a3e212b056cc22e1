"""What Spark ships to its workers are values that pickle by the name of their class, without a session."""

import inspect
import pickle
import pkgutil
from functools import partial
from importlib import import_module

import numpy as np
import pytest

import cl_spark.methods.classification
from cl_spark.evidence.prob_formats import DenseProbs, SparseProbs
from cl_spark.kernels.calibration import calibrate
from cl_spark.kernels.row_evidence import ListingPolicy
from cl_spark.methods.classification.cells import apply_to_counts, apply_to_sorted
from cl_spark.methods.classification.class_aggregates import ClassSums
from cl_spark.methods.classification.confident_joint import (
    ConfidentCells,
    ConfidentClassesOfRows,
    OffDiagonal,
)
from cl_spark.methods.classification.cuts import BucketCounts, CutBuckets, LowestCandidates, RowsUpToCuts
from cl_spark.methods.classification.ensembles import CandidateLosses, ModelScores, ModelSums
from cl_spark.methods.classification.filters import RowsOfPrunedClasses, ScoredRows
from cl_spark.methods.classification.health import SliceCounts
from cl_spark.methods.classification.issues import is_suspect
from cl_spark.methods.classification.noise import CountShares, NormalizedRates, WeightedInverseRates
from cl_spark.methods.classification.noise_rate_pairs import PairCandidates, Pairs
from cl_spark.methods.classification.rejection import RejectedRows
from cl_spark.methods.classification.scan import SettledRows
from cl_spark.methods.classification.score_distribution import ConfidenceCounts, ScoreRanges
from cl_spark.methods.classification.scores import (
    ArrayScores,
    ScoredColumns,
    ScoresOfRows,
    normalized_margins,
    self_confidences,
)
from cl_spark.methods.classification.sources import KernelOnBatches, SelectedRows

ONES, COUNTS = np.ones(3), np.arange(3)
DENSE, SPARSE = DenseProbs("float"), SparseProbs("double", 3, 0.0)
PAIRS = Pairs(3, COUNTS, COUNTS, ONES, COUNTS, COUNTS)
CANDIDATES = PairCandidates(PAIRS, SPARSE, suspects_only=True)
KERNELS = [
    ClassSums(ListingPolicy()),
    ConfidentClassesOfRows(ONES),
    OffDiagonal(ONES, DENSE, suspects_only=True),
    ConfidentCells(ONES, DENSE),
    CANDIDATES,
    LowestCandidates(CANDIDATES, COUNTS, ["_id_0"], suspects_only=False),
    BucketCounts(ScoredRows(normalized_margins, is_empty=False)),
    RowsUpToCuts(RowsOfPrunedClasses(COUNTS), CutBuckets(COUNTS, COUNTS), ["_id_0"], suspects_only=True),
    ScoredRows(self_confidences, is_empty=True),
    RowsOfPrunedClasses(COUNTS),
    SliceCounts(["_slice_0"], OffDiagonal(ONES, SPARSE, suspects_only=True), count_examples=True),
    CountShares(ONES, ONES, 0.9),
    NormalizedRates(ONES, ONES),
    WeightedInverseRates(ONES),
    RejectedRows(is_suspect, 3, ["_id_0"], ["id"]),
    SettledRows(ONES, DENSE, ListingPolicy()),
    ConfidenceCounts(ScoreRanges(0.0, 1.0)),
    ArrayScores("self_confidence", True, ONES, DENSE),
    ScoresOfRows("self_confidence", COUNTS, None),
    ScoredColumns(self_confidences, ["_id_0"], suspects_only=False),
    KernelOnBatches(is_suspect, ClassSums(ListingPolicy()), 3),
    SelectedRows(["_id_0"], is_suspect),
    ModelSums(2, 3),
    CandidateLosses(2, 3, np.ones((8, 2))),
    ModelScores(2, 3, "self_confidence", ONES, None, ["_id_0"]),
    partial(apply_to_sorted, kernel=NormalizedRates(ONES, ONES)),
    partial(apply_to_counts, kernel=partial(calibrate, class_counts=COUNTS, total=1.0), value="count"),
]  # fmt: skip


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: type(kernel).__name__)
def test_kernels_pickle_by_name(kernel: object) -> None:
    restored = pickle.loads(pickle.dumps(kernel))
    assert type(restored) is type(kernel)
    assert pickle.dumps(restored) == pickle.dumps(kernel)


DRIVER_SIDE = {"BlockSource", "ArraySource", "WantedSource"}


def test_no_kernel_is_left_out() -> None:
    names = set()
    for module in pkgutil.iter_modules(cl_spark.methods.classification.__path__):
        found = import_module(f"cl_spark.methods.classification.{module.name}")
        for name, value in inspect.getmembers(found, inspect.isclass):
            if value.__module__ == found.__name__ and "__call__" in vars(value):
                names.add(name)
    assert names - DRIVER_SIDE == {type(kernel).__name__ for kernel in KERNELS} - {"partial"}
