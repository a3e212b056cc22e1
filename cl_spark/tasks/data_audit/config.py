"""The configuration of a data audit."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator
from pyspark.sql import DataFrame

from cl_spark.methods.neighbors.features import choose_features_col
from cl_spark.tables.text_files import Roles
from cl_spark.tasks.label_audit.config import TASK_DESCRIPTION, TableConfig


class DataAuditConfig(TableConfig):
    """The configuration of an audit for bad rows of every kind: which columns there are, where results go.

    Every field is a YAML key, and a flag of `cl-spark audit --task data`.

    Raises:
        pydantic.ValidationError: a value does not fit, or values contradict each other.

    Example:
        >>> DataAuditConfig(task="data", predictions="/lake/digits", output="/lake/audits").k
        10
    """

    task: Literal["data"] = Field("data", description=TASK_DESCRIPTION)
    id_col: list[str] = Field(["id"], min_length=1, description="Id column: whole numbers or text")
    slice_by: list[str] = Field(
        [],
        description="Columns whose values are the groups of the check `underperforming_group`; without them "
        "clusters of neighbors are",
    )
    gates: list[str] = Field(
        [],
        description="Conditions such as data_checks.issues <= 100, overall_health >= 0.95, issues_new <= 50: "
        "where one fails, everything is written and the exit code is 3",
    )
    label_col: str | None = Field(
        None, description='Column of given labels: class indices or names; default "label", if there is one'
    )
    pred_probs_col: str | None = Field(
        None,
        description="Column of predicted probabilities (array or ML vector); default "
        '"pred_probs", if there is one. Without it, wrong labels are found by the labels of neighbors',
    )
    features_col: list[str] = Field(
        [],
        description='Column of vectors, or several of numbers; default "features", if there is one',
    )
    text_col: str | None = Field(
        None, description="Column of texts, which are compared for copies in place of features"
    )
    order_col: str | None = Field(
        None,
        description="Column that tells the order in which rows came: numbers, dates or times. Without it "
        "the order is not checked",
    )
    k: int = Field(10, ge=1, description="Neighbors that a row is compared with")
    metric: Literal["auto", "cosine", "euclidean"] = Field(
        "auto", description="Distance of neighbors; auto is cosine above 3 dimensions"
    )
    search: Literal["auto", "exact", "approximate"] = Field(
        "auto", description="How neighbors are searched; auto is exact for tables that are not large"
    )
    review_columns: list[str] = Field(
        [],
        description="Columns of the input copied to `data_issues` for the people who review them, such as an "
        "image or a text",
    )
    all_scores: bool = Field(
        False, description="Also write what every check says of every row (table `data_scores`)"
    )
    evidence_path: str | None = Field(
        None,
        description="Directory for what is kept between questions, where a session does not cache, as "
        "serverless ones do not",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "DataAuditConfig":
        if self.predictions is None:
            raise ValueError("predictions: needed; a path or table name")
        if len(self.id_col) > 1:
            raise ValueError("id_col: neighbors need one column; make one of several, as concat_ws does")
        return self

    def find_arguments(self, df: DataFrame) -> dict[str, Any]:
        """Find the arguments of `DataAudit`.

        Args:
            df: the table, whose types say whether one column of features is a vector or a number.
        """
        names = ("label_col", "pred_probs_col", "text_col", "order_col", "slice_by", "class_names", "k",
                 "metric", "search", "evidence_path")  # fmt: skip
        cols = self.features_col
        features = choose_features_col(df, cols, "predictions") if cols else None
        arguments = {name: getattr(self, name) for name in names}
        return {**arguments, "id_col": self.id_col[0], "features_col": features}

    @property
    def roles(self) -> Roles:
        """Roles of the columns of the input."""
        return Roles(
            ids=tuple(self.id_col),
            label=self.label_col or "label",
            probs=(self.pred_probs_col or "pred_probs",),
            values=tuple(self.features_col or ["features"]),
            orders=(self.order_col,) if self.order_col else (),
            others=(*self.slice_by, *self.review_columns, *([self.text_col] if self.text_col else [])),
            class_names=tuple(self.class_names or ()),
        )

    @property
    def places(self) -> Mapping[str, str]:
        """Output, report, and the directory of evidence."""
        evidence = {} if self.evidence_path is None else {"evidence_path": self.evidence_path}
        return {**super().places, **evidence}
