"""Trust calibrated by what people found: how often answers of a trust are right."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from cl_spark.kernels.isotonic import fit_non_decreasing
from cl_spark.tables.pandas_frames import to_spark

BINS = 10_000
"""Steps of trust that are told apart: it is rounded to 1 / BINS, so that the driver sees a bounded table."""

RATING_STEPS = 2**30
"""Ratings are added as whole numbers of these steps: sums that are the same in every order."""

BIN, CALIBRATED = "_bin", "_calibrated"


class Calibration(NamedTuple):
    """Calibrated trust of each bin.

    Attributes:
        values: (BINS + 1,) values that never fall.
        num_ratings: ratings they were fitted to.
    """

    values: "np.ndarray[tuple[int], np.dtype[np.float64]]"
    num_ratings: int

    @property
    def tells_nothing(self) -> bool:
        """True if all answers have the same calibrated trust."""
        return bool(self.values[0] == self.values[-1])

    def add_to(self, scores: DataFrame, trust: str) -> DataFrame:
        """Add the calibrated trust of each row as `CALIBRATED`."""
        table = pd.DataFrame({BIN: np.arange(BINS + 1, dtype=np.int32), CALIBRATED: self.values})
        by_bin = F.broadcast(to_spark(table, scores.sparkSession))
        return scores.withColumn(BIN, bin_trust(F.col(trust))).join(by_bin, BIN).drop(BIN)


def calibrate(rows: DataFrame, trust: str, rating: str) -> Calibration | None:
    """Fit calibrated trust to ratings by isotonic regression; None if no row is rated.

    Between bins that are rated it is interpolated, and outside them that of the nearest.

    Args:
        rows: rows with a trust in [0, 1], and a rating in [0, 1] or null.
        trust: column of the trust.
        rating: column of the rating.
    """
    steps = F.floor(F.col(rating) * RATING_STEPS + 0.5).cast("long")
    rated = rows.where(F.col(rating).isNotNull()).groupBy(bin_trust(F.col(trust)).alias(BIN))
    bins = rated.agg(F.sum(steps).alias("steps"), F.count(F.lit(1)).alias("ratings")).collect()
    if not bins:
        return None
    bins.sort(key=lambda row: row[BIN])
    place = np.array([row[BIN] for row in bins])
    ratings = np.array([row["ratings"] for row in bins], dtype=np.float64)
    means = np.array([row["steps"] for row in bins]) / RATING_STEPS / ratings
    values = np.interp(np.arange(BINS + 1), place, fit_non_decreasing(means, ratings))
    # interpolation rounds, and could fall or leave the ends by as much
    return Calibration(np.clip(np.maximum.accumulate(values), 0.0, 1.0), int(ratings.sum()))


def bin_trust(trust: Column) -> Column:
    """Bin of a trust: a whole number from 0 to BINS."""
    return F.floor(trust * BINS + 0.5).cast("int")
