"""Gates: what fails a run, and what is said of gates that mean nothing."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark.sql import Row, SparkSession

from cl_spark import ConfigurationError, read_run
from cl_spark.runs import gates
from cl_spark.runs.gates import Gate, find_failed_gates, parse_gates, warn_of_untested_gates
from cl_spark.runs.history import Change
from cl_spark.tables.finished_run import Run
from cl_spark.tasks.label_audit.task import LABEL_AUDIT
from tests.frames import audit, ids
from tests.runs.toy_task import REPEATED_TEXTS

NOWHERE: Any = None  # no tables: gates on the run's own numbers read its row only


def run(run_id: str = "later", **numbers: float | None) -> Run:
    return Run(run_id, Row(**numbers), NOWHERE)


def failed_of_change(
    monkeypatch: pytest.MonkeyPatch, *texts: str, new: int = 0, resolved: int = 0, health: float | None = 0.0
) -> list[str]:
    frames: list[Any] = [SimpleNamespace(count=lambda n=n: n) for n in (new, resolved, 0)]
    monkeypatch.setattr(gates, "compare", lambda before, later, task: Change(*frames, health))
    return find_failed_gates([Gate.parse(text) for text in texts], LABEL_AUDIT, run(), run("earlier"))


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("overall_health >= 0.97", Gate("overall_health", ">=", 0.97)),
        ("  issues_new<=500 ", Gate("issues_new", "<=", 500)),
        ("class_health.class_quality > 1e-3", Gate("class_health.class_quality", ">", 0.001)),
        ("health_drop < -.5", Gate("health_drop", "<", -0.5)),
    ],
)
def test_a_gate_is_a_metric_a_comparison_and_a_number(text: str, gate: Gate) -> None:
    assert Gate.parse(text) == gate
    assert Gate.parse(str(gate)) == gate


@pytest.mark.parametrize(
    "text", ["", "overall_health", "overall_health = 1", "overall_health >= 1-2", "0.9 <= overall_health"]
)
def test_a_text_that_is_no_comparison_is_no_gate(text: str) -> None:
    with pytest.raises(ConfigurationError, match=f"gates: {re.escape(repr(text))} is no comparison"):
        Gate.parse(text)


@pytest.mark.parametrize(
    ("comparison", "passing"),
    [(">=", [False, True, True]), (">", [False, False, True]), ("<=", [True, True, False]),
     ("<", [True, False, False])],
)  # fmt: skip
def test_the_comparison_decides_about_values_below_at_and_above_the_bound(
    comparison: str, passing: list[bool]
) -> None:
    gate = Gate("num_issues", comparison, 10)
    assert [gate.holds(value) for value in (9, 10, 11)] == passing


def test_metrics_are_numbers_of_every_run_of_the_task_of_its_small_tables_and_of_the_change() -> None:
    texts = ["num_rejected < 1", "num_texts > 1", "text_counts.examples < 9", "issues_resolved > 0"]
    assert [gate.metric for gate in parse_gates(texts, REPEATED_TEXTS)] == [text.split()[0] for text in texts]
    for metric in ("text_counts.text", "repeated_texts.rank", "source", "class_health.examples"):
        with pytest.raises(ConfigurationError, match=f"'{metric}' is no metric; choose .*num_texts"):
            parse_gates([f"{metric} > 1"], REPEATED_TEXTS)


def run_with_texts(spark: SparkSession, *examples: float | None) -> Run:
    """A run of the toy task whose table of texts has a row per number."""
    rows = spark.createDataFrame(
        list(zip("abcdefgh", examples, strict=False)), "text string, examples double"
    )
    tables: Any = SimpleNamespace(read_run=lambda *_: rows)
    return Run("later", Row(overall_health=1.0), tables)


def test_rows_that_lack_the_number_of_a_gate_are_named_in_a_warning(
    spark: SparkSession, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate.parse("text_counts.examples >= 2")
    seen = run_with_texts(spark, 3.0, None, 2.0, *[None] * 5)
    assert find_failed_gates([gate], REPEATED_TEXTS, seen, None) == []
    (warning,) = warn_of_untested_gates([gate], seen, None)
    assert warning.code == "gates_untested"
    assert "that lack the number: text_counts.examples >= 2 for b, d, e, f, g .... Look" in warning.message
    assert f"run later: {warning.message}" in caplog.messages
    assert warn_of_untested_gates([gate], run_with_texts(spark, 3.0), None) == []


def test_rows_with_nan_fail_a_gate_and_so_does_a_table_without_the_number(spark: SparkSession) -> None:
    gate = Gate.parse("text_counts.examples >= 2")
    with_nan = run_with_texts(spark, 3.0, float("nan"), 1.0, None)
    assert find_failed_gates([gate], REPEATED_TEXTS, with_nan, None) == [
        "text_counts.examples >= 2: not so for 2 texts: b (nan), c (1)"
    ]
    without = run_with_texts(spark, None, None)
    assert find_failed_gates([gate], REPEATED_TEXTS, without, None) == [
        "text_counts.examples >= 2: no row has such a number"
    ]
    assert warn_of_untested_gates([gate], without, None) == [], "it has failed"
    assert find_failed_gates([gate], REPEATED_TEXTS, run_with_texts(spark), None) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("health >= 1", "'health' is no metric"),
        ("overall_health = 1", "no comparison"),
        ("", "no comparison"),
    ],
)
def test_gates_that_mean_nothing_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_gates([text], LABEL_AUDIT)


def test_a_failed_gate_tells_the_value_seen() -> None:
    conditions = [Gate.parse(text) for text in ("num_issues <= 5", "overall_health >= 0.9", "num_read > 7")]
    seen = run(num_issues=6, overall_health=0.95, num_read=7)
    assert find_failed_gates(conditions, LABEL_AUDIT, seen, None) == [
        "num_issues <= 5: it is 6",
        "num_read > 7: it is 7",
    ]


def test_a_run_without_the_number_of_a_gate_fails_it() -> None:
    gate = Gate.parse("overall_health >= 0.9")
    assert find_failed_gates([gate], REPEATED_TEXTS, run(overall_health=None), None) == [
        "overall_health >= 0.9: the run has no such number"
    ]


def test_gates_of_change_pass_where_there_is_nothing_to_compare_with() -> None:
    conditions = [Gate.parse(f"{metric} < -1") for metric in gates.CHANGE_METRICS]
    assert find_failed_gates(conditions, LABEL_AUDIT, run(), None) == []


def test_a_warning_names_the_gates_of_change_that_have_nothing_to_compare_with(
    caplog: pytest.LogCaptureFixture,
) -> None:
    texts = ("issues_new <= 3", "num_issues <= 5", "health_drop <= 0.01")
    conditions = [Gate.parse(text) for text in texts]
    seen = run(overall_health=0.9)
    (alone,) = warn_of_untested_gates(conditions, seen, None)
    assert alone.code == "gates_untested"
    assert "for lack of an earlier run" in alone.message
    assert "issues_new <= 3, health_drop <= 0.01. " in alone.message
    assert f"run later: {alone.message}" in caplog.messages
    assert warn_of_untested_gates(conditions, seen, run("earlier", overall_health=0.8)) == []
    (without,) = warn_of_untested_gates(conditions, seen, run("earlier", overall_health=None))
    assert "for lack of an overall health: health_drop <= 0.01. " in without.message
    assert warn_of_untested_gates(conditions[1:2], seen, None) == []


def test_gates_of_change_name_the_run_they_compare_with(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ("issues_new <= 3", "issues_resolved >= 3", "health_drop <= 0.01")
    assert failed_of_change(monkeypatch, *texts, new=3, resolved=3, health=-0.01) == []
    assert failed_of_change(monkeypatch, *texts, new=4, resolved=2, health=-0.02) == [
        "issues_new <= 3: it is 4, since run earlier",
        "issues_resolved >= 3: it is 2, since run earlier",
        "health_drop <= 0.01: it is 0.02, since run earlier",
    ]


def test_a_rise_of_health_is_no_drop(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failed_of_change(monkeypatch, "health_drop <= 0", health=0.2) == []
    assert failed_of_change(monkeypatch, "health_drop <= -9", health=None) == [], "nothing to compare"


@pytest.mark.matrix
def test_gates_look_at_the_written_tables_of_both_runs(
    spark: SparkSession, table: str, tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    first = audit(spark, table, out, run_id="1", gates=["issues_new <= 0", "overall_health > 0.999"])
    assert [gate.split(":")[0] for gate in first.failed_gates] == ["overall_health > 0.999"], (
        "nothing to compare with"
    )
    more = audit(
        spark,
        table,
        out,
        run_id="2",
        filter_by="predicted_neq_given",
        gates=["issues_new <= 0", "health_drop <= 0"],
    )
    new = ids(more.issues()) - ids(first.issues())
    assert [warning.code for warning in first.warnings] == ["gates_untested"]
    assert more.warnings == []
    assert more.failed_gates == [f"issues_new <= 0: it is {len(new)}, since run 1"]
    conditions = [Gate.parse("class_health.examples >= 1000"), Gate.parse("num_examples >= 1")]
    failed = find_failed_gates(conditions, LABEL_AUDIT, read_run(out, "2", spark=spark), None)
    assert len(failed) == 1
    assert re.search(r"not so for 4 classes: \d \(\d+\)", failed[0])
