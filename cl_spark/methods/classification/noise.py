"""Noise rates and prior of the true classes, from the calibrated confident joint (JAIR 2021, section 3.1)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError
from cl_spark.kernels import TINY
from cl_spark.kernels.arrays import Float64s, Int64s
from cl_spark.kernels.calibration import DENSE_CLASSES
from cl_spark.methods.classification.cells import CellTable
from cl_spark.methods.classification.confident_joint import ConfidentJoint
from cl_spark.tables import columns as c

PRIOR_METHODS = ("cnt", "eqn", "marginal", "marginal_ps")

HIGHEST_RATE = 0.9999
"""Off-diagonal rates are clipped to this before they are normalised."""

LOWEST_PRIOR = 1e-6

RATES_SCHEMA = (
    f"{c.GIVEN} long, {c.TRUE} long, {c.COUNT} long, {c.NOISE_RATE} double, {c.INVERSE_NOISE_RATE} double"
)


@dataclass(frozen=True)
class NoiseRates:
    """How labels are confused.

    Attributes:
        rates: one row per non-zero cell: given_label, true_label, noise_rate p(given | true), which sums to 1
            over the given labels of a true class, and inverse_noise_rate p(true | given), which sums to 1
            over the true classes.
        prior: one row per class: class, prior p(true = class); sums to 1.
    """

    rates: DataFrame
    prior: DataFrame


@dataclass(frozen=True)
class CountShares:
    """Cell kernel: each count as a share of its true class (noise rate) and given class (inverse noise rate).

    Attributes:
        given_totals: (K,) counts per given class, above 0.
        true_totals: (K,) counts per true class, above 0.
        highest: bound that off-diagonal shares are clipped to.
    """

    given_totals: Float64s
    true_totals: Float64s
    highest: float

    def __call__(self, cells: pd.DataFrame) -> pd.DataFrame:
        """Add the rates to cells."""
        off_diagonal = cells[c.GIVEN] != cells[c.TRUE]
        noise: pd.Series[float] = cells[c.COUNT] / self.true_totals[cells[c.TRUE]]
        inverse: pd.Series[float] = cells[c.COUNT] / self.given_totals[cells[c.GIVEN]]
        return cells.assign(
            **{
                c.NOISE_RATE: noise.mask(off_diagonal, noise.clip(upper=self.highest)),
                c.INVERSE_NOISE_RATE: inverse.mask(off_diagonal, inverse.clip(upper=self.highest)),
            }
        )


@dataclass(frozen=True)
class NormalizedRates:
    """Cell kernel: noise rates that sum to 1 over a true class, inverse ones that do over a given class.

    Attributes:
        given_totals: (K,) sums of the inverse noise rates per given class.
        true_totals: (K,) sums of the noise rates per true class.
    """

    given_totals: Float64s
    true_totals: Float64s

    def __call__(self, cells: pd.DataFrame) -> pd.DataFrame:
        """Normalise the rates of cells."""
        return cells.assign(
            **{
                c.NOISE_RATE: cells[c.NOISE_RATE] / self.true_totals[cells[c.TRUE]],
                c.INVERSE_NOISE_RATE: cells[c.INVERSE_NOISE_RATE] / self.given_totals[cells[c.GIVEN]],
            }
        )


@dataclass(frozen=True)
class WeightedInverseRates:
    """Cell kernel: inverse noise rates p(true | given), each multiplied by the share of its given class.

    Attributes:
        given_shares: (K,) p(given).
    """

    given_shares: Float64s

    def __call__(self, cells: pd.DataFrame) -> pd.DataFrame:
        """Weight the inverse noise rates of cells."""
        weighted = cells[c.INVERSE_NOISE_RATE] * self.given_shares[cells[c.GIVEN]]
        return cells.assign(**{c.INVERSE_NOISE_RATE: weighted})


def estimate_noise_rates(calibrated: CellTable) -> CellTable:
    """Estimate the noise rates and inverse noise rates of all cells (specification, section 3).

    Args:
        calibrated: the calibrated confident joint.

    Returns:
        Its cells with `noise_rate` and `inverse_noise_rate`, off-diagonals clipped to 0.9999, then
        normalised.
    """
    rates = divide_by_class_totals(calibrated, HIGHEST_RATE)
    kernel = NormalizedRates(
        given_totals=rates.sum_by_class(c.GIVEN, c.INVERSE_NOISE_RATE),
        true_totals=rates.sum_by_class(c.TRUE, c.NOISE_RATE),
    )
    return rates.map_given_classes(kernel, RATES_SCHEMA)


def divide_by_class_totals(calibrated: CellTable, highest: float) -> CellTable:
    """Divide the counts by the totals of their classes, and clip off-diagonal rates to `highest`."""
    kernel = CountShares(
        given_totals=np.maximum(calibrated.sum_by_class(c.GIVEN, c.COUNT), TINY),
        true_totals=np.maximum(calibrated.sum_by_class(c.TRUE, c.COUNT), TINY),
        highest=highest,
    )
    return calibrated.map_given_classes(kernel, RATES_SCHEMA)


def estimate_prior(calibrated: CellTable, class_counts: Int64s, method: str = "cnt") -> Float64s:
    """Estimate the prior of the true classes (specification, section 3).

    Args:
        calibrated: the calibrated confident joint.
        class_counts: (K,) examples per given label.
        method: "cnt" p(true = k | given = k) p(given = k) / p(given = k | true = k); "eqn" solves p(given) =
            p(given | true) p(true); "marginal" normalises the joint's columns; "marginal_ps" weights p(true |
            given) by p(given).

    Returns:
        (K,) probabilities.

    Raises:
        ConfigurationError: unknown method, or "eqn" with more than 2,000 classes or a singular noise matrix.
    """
    given_shares = class_counts / class_counts.sum()
    rates = divide_by_class_totals(calibrated, highest=1.0)
    if method == "cnt":
        inverse = rates.sum_by_class(c.GIVEN, c.INVERSE_NOISE_RATE, diagonal=True)
        noise = rates.sum_by_class(c.GIVEN, c.NOISE_RATE, diagonal=True)
        estimate = inverse / np.maximum(noise, TINY) * given_shares
    elif method == "eqn":
        estimate = solve_for_prior(rates, given_shares)
    elif method == "marginal":
        totals = calibrated.sum_by_class(c.TRUE, c.COUNT)
        estimate = totals / totals.sum()
    elif method == "marginal_ps":
        weighted = rates.map_given_classes(WeightedInverseRates(given_shares), RATES_SCHEMA)
        estimate = weighted.sum_by_class(c.TRUE, c.INVERSE_NOISE_RATE)
    else:
        raise ConfigurationError(
            f"method={method!r} is not a prior; choose one of {', '.join(PRIOR_METHODS)}"
        )
    estimate = estimate.clip(LOWEST_PRIOR, 1.0)
    return np.asarray(estimate / estimate.sum(), dtype=np.float64)


def solve_for_prior(rates: CellTable, given_shares: Float64s) -> Float64s:
    """Solve p(given) = p(given | true) p(true) for the (K,) prior p(true).

    Args:
        rates: the cells with their noise rates.
        given_shares: (K,) p(given).

    Raises:
        ConfigurationError: too many classes for a dense matrix, or a singular one.
    """
    if not isinstance(rates.frame, pd.DataFrame) or rates.num_classes > DENSE_CLASSES:
        raise ConfigurationError(
            f"method='eqn' solves a dense system of {rates.num_classes} classes; "
            f"the limit is {DENSE_CLASSES}: use 'cnt'"
        )
    matrix = np.zeros((rates.num_classes, rates.num_classes))
    matrix[rates.frame[c.GIVEN], rates.frame[c.TRUE]] = rates.frame[c.NOISE_RATE]
    try:
        return np.asarray(np.linalg.solve(matrix, given_shares), dtype=np.float64)
    except np.linalg.LinAlgError as error:
        raise ConfigurationError(
            "method='eqn': the noise matrix is singular (a class no row is of?); use 'cnt'"
        ) from error


def build_joint_table(joint: ConfidentJoint) -> DataFrame:
    """Build the table of all non-zero cells with all that is known of them.

    Returns:
        _given, _true (indices), count, calibrated_count, joint, noise_rate, inverse_noise_rate; 0 where a
        cell is in the counts only.
    """
    keys = [c.GIVEN, c.TRUE]
    num_examples = float(joint.class_counts.sum())
    rates = estimate_noise_rates(joint.calibrated).rename(c.COUNT, c.CALIBRATED_COUNT)
    distribution = joint.joint.rename(c.COUNT, "_joint")
    table = joint.raised.join_columns(rates, keys).join_columns(distribution, keys).to_spark()
    table = table.withColumn(c.JOINT, F.col("_joint") / F.lit(num_examples)).fillna(0)
    return table.select(
        *keys,
        *[F.col(name).cast("long") for name in (c.COUNT, c.CALIBRATED_COUNT)],
        c.JOINT,
        c.NOISE_RATE,
        c.INVERSE_NOISE_RATE,
    )
