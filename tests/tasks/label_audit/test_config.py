"""The configuration of a label audit: where it reads, and what it hands to `LabelAudit`."""

import inspect
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cl_spark.methods.classification.label_audit import LabelAudit
from cl_spark.tasks.label_audit.config import AuditConfig


def config(**values: Any) -> AuditConfig:
    return AuditConfig(**{"predictions": "./predictions", "output": "./audits", **values})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sample": "digits"}, "sample: goes without predictions and labels"),
        ({"predictions": None, "sample": "digits", "labels": "./l"}, "sample: goes without predictions"),
        ({"predictions": None}, "predictions: needed; a path or table name"),
        ({"source_version": 1, "source_timestamp": "2026-01-31"}, "source_version: goes without"),
        ({"predictions": None, "sample": "digits", "source_version": 0}, "a sample has no older state"),
    ],
)
def test_an_audit_reads_one_input_in_one_state(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(**values)


def test_a_sample_needs_no_predictions() -> None:
    assert config(predictions=None, sample="digits").sample == "digits"


def test_class_names_are_text_whatever_yaml_makes_of_them() -> None:
    assert config(class_names=["no", 7, False]).class_names == ["no", "7", "False"]


def test_one_column_of_probabilities_is_one_name_and_several_are_a_column_per_class() -> None:
    assert config(pred_probs_col="p").input_arguments["pred_probs_col"] == "p"
    assert config(pred_probs_col=["p0", "p1"]).input_arguments["pred_probs_col"] == ["p0", "p1"]


def test_arguments_go_by_the_names_and_defaults_of_the_audit() -> None:
    told = config()
    for function, arguments in (
        (LabelAudit.__init__, told.input_arguments),
        (LabelAudit.find_label_issues, told.filter_arguments),
    ):
        parameters = inspect.signature(function).parameters
        assert {name: parameters[name].default for name in arguments} == {
            **arguments,
            **({"id_col": "id"} if "id_col" in arguments else {}),  # a list of one here
        }
    wanted = set(inspect.signature(LabelAudit.find_label_issues).parameters) - {"self"}
    assert set(told.filter_arguments) == wanted


def test_values_of_the_configuration_reach_the_arguments() -> None:
    told = config(label_col="y", absent_prob=-1.0, frac_noise=0.5, num_to_remove_per_class=[1, 2])
    assert told.input_arguments["label_col"] == "y"
    assert told.input_arguments["absent_prob"] == -1
    assert told.filter_arguments["frac_noise"] == 0.5
    assert told.filter_arguments["num_to_remove_per_class"] == [1, 2]


def test_predictions_or_labels_may_be_a_delta_table(tmp_path: Path) -> None:
    (tmp_path / "delta" / "_delta_log").mkdir(parents=True)
    (tmp_path / "parquet").mkdir()
    delta, parquet = str(tmp_path / "delta"), str(tmp_path / "parquet")
    assert config(predictions=delta, format="parquet").needs_delta
    assert config(predictions=parquet, labels=delta, format="parquet").needs_delta
    assert not config(predictions=parquet, labels=parquet, format="parquet").needs_delta
    assert not config(predictions=None, sample="digits", format="parquet").needs_delta
    assert config(predictions=parquet, format="delta").needs_delta
