"""The configuration of a multi-label audit."""

from typing import Any, Literal

from pydantic import Field, model_validator

from cl_spark.tables.text_files import Roles
from cl_spark.tasks.label_audit.config import TASK_DESCRIPTION, SourceConfig, SourceOptions


class MultilabelOptions(SourceOptions):
    """The keys of a multi-label audit alone: what the columns of its input mean."""

    task: Literal["multilabel"] = Field(
        "multilabel",
        description=TASK_DESCRIPTION,
    )
    labels_col: list[str] = Field(
        ["labels"],
        min_length=1,
        description="Column of given labels: an array of class indices or names; several are K boolean "
        "columns",
    )
    pred_probs_col: list[str] = Field(
        ["pred_probs"],
        min_length=1,
        description="Column of predicted probabilities, each class by itself: an array, ML vector, or "
        "sparse; several are one column per class",
    )
    num_classes: int | None = Field(None, ge=2, description="Number of classes; sparse probabilities need it")
    adjust_pred_probs: bool = Field(False, description="Not of sets of labels: leave it out")
    num_to_remove_per_class: list[int] | None = Field(None, description="Not of sets of labels: leave it out")
    num_issues: int | str | None = Field(
        None, description="How many issues the low_* filters take: a number; default the estimate"
    )


class MultilabelAuditConfig(SourceConfig, MultilabelOptions):
    """The configuration of an audit of sets of labels: what to audit, how, and where the results go.

    Every field is a YAML key, and a flag of `cl-spark audit --task multilabel`.

    Raises:
        pydantic.ValidationError: a value does not fit, or values contradict each other.

    Example:
        >>> MultilabelAuditConfig(predictions="/lake/photos", output="/lake/audits").labels_col
        ['labels']
    """

    @model_validator(mode="after")
    def _fits_together(self) -> "MultilabelAuditConfig":
        if self.predictions is None:
            raise ValueError("predictions: needed; a path or table name")
        if self.adjust_pred_probs:
            raise ValueError("adjust_pred_probs: not of sets of labels; leave it out")
        if self.num_to_remove_per_class is not None:
            raise ValueError("num_to_remove_per_class: not of sets of labels; leave it out")
        if isinstance(self.num_issues, str):
            raise ValueError("num_issues: of sets of labels it is a number; leave it out for the estimate")
        return self

    @property
    def input_arguments(self) -> dict[str, Any]:
        """The arguments of `MultilabelAudit`."""
        names = ("id_col", "class_names", "num_classes", "slice_by", "check_ids", "evidence_path")
        columns = {"labels_col": self.labels_col, "pred_probs_col": self.pred_probs_col}
        return {name: getattr(self, name) for name in names} | {
            key: cols[0] if len(cols) == 1 else cols for key, cols in columns.items()
        }

    @property
    def filter_arguments(self) -> dict[str, Any]:
        """The arguments of `MultilabelAudit.find_label_issues`."""
        names = ("filter_by", "rank_by", "frac_noise", "min_examples_per_class", "num_issues")
        return {name: getattr(self, name) for name in names}

    @property
    def roles(self) -> Roles:
        """Roles of the columns of the input."""
        probs = tuple(self.pred_probs_col)
        return Roles(
            ids=tuple(self.id_col),
            probs=probs,
            others=(*self.labels_col, *self.slice_by, *self.review_columns),
            class_names=tuple(self.class_names or (probs if len(probs) > 1 else ())),
        )
