"""The configuration of a cross-validation."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field, model_validator

from cl_spark.tables.location import holds_delta
from cl_spark.tables.text_files import Roles
from cl_spark.tasks.label_audit.config import IssueConfig


class TrainingOptions(BaseModel):
    """The keys that say what a model is trained on, and how."""

    data: str = Field(
        description="Table of ids, labels and features: a path to Delta, Parquet, CSV or JSON lines, or a "
        "catalog table name"
    )
    input_format: Literal["auto", "delta", "parquet", "csv", "json"] = Field(
        "auto",
        description="Format of `data` at a path: by what the files are called, or one of delta, parquet, "
        "csv, json",
    )
    source_version: int | None = Field(
        None, ge=0, description="Train on an older state of the Delta table `data`: its version"
    )
    source_timestamp: str | None = Field(
        None,
        description="Train on an older state of the Delta table `data`: the time, as in 2026-01-31 02:00:00",
    )
    label_col: str = Field(
        "label", description="Column of given labels: class indices (numbers, booleans) or class names (text)"
    )
    features_col: list[str] = Field(
        ["features"],
        min_length=1,
        description="Column of features (array of numbers, ML vector, or text); or several columns of "
        "numbers, booleans or texts",
    )
    class_names: list[str] | None = Field(
        None,
        description="Names of the classes, in the order of the probabilities. Default: all there are, in "
        "alphabetical order",
    )
    group_col: str | None = Field(
        None,
        description="Column of groups, such as patients or near-duplicates: rows of one group stay "
        "in one fold",
    )
    weight_col: str | None = Field(
        None, description="Column of weights of the examples, for estimators that take some"
    )
    estimator: str = Field(
        description="Import path of the classifier: of scikit-learn or like it, or of Spark ML, as in "
        "sklearn.linear_model.LogisticRegression"
    )
    estimator_params: dict[str, Any] = Field(
        default_factory=dict,
        description='Its arguments, as a JSON object such as {"max_iter": 500}; an object with the key '
        "`estimator`, and perhaps `params`, is an estimator itself, such as a step of a pipeline",
    )
    folds: int = Field(
        5, ge=2, description="Number of parts, each predicted by a model trained on the others"
    )
    repeats: int = Field(1, ge=1, description="Rounds of cross-validation whose probabilities are averaged")
    seed: int = Field(0, description="Changes the folds, and seeds the models")

    @model_validator(mode="after")
    def _has_one_state(self) -> "TrainingOptions":
        if self.source_version is not None and self.source_timestamp is not None:
            raise ValueError("source_version: goes without source_timestamp")
        return self


class CrossValidationConfig(IssueConfig, TrainingOptions):
    """The configuration of a cross-validation: what a model is trained on, and where the results go.

    Every field is a YAML key, and a flag of the same name with dashes.

    Raises:
        pydantic.ValidationError: a value does not fit, or values contradict each other.

    Example:
        >>> path = "sklearn.linear_model.LogisticRegression"
        >>> CrossValidationConfig(data="./digits", estimator=path, output="./learned").folds
        5
    """

    @property
    def training_arguments(self) -> dict[str, Any]:
        """The arguments of `CrossValidation`, beside the table and the estimator."""
        names = ("id_col", "label_col", "class_names", "group_col", "weight_col", "folds", "repeats", "seed")
        cols = self.features_col
        return {
            **{name: getattr(self, name) for name in names},
            "features_col": cols[0] if len(cols) == 1 else cols,
        }

    @property
    def roles(self) -> Roles:
        """Roles of the columns of the input."""
        others = (*self.review_columns, *filter(None, (self.group_col,)))
        return Roles(
            ids=tuple(self.id_col),
            label=self.label_col,
            values=(*self.features_col, *filter(None, (self.weight_col,))),
            others=others,
            class_names=tuple(self.class_names or ()),
        )

    @property
    def sources(self) -> Mapping[str, str]:
        """The table."""
        return {"data": self.data}

    @property
    def needs_delta(self) -> bool:
        """Tell whether results, or `data` at a path of this machine, are Delta tables."""
        return super().needs_delta or holds_delta(self.data)
