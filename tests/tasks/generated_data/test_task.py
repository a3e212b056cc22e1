"""Judging generated rows as a run: tables, rejected rows, report, gates, and the command."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from cl_spark import ConfigurationError, GeneratedData, GeneratedDataConfig, run_generated_data
from cl_spark.runs.result import RunResult
from cl_spark.tasks.generated_data.report import sections
from cl_spark.tasks.generated_data.task import GENERATED_DATA
from cl_spark.terminal.command_line import exit_code

pytestmark = [pytest.mark.matrix, pytest.mark.tables, pytest.mark.slow]

FAR, MISFIT, COPY, WITHOUT_PROMPT, WITHOUT_FEATURES, REPEATED = 5, 11, 24, 30, 31, 32
"""Ids of generated rows with these faults; the copy is one of the row with id 4."""


def real() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    places = np.repeat([[10.0, 0.0], [0.0, 10.0]], 30, axis=0) + rng.normal(0, 0.5, (60, 2))
    return pd.DataFrame({"id": range(60), "kind": ["cat"] * 30 + ["dog"] * 30, "features": places.tolist()})


def generated() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    places = np.repeat([[10.0, 0.0], [0.0, 10.0]], 20, axis=0) + rng.normal(0, 0.5, (40, 2))
    kinds = np.array(["cat"] * 20 + ["dog"] * 20, dtype=object)
    places[FAR], kinds[MISFIT] = [90.0, 90.0], "dog"
    places[COPY], kinds[COPY], kinds[WITHOUT_PROMPT] = places[4], kinds[4], None
    features = places.tolist()
    features[WITHOUT_FEATURES] = None
    ids = np.arange(40)
    ids[REPEATED + 1] = REPEATED
    return pd.DataFrame(
        {"id": ids, "kind": kinds, "features": features, "text": [f"row {i}" for i in range(40)]}
    )


SCHEMA = "id bigint, kind string, features array<double>"


@pytest.fixture(scope="module")
def inputs(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("inputs")
    for name, rows, more in (("generated", generated(), ", text string"), ("real", real(), "")):
        values = [tuple(row) for row in rows.astype(object).where(rows.notna(), None).itertuples(index=False)]
        spark.createDataFrame(values, SCHEMA + more).write.parquet(f"{home}/{name}")
    return {name: f"{home}/{name}" for name in ("generated", "real")}


@pytest.fixture(scope="module")
def result(
    spark: SparkSession, inputs: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> RunResult:
    config = GeneratedDataConfig(
        **inputs,
        output=str(tmp_path_factory.mktemp("output")),
        prompt_col="kind",
        k=5,
        run_id="first",
        review_columns=["text"],
        max_rejected_fraction=0.1,
        report=True,
        gates=["prompts.coverage >= 0.999", "num_rows_kept >= 10"],
    )
    return run_generated_data(spark, config)


def test_rows_are_dropped_kept_or_rejected(result: RunResult) -> None:
    dropped = result.run.table("dropped_rows").toPandas().sort_values("rank").set_index("id")
    assert dropped.issue_type[[FAR, MISFIT, COPY]].tolist() == ["far", "misfit", "copy"]
    assert dropped.reason[MISFIT] == "does not fit its prompt: looks like cat"
    assert dropped.copy_of[COPY] == 4
    assert (dropped.text == [f"row {i}" for i in dropped.index]).all()
    assert dropped["rank"].tolist() == list(range(1, len(dropped) + 1))
    rows = result.run.table("generated_rows").toPandas().set_index("id")
    assert set(rows.index[~rows.keep]) == set(dropped.index)
    unusable = {WITHOUT_PROMPT, WITHOUT_FEATURES, REPEATED}
    assert set(rows.index) == set(range(40)) - unusable - {REPEATED + 1}
    rejected = {(row.id, row.reason) for row in result.run.table("rejected").collect()}
    assert rejected == {
        (WITHOUT_PROMPT, "generated: null prompt"),
        (WITHOUT_FEATURES, "generated: null or empty features"),
        (REPEATED, "generated: id of several rows"),
    }
    record = result.run.record
    assert (record.num_read, record.num_examples, record.num_rejected) == (100, 96, 4)
    assert (record.num_generated, record.num_rows_kept) == (36, 36 - len(dropped))


def test_it_writes_what_the_class_answers(
    spark: SparkSession, result: RunResult, inputs: dict[str, str]
) -> None:
    made, there = (spark.read.parquet(inputs[name]) for name in ("generated", "real"))
    with GeneratedData(made, there, prompt_col="kind", k=5) as judged:
        totals = judged.totals()
        prompts = sorted(map(tuple, judged.prompts().collect()))
        dropped = [row.id for row in judged.dropped().orderBy("rank").collect()]
    assert sorted(map(tuple, result.run.table("prompts").collect())) == prompts
    assert [row.id for row in result.run.table("dropped_rows").orderBy("rank").collect()] == dropped
    record = result.run.record
    assert (record.prompt_fit, record.diversity, record.coverage, record.mean_realism) == (
        totals["fit"],
        totals["diversity"],
        totals["coverage"],
        totals["realism"],
    )


def test_gates_and_report_tell_of_prompts(result: RunResult) -> None:
    assert [gate.split(" ")[0] for gate in result.failed_gates] == ["prompts.coverage"]
    page = Path(str(result.report)).read_text(encoding="utf-8")
    for text in (
        "Far from all real rows",
        "Do not fit their prompt",
        "Copies of other rows",
        "row 5",
        "coverage",
    ):
        assert text in page
    cut = [section.text[-1] for section in sections(result.run, 1) if section.name == "copy-section"]
    copies = result.run.table("dropped_rows").where("issue_type = 'copy'").count()
    assert cut[0] == (
        f"The first 1 of {copies}; the others are in the table dropped_rows." if copies > 1 else "1 rows."
    )
    assert GENERATED_DATA.worst(result.run)[0] in ("cat", "dog")  # type: ignore[index]


def test_the_command_warns_of_prompts_without_real_rows(
    spark: SparkSession, inputs: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spark.read.parquet(inputs["real"]).where("kind = 'cat'").write.parquet(f"{tmp_path}/cats")
    flags = ["--generated", inputs["generated"], "--real", f"{tmp_path}/cats", "--output", f"{tmp_path}/out"]
    flags += [
        "--prompt-col",
        "kind",
        "--k",
        "3",
        "--max-rejected-fraction",
        "0.1",
        "--format",
        "parquet",
        "--json",
    ]
    assert exit_code(["generated", *flags]) == 0
    told = json.loads(capsys.readouterr().out)
    assert any("no real row has the prompt dog" in warning["message"] for warning in told["warnings"]), told
    assert exit_code(["generated", *flags, "--on-warning", "fail"]) == 2


def test_what_cannot_be_used_is_refused(spark: SparkSession, inputs: dict[str, str], tmp_path: Path) -> None:
    values = {**inputs, "output": f"{tmp_path}/out", "prompt_col": "kind"}
    with pytest.raises(ConfigurationError, match="review_columns: 'fit' is a column"):
        run_generated_data(spark, GeneratedDataConfig(**values, review_columns=["fit"]))
    with pytest.raises(ValueError, match="neighbors need one column"):
        GeneratedDataConfig(**values, id_col=["id", "text"])
    assert not (tmp_path / "out").exists()


def test_one_prompt_has_no_fit_and_a_report_all_the_same(
    spark: SparkSession, inputs: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, path in inputs.items():
        spark.read.parquet(path).where("kind = 'cat'").write.parquet(str(tmp_path / name))
    flags = [f"--{name}={tmp_path / name}" for name in inputs]
    where = str(tmp_path / "out")
    keys = ["--prompt-col", "kind", "--k", "5", "--max-rejected-fraction", "0.1", "--format", "parquet"]
    assert exit_code(["generated", *flags, *keys, "--output", where, "--report"]) == 0
    shown = capsys.readouterr().out
    assert "are no copies" in shown
    assert "fit their prompt" not in shown
    assert len(list(Path(where).glob("reports/*.html"))) == 1


def test_the_prompt_is_shown_without_being_asked_for(
    spark: SparkSession, inputs: dict[str, str], tmp_path: Path
) -> None:
    config = GeneratedDataConfig(
        **inputs, output=str(tmp_path), prompt_col="kind", k=5, review_columns=["kind"]
    )
    with pytest.raises(ConfigurationError, match="review_columns: 'kind' is a column of the table of issues"):
        run_generated_data(spark, config)


def test_features_may_be_vectors_in_one_table_and_arrays_in_the_other(
    spark: SparkSession, inputs: dict[str, str]
) -> None:
    from pyspark.ml.functions import array_to_vector

    made, there = (spark.read.parquet(inputs[name]) for name in ("generated", "real"))
    vector = F.when(F.col("features").isNotNull(), array_to_vector("features"))
    totals = []
    for rows in (made, made.withColumn("features", vector)):
        with GeneratedData(rows, there, prompt_col="kind", k=5) as judged:
            totals.append(judged.totals())
    assert totals[0] == totals[1]
