"""The configuration of a label audit."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field, model_validator

from cl_spark.runs.config import RunConfig
from cl_spark.tables.location import holds_delta
from cl_spark.tables.text_files import Roles


class IssueOptions(BaseModel):
    """The keys that say how issues are found, and what is written beside them."""

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
    review_columns: list[str] = Field(
        [],
        description="Columns of the input copied to `issues` for the people who review them, such as an "
        "image or a text",
    )
    label_scores: bool = Field(
        False, description="Also write a score for every example (table `label_scores`)"
    )
    evidence_path: str | None = Field(
        None,
        description="Directory for what the scan keeps, where a session does not cache, as serverless ones "
        "do not",
    )


class IssueConfig(RunConfig, IssueOptions):
    """The configuration of a run that finds label issues, whatever its probabilities come from."""

    @property
    def filter_arguments(self) -> dict[str, Any]:
        """The arguments of `LabelAudit.find_label_issues`."""
        names = ("filter_by", "rank_by", "adjust_pred_probs", "frac_noise", "num_to_remove_per_class",
                 "min_examples_per_class", "num_issues")  # fmt: skip
        return {name: getattr(self, name) for name in names}

    @property
    def places(self) -> Mapping[str, str]:
        """Output, report, and the directory of evidence."""
        evidence = {} if self.evidence_path is None else {"evidence_path": self.evidence_path}
        return {**super().places, **evidence}


def name_of_method(parameters: Mapping[str, Any]) -> str:
    """Name what chose the issues of a run: the filter, or a method that has none.

    Args:
        parameters: the configuration of the run, as `runs` holds it.

    Example:
        >>> name_of_method({"filter_by": "both"}), name_of_method({"filter_by": "both", "method": "incv"})
        ('both', 'incv')
    """
    method = parameters.get("method", "confident_learning")
    return str(parameters["filter_by"] if method == "confident_learning" else method)


TASK_DESCRIPTION = (
    "What the rows of the input are: classification (a label each), multilabel (a set of labels each) or "
    "tokens (sentences with a label of each token); data looks for bad rows of every kind"
)
"""Meaning of the key `task`, which tells the kinds of audits apart."""


class TableOptions(BaseModel):
    """The keys of an audit of a table, whatever it looks for: the table."""

    predictions: str | None = Field(
        None,
        description="Table of given labels and predicted probabilities: a path to Delta, Parquet, CSV or "
        "JSON lines, or a catalog table name",
    )
    input_format: Literal["auto", "delta", "parquet", "csv", "json"] = Field(
        "auto",
        description="Format of `predictions` at a path: by what the files are called, or one of "
        "delta, parquet, csv, json",
    )
    class_names: list[str] | None = Field(
        None, description="Names of the classes, in the order of the probabilities"
    )
    source_version: int | None = Field(
        None, ge=0, description="Audit an older state of the Delta table `predictions`: its version"
    )
    source_timestamp: str | None = Field(
        None,
        description="Audit an older state of the Delta table `predictions`: the time, as in "
        "2026-01-31 02:00:00",
    )
    slice_by: list[str] = Field(
        [], description="Columns for whose values health is told apart, such as source or annotator"
    )

    @model_validator(mode="after")
    def _has_one_state(self) -> "TableOptions":
        if self.source_version is not None and self.source_timestamp is not None:
            raise ValueError("source_version: goes without source_timestamp")
        return self

    @property
    @abstractmethod
    def roles(self) -> Roles:
        """Roles of the columns of the input."""


class SourceOptions(TableOptions):
    """The keys of an audit of a table of predictions: the table, whatever its rows are."""

    check_ids: bool = Field(True, description="Look for ids that several rows share, and reject those rows")


class TableConfig(RunConfig, TableOptions):
    """The configuration of an audit of a table, whatever it looks for."""

    @property
    def sources(self) -> Mapping[str, str]:
        """The predictions."""
        return {} if self.predictions is None else {"predictions": self.predictions}

    @property
    def needs_delta(self) -> bool:
        """Tell whether results, or `predictions` at a path of this machine, are Delta tables."""
        return super().needs_delta or holds_delta(self.predictions)


class SourceConfig(IssueConfig, SourceOptions, TableConfig):
    """The configuration of an audit of a table of predictions, whatever its rows are."""


class AuditOptions(SourceOptions):
    """The keys of a label audit alone: what the columns of its input mean."""

    task: Literal["classification"] = Field(
        "classification",
        description=TASK_DESCRIPTION,
    )
    labels: str | None = Field(
        None,
        description="Table of ids and given labels, joined with `predictions` on the id; "
        "unmatched ids are rejected",
    )
    sample: Literal["digits"] | None = Field(
        None, description="Audit a sample that ships with the package instead of `predictions`: digits"
    )
    label_col: str = Field(
        "label", description="Column of given labels: class indices (numbers, booleans) or class names (text)"
    )
    pred_probs_col: list[str] = Field(
        ["pred_probs"],
        min_length=1,
        description="Column of predicted probabilities (array, ML vector, or sparse: map of class to "
        "probability; of two classes also a number, that of the second); several are one column per class",
    )
    pred_probs_cols: list[str] = Field(
        [],
        description="Instead of pred_probs_col: a column of each of several models, folds or epochs, whose "
        "mean is audited",
    )
    num_classes: int | None = Field(None, ge=2, description="Number of classes; sparse probabilities need it")
    absent_prob: float = Field(0.0, description="Probability of the classes that a sparse list leaves out")
    probabilities: bool = Field(
        False,
        description="The values are promised to be probabilities: rows with a negative one or a sum off 1 "
        "are rejected",
    )

    @model_validator(mode="after")
    def _has_one_source(self) -> "AuditOptions":
        if self.sample is not None and (self.predictions is not None or self.labels is not None):
            raise ValueError("sample: goes without predictions and labels")
        if self.sample is None and self.predictions is None:
            raise ValueError("predictions: needed; a path or table name (or sample: digits to try it out)")
        if self.sample is not None and (self.source_version is not None or self.source_timestamp is not None):
            raise ValueError("source_version, source_timestamp: a sample has no older state")
        return self


class AuditConfig(SourceConfig, AuditOptions):
    """The configuration of a label audit: what to audit, how, and where the results go.

    Every field is a YAML key, and a flag of the same name with dashes.

    Raises:
        pydantic.ValidationError: a value does not fit, or values contradict each other.

    Example:
        >>> AuditConfig(sample="digits", output="./audits").filter_by
        'prune_by_noise_rate'
    """

    @property
    def input_arguments(self) -> dict[str, Any]:
        """The arguments of `LabelAudit` that say what the columns and rows of an input table mean."""
        probs = self.pred_probs_col
        return {
            "id_col": self.id_col,
            "label_col": self.label_col,
            "pred_probs_col": probs[0] if len(probs) == 1 else probs,
            "pred_probs_cols": tuple(self.pred_probs_cols),
            "class_names": self.class_names,
            "num_classes": self.num_classes,
            "absent_prob": self.absent_prob,
            "probabilities": self.probabilities,
            "check_ids": self.check_ids,
            "evidence_path": self.evidence_path,
        }

    @property
    def roles(self) -> Roles:
        """Roles of the columns of the input."""
        probs = tuple(self.pred_probs_col)
        return Roles(
            ids=tuple(self.id_col),
            label=self.label_col,
            probs=tuple(self.pred_probs_cols) or probs,
            others=(*self.slice_by, *self.review_columns),
            class_names=tuple(self.class_names or (probs if len(probs) > 1 else ())),
        )

    @property
    def sources(self) -> Mapping[str, str]:
        """Predictions and labels."""
        return {key: value for key in ("predictions", "labels") if (value := getattr(self, key)) is not None}

    @property
    def needs_delta(self) -> bool:
        """Tell whether results, or `predictions` or `labels` at a path of this machine, are Delta tables."""
        return super().needs_delta or holds_delta(self.labels)

    @property
    def is_brief(self) -> bool:
        """Tell whether the sample is audited, which is small."""
        return self.sample is not None
