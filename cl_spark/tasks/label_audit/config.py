"""The configuration of an audit: one typed model, from which YAML keys, command-line flags and documentation come."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from cl_spark.errors import ConfigurationError

RunId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]


class AuditConfig(BaseModel):
    """What to audit, how, and where the results go. Every field is a YAML key and a flag of the same name with dashes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    predictions: str | None = Field(
        None,
        description="Table of predicted probabilities, and of labels unless `labels` is given: a Parquet or Delta path, or a "
        "catalog table name",
    )
    labels: str | None = Field(
        None,
        description="Table of ids and given labels, joined with `predictions` on the id; unmatched ids are rejected",
    )
    sample: Literal["digits"] | None = Field(
        None, description="Audit a sample that ships with the package instead of `predictions`: digits"
    )
    id_col: list[str] = Field(["id"], min_length=1, description="Id column; several make a composite key")
    label_col: str = Field(
        "label", description="Column of given labels: class indices (integer) or class names (text)"
    )
    pred_probs_col: list[str] = Field(
        ["pred_probs"],
        min_length=1,
        description="Column of predicted probabilities (array, ML vector, or sparse: map of class to probability); several "
        "are one column per class",
    )
    class_names: list[str] | None = Field(
        None, description="Names of the classes, in the order of the probabilities"
    )
    num_classes: int | None = Field(None, ge=2, description="Number of classes; sparse probabilities need it")
    absent_prob: float = Field(0.0, description="Probability of the classes that a sparse list leaves out")
    probabilities: bool = Field(
        False,
        description="The values are promised to be probabilities: rows with a negative one or a sum off 1 are rejected",
    )
    check_ids: bool = Field(True, description="Look for ids that several rows share, and reject those rows")
    read_files: bool = Field(
        True,
        description="Tasks read Parquet files (of Delta tables too) themselves where they lie in a file system, which is faster; "
        "say no where tasks reach them by Spark only",
    )
    on_bad_rows: Literal["reject", "fail"] = Field(
        "reject",
        description="What rows that cannot be used do: go to `rejected`, or fail the run before anything is written",
    )
    max_rejected_fraction: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Share of rows that may be rejected; beyond it the run fails before anything is written",
    )
    source_version: int | None = Field(
        None, ge=0, description="Audit an older state of the Delta table `predictions`: its version"
    )
    source_timestamp: str | None = Field(
        None,
        description="Audit an older state of the Delta table `predictions`: the time, as in 2026-01-31 02:00:00",
    )
    filter_by: str = Field(
        "prune_by_noise_rate", description="Which examples are issues: the filter of `find_label_issues`"
    )
    rank_by: str = Field("self_confidence", description="Label quality score that ranks the issues")
    adjust_pred_probs: bool = Field(
        False, description="Rank by scores of probabilities adjusted by the thresholds"
    )
    frac_noise: float = Field(1.0, ge=0, le=1, description="Share of the estimated noise to prune")
    num_to_remove_per_class: list[int] | None = Field(
        None, description="How many of each given class to prune; K numbers"
    )
    min_examples_per_class: int = Field(
        1, ge=0, description="Examples every class keeps; smaller classes are not pruned"
    )
    num_issues: int | str | None = Field(
        None, description="How many issues the low_* filters take: a number or an estimation method"
    )
    slice_by: list[str] = Field(
        [], description="Columns for whose values health is told apart, such as source or annotator"
    )
    gates: list[str] = Field(
        [],
        description="Conditions such as overall_health >= 0.97, class_health.label_quality >= 0.9, issues_new <= 500, "
        "health_drop <= 0.01: where one fails, everything is written and the exit code is 3",
    )
    review_columns: list[str] = Field(
        [],
        description="Columns of `predictions` copied to `issues` for the people who review them, such as an image or a text",
    )
    label_scores: bool = Field(
        False, description="Also write a score for every example (table `label_scores`)"
    )
    report: bool | str = Field(
        False,
        description="Write the HTML report: true puts it below `output` as reports/<run_id>.html; or the path of the file",
    )
    output: str | None = Field(
        None,
        description="Where the tables go: a directory path (it holds a slash or is a URI) or a catalog.schema",
    )
    format: Literal["delta", "parquet"] = Field("delta", description="Format of the output tables")
    run_id: RunId | None = Field(
        None, description="Name of the run; running it again replaces its rows. Default: the time it started"
    )
    evidence_path: str | None = Field(
        None,
        description="Directory for what the scan keeps, where a session refuses to cache, as serverless ones do",
    )
    spark_conf: dict[str, str] = Field(
        default_factory=dict, description="Settings for the Spark session the job builds, key=value"
    )
    quiet: bool = Field(False, description="Print nothing but errors")
    profile: bool = Field(False, description="Also print where the time went, step by step")

    @field_validator(
        "id_col",
        "pred_probs_col",
        "class_names",
        "num_to_remove_per_class",
        "slice_by",
        "gates",
        "review_columns",
        mode="before",
    )
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str | int) and not isinstance(value, bool) else value

    @field_validator("class_names", mode="before")
    @classmethod
    def _names_are_text(cls, value: Any) -> Any:
        return [str(name) for name in value] if isinstance(value, list) else value

    @field_validator("spark_conf", mode="before")
    @classmethod
    def _settings_are_text(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {
            key: str(item).lower() if isinstance(item, bool) else str(item) for key, item in value.items()
        }

    @model_validator(mode="after")
    def _one_source(self) -> "AuditConfig":
        if self.sample is not None and (self.predictions is not None or self.labels is not None):
            raise ValueError("sample: goes without predictions and labels")
        if self.sample is None and self.predictions is None:
            raise ValueError("predictions: needed; a path or table name (or sample: digits to try it out)")
        if self.source_version is not None and self.source_timestamp is not None:
            raise ValueError("source_version: goes without source_timestamp")
        if self.sample is not None and (self.source_version is not None or self.source_timestamp is not None):
            raise ValueError("source_version, source_timestamp: a sample has no older state")
        if self.output is None:
            raise ValueError("output: needed; a directory path or a catalog.schema")
        return self

    @property
    def id_columns(self) -> list[str]:
        """The id columns."""
        return self.id_col

    @property
    def input_arguments(self) -> dict[str, Any]:
        """What `LabelAudit` is told of an input table's columns and rows."""
        return {
            "id_col": self.id_columns,
            "label_col": self.label_col,
            "pred_probs_col": self.probs,
            "class_names": self.class_names,
            "num_classes": self.num_classes,
            "absent_prob": self.absent_prob,
            "probabilities": self.probabilities,
            "check_ids": self.check_ids,
            "evidence_path": self.evidence_path,
        }

    @property
    def probs(self) -> str | list[str]:
        """The probabilities' column, or the K columns."""
        return self.pred_probs_col[0] if len(self.pred_probs_col) == 1 else self.pred_probs_col


def load_config(path: str | None, overrides: Mapping[str, Any]) -> AuditConfig:
    """The configuration in a YAML file, overridden by command-line values; all faults reported at once.

    Raises:
        ConfigurationError: the file cannot be read, or values do not fit; names every key with the value seen.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            loaded = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigurationError(f"config: cannot read {path!r}: {error.strerror}") from error
        except yaml.YAMLError as error:
            raise ConfigurationError(f"config: {path!r} is not YAML: {error}") from error
        if not isinstance(loaded, dict):
            raise ConfigurationError(
                f"config: {path!r} must hold keys and values, found {type(loaded).__name__}"
            )
        values.update(loaded)
    for key, value in overrides.items():
        values[key] = {**values.get(key, {}), **value} if isinstance(value, dict) else value
    try:
        return AuditConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigurationError("\n".join(map(_fault, error.errors()))) from error


def _fault(fault: Any) -> str:
    key = ".".join(map(str, fault["loc"]))
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        return f"{key}: unknown key; the keys are {', '.join(AuditConfig.model_fields)}"
    return f"{key}: {message}, got {fault['input']!r}" if key else message
