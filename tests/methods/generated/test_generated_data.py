"""Generated rows beside real ones: planted faults are dropped with their reason; sums are what they say."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from sklearn.metrics.pairwise import cosine_distances

from cl_spark import ColumnTypeError, ConfigurationError, GeneratedData, InputError, MissingColumnError
from tests.methods.checks.frames import digits

pytestmark = pytest.mark.matrix

NAMES = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
MISFITS, NOISE, COPIES, EMPTY = range(0, 8), range(100, 105), range(110, 116), 120
"""Ids of rows with a wrong prompt, of noise, of copies of the row before by 50, of one without features."""


def real() -> pd.DataFrame:
    rows = digits().drop([7, 9, 11, 13])  # without the planted faults
    rows = rows[rows.label != 3]
    return pd.DataFrame({"id": rows.id, "prompt": NAMES[rows.label], "features": rows.features})


def generated() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    rows = real().sample(150, random_state=1).reset_index(drop=True)
    features = np.abs(np.stack(rows.features) + rng.normal(0, 1, (150, 64)))
    prompts = rows.prompt.to_numpy(dtype=object).copy()
    for i in MISFITS:
        prompts[i] = "zero" if prompts[i] != "zero" else "one"
    features[list(NOISE)] = np.abs(rng.normal(0, 20, (len(NOISE), 64)))
    for i in COPIES:
        features[i], prompts[i] = features[i - 50], prompts[i - 50]
    features[EMPTY] = np.nan
    return pd.DataFrame({"id": np.arange(150), "prompt": prompts, "features": list(features)})


@pytest.fixture(scope="module")
def judged(spark: SparkSession) -> Iterator[GeneratedData]:
    with GeneratedData(spark.createDataFrame(generated()), spark.createDataFrame(real())) as judged:
        yield judged


@pytest.fixture(scope="module")
def rows(judged: GeneratedData) -> pd.DataFrame:
    return judged.rows().toPandas().set_index("id").sort_index()


def test_planted_faults_are_dropped_with_their_reason(rows: pd.DataFrame) -> None:
    assert len(rows) == 150
    assert rows.reason[EMPTY] == "features cannot be used"
    assert (rows.reason[list(NOISE)] == "far from all real rows").all()
    misfits = rows.reason[list(MISFITS)].fillna("").str.startswith("does not fit its prompt: looks like ")
    assert misfits.sum() >= len(MISFITS) - 1  # as many are pruned as are estimated
    assert (rows.reason[list(COPIES)] == [f"copy of another row: {i - 50}" for i in COPIES]).all()
    dropped = set(rows.index[~rows.keep])
    assert {*NOISE, *COPIES, EMPTY} <= dropped
    assert len(dropped - {*MISFITS, *NOISE, *COPIES, EMPTY}) <= 10
    assert (rows.keep == rows.reason.isna()).all()


def test_realism_is_the_share_of_real_rows_nearby(rows: pd.DataFrame) -> None:
    made, there = generated().drop(EMPTY), real()
    features = np.concatenate([np.stack(made.features), np.stack(there.features)])
    far = cosine_distances(np.stack(made.features), features)
    far[np.arange(len(made)), np.arange(len(made))] = np.inf
    nearest = np.argsort(far, axis=1, kind="stable")[:, :10]
    share = (nearest >= len(made)).mean(axis=1)
    exact = pd.Series(share, made.index).drop([*COPIES, *(i - 50 for i in COPIES)])  # no two at one distance
    assert np.allclose(rows.realism[exact.index], exact, atol=0.1001)
    assert (np.abs(rows.realism[exact.index] - exact) < 1e-9).mean() > 0.9


def test_prompts_and_all_are_summed_up(judged: GeneratedData, rows: pd.DataFrame) -> None:
    prompts = judged.prompts().toPandas().set_index("prompt").sort_index()
    usable = rows.drop(EMPTY)
    by_prompt = usable.groupby("prompt")
    assert (prompts.generated == by_prompt.size()).all()
    assert (prompts.kept == by_prompt.keep.sum()).all()
    assert np.allclose(prompts.diversity, by_prompt.copy_of.apply(lambda col: col.isna().mean()))
    assert np.allclose(prompts.realism, by_prompt.realism.mean())
    totals = judged.totals()
    assert (totals["generated"], totals["kept"]) == (149, int(rows.keep.sum()))
    made, there = generated().drop(EMPTY), real()
    own = cosine_distances(np.stack(there.features))
    np.fill_diagonal(own, np.inf)
    radius = np.sort(own, axis=1)[:, 9]
    covered = cosine_distances(np.stack(there.features), np.stack(made.features)).min(axis=1) <= radius
    assert totals["coverage"] == pytest.approx(covered.mean())
    assert np.allclose(
        prompts.coverage, pd.Series(covered, there.prompt).groupby(level=0).mean().sort_index()
    )


@pytest.mark.slow
def test_results_do_not_depend_on_partitions(spark: SparkSession, rows: pd.DataFrame) -> None:
    made = spark.createDataFrame(generated()).orderBy(F.desc("id")).repartition(4)
    with GeneratedData(made, spark.createDataFrame(real()).repartition(3)) as judged:
        again = judged.rows().toPandas().set_index("id").sort_index()
    pd.testing.assert_frame_equal(again, rows)


def test_rows_without_an_id_of_their_own_are_dropped_for_that(spark: SparkSession) -> None:
    made = generated()[:30].assign(prompt="zero")
    made["id"] = [None, 7.0, 7.0, *map(float, range(20, 47))]
    table = spark.createDataFrame(made).selectExpr(
        "cast(nullif(id, double('NaN')) as bigint) id", "prompt", "features"
    )
    with GeneratedData(table, spark.createDataFrame(real().assign(prompt="zero"))) as judged:
        found = judged.rows().toPandas()
    assert len(found) == 30
    assert found.reason[found.id.isna()].tolist() == ["null id"]
    assert found.reason[found.id == 7].tolist() == ["id of several rows"] * 2
    assert not found.reason[found.id > 7].str.contains("id").any()


def test_one_prompt_has_no_fit(spark: SparkSession) -> None:
    made, there = generated().head(40).assign(group="digit"), real().assign(group="digit")
    tables = [spark.createDataFrame(table.drop(columns="prompt")) for table in (made, there)]
    with GeneratedData(*tables, prompt_col="group") as judged:
        found = judged.rows().toPandas()
        assert judged.totals()["fit"] is None
    assert found.fit.isna().all()
    assert found.keep.sum() > 30


@pytest.mark.slow
def test_misfits_are_no_fits_whatever_else_they_are_and_copies_of_dropped_rows_are_kept(
    spark: SparkSession,
) -> None:
    made = generated().drop(EMPTY)
    right = real().sample(150, random_state=1).prompt.iloc[0]  # that of row 0, which is a misfit
    again = made.head(1).assign(id=200, prompt=right)
    unicorns = real().head(3).assign(id=[5_000, 5_001, 5_002], prompt="unicorn")
    tables = [pd.concat([made, again]), pd.concat([real(), unicorns])]
    made, there = (table.assign(features=[row.tolist() for row in table.features]) for table in tables)
    with GeneratedData(spark.createDataFrame(made), spark.createDataFrame(there)) as judged:
        found = judged.rows().toPandas().set_index("id").sort_index()
        prompts = judged.prompts().toPandas().set_index("prompt")
    assert found.reason[0].startswith("does not fit its prompt")
    assert found.copy_of[[0, 200]].fillna(-1).tolist() == [200, -1]
    assert found.keep[200]
    assert prompts.loc["unicorn", ["generated", "kept"]].tolist() == [0, 0]


def test_what_cannot_be_used_is_refused(spark: SparkSession) -> None:
    made, there = spark.createDataFrame(generated()), spark.createDataFrame(real())
    with pytest.raises(MissingColumnError, match="prompt_col"):
        GeneratedData(made.drop("prompt"), there)
    with pytest.raises(
        ColumnTypeError, match="id_col: column 'id' of generated is bigint, that of real is string"
    ):
        GeneratedData(made, there.withColumn("id", F.col("id").cast("string")))
    of_numbers = [df.withColumn("prompt", F.lit(1.5)) for df in (made, there)]
    with pytest.raises(ColumnTypeError, match="prompt_col: column 'prompt' is double"):
        GeneratedData(*of_numbers)
    shorter = there.withColumn("features", F.slice("features", 1, 63))
    with (
        GeneratedData(made, shorter) as judged,
        pytest.raises(InputError, match="generated has 64 features a row"),
    ):
        judged.rows()
    with pytest.raises(ConfigurationError, match="k must be"):
        GeneratedData(made, there, k=0)
    with pytest.raises(ConfigurationError, match="id_col"):
        GeneratedData(made.withColumnRenamed("id", "fit"), there.withColumnRenamed("id", "fit"), id_col="fit")


def test_rows_are_far_where_most_real_rows_are_copies(spark: SparkSession) -> None:
    places = [[0.0, 0.0]] * 40 + [[10.0 * i, 10.0 * i] for i in range(1, 21)]
    there = pd.DataFrame({"id": range(60), "prompt": "x", "features": places})
    made = pd.DataFrame({"id": range(6), "prompt": "x", "features": [*places[50:55], [9_000.0, 9_000.0]]})
    with GeneratedData(spark.createDataFrame(made), spark.createDataFrame(there), k=3) as judged:
        reasons = {row.id: row.reason for row in judged.rows().collect()}
    assert reasons == {**dict.fromkeys(range(5)), 5: "far from all real rows"}
