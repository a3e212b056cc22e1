"""Noise rates and the prior of the true classes, from the calibrated confident joint (JAIR 2021, section 3.1)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame

from cl_spark.classification.cells import CellTable
from cl_spark.errors import ConfigurationError
from cl_spark.kernels import TINY
from cl_spark.kernels.arrays import Float64s, Int64s
from cl_spark.kernels.calibration import DENSE_CLASSES
from cl_spark.tables import columns as c

PRIOR_METHODS = ("cnt", "eqn", "marginal", "marginal_ps")
HIGHEST_RATE = 0.9999
"""Off-diagonal rates are clipped to this before their column is normalised again."""
LOWEST_PRIOR = 1e-6


@dataclass(frozen=True)
class NoiseRates:
    """How labels are confused.

    Attributes:
        rates: one row per non-zero cell: given_label, true_label, noise_rate p(given | true), which sums to 1 over the given
            labels of a true class, and inverse_noise_rate p(true | given), which sums to 1 over the true classes.
        prior: one row per class: class, prior p(true = class); sums to 1.
    """

    rates: DataFrame
    prior: DataFrame


def noise_rates(calibrated: CellTable) -> CellTable:
    """The cells with `noise_rate` and `inverse_noise_rate`, off-diagonals clipped to [0, 0.9999] and normalised."""
    rates = _raw(calibrated)
    given_totals = rates.totals(c.GIVEN, c.INVERSE_NOISE_RATE)
    true_totals = rates.totals(c.TRUE, c.NOISE_RATE)

    def normalise(cells: pd.DataFrame) -> pd.DataFrame:
        return cells.assign(
            **{
                c.NOISE_RATE: cells[c.NOISE_RATE] / true_totals[cells[c.TRUE]],
                c.INVERSE_NOISE_RATE: cells[c.INVERSE_NOISE_RATE] / given_totals[cells[c.GIVEN]],
            }
        )

    return rates.per_given_class(normalise, _SCHEMA)


_SCHEMA = (
    f"{c.GIVEN} long, {c.TRUE} long, {c.COUNT} long, {c.NOISE_RATE} double, {c.INVERSE_NOISE_RATE} double"
)


def _raw(calibrated: CellTable, highest: float = HIGHEST_RATE) -> CellTable:
    given_totals = np.maximum(calibrated.totals(c.GIVEN, c.COUNT), TINY)
    true_totals = np.maximum(calibrated.totals(c.TRUE, c.COUNT), TINY)

    def kernel(cells: pd.DataFrame) -> pd.DataFrame:
        off = cells[c.GIVEN] != cells[c.TRUE]
        noise: pd.Series[float] = cells[c.COUNT] / true_totals[cells[c.TRUE]]
        inverse: pd.Series[float] = cells[c.COUNT] / given_totals[cells[c.GIVEN]]
        return cells.assign(
            **{
                c.NOISE_RATE: noise.mask(off, noise.clip(upper=highest)),
                c.INVERSE_NOISE_RATE: inverse.mask(off, inverse.clip(upper=highest)),
            }
        )

    return calibrated.per_given_class(kernel, _SCHEMA)


def prior(calibrated: CellTable, class_counts: Int64s, method: str = "cnt") -> Float64s:
    """(K,) prior of the true classes.

    Args:
        calibrated: the calibrated confident joint.
        class_counts: (K,) examples per given label.
        method: "cnt" p(true = k | given = k) p(given = k) / p(given = k | true = k); "eqn" solves
            p(given) = p(given | true) p(true); "marginal" normalises the joint's columns; "marginal_ps" weights
            p(true | given) by p(given).

    Raises:
        ConfigurationError: unknown method, or "eqn" with more than 2,000 classes or a singular noise matrix.
    """
    observed = class_counts / class_counts.sum()
    rates = _raw(calibrated, highest=1.0)
    if method == "cnt":
        inverse = rates.totals(c.GIVEN, c.INVERSE_NOISE_RATE, diagonal=True)
        noise = rates.totals(c.GIVEN, c.NOISE_RATE, diagonal=True)
        estimate = inverse / np.maximum(noise, TINY) * observed
    elif method == "eqn":
        estimate = _solved(rates, observed)
    elif method == "marginal":
        totals = calibrated.totals(c.TRUE, c.COUNT)
        estimate = totals / totals.sum()
    elif method == "marginal_ps":

        def weighted(cells: pd.DataFrame) -> pd.DataFrame:
            return cells.assign(
                **{c.INVERSE_NOISE_RATE: cells[c.INVERSE_NOISE_RATE] * observed[cells[c.GIVEN]]}
            )

        estimate = rates.per_given_class(weighted, _SCHEMA).totals(c.TRUE, c.INVERSE_NOISE_RATE)
    else:
        raise ConfigurationError(
            f"method={method!r} is not a prior; choose one of {', '.join(PRIOR_METHODS)}"
        )
    estimate = estimate.clip(LOWEST_PRIOR, 1.0)
    return np.asarray(estimate / estimate.sum(), dtype=np.float64)


def _solved(rates: CellTable, observed: Float64s) -> Float64s:
    if not isinstance(rates.frame, pd.DataFrame) or rates.num_classes > DENSE_CLASSES:
        raise ConfigurationError(
            f"method='eqn' solves a dense system of {rates.num_classes} classes; the limit is {DENSE_CLASSES}: use 'cnt'"
        )
    matrix = np.zeros((rates.num_classes, rates.num_classes))
    matrix[rates.frame[c.GIVEN], rates.frame[c.TRUE]] = rates.frame[c.NOISE_RATE]
    try:
        return np.asarray(np.linalg.solve(matrix, observed), dtype=np.float64)
    except np.linalg.LinAlgError as error:
        raise ConfigurationError(
            "method='eqn': the noise matrix is singular (a class no row is of?); use 'cnt'"
        ) from error
