"""The configuration of a run that judges generated rows."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator

from cl_spark.runs.config import RunConfig
from cl_spark.tables.location import holds_delta
from cl_spark.tables.text_files import Roles

SOURCES = ("generated", "real")
"""Keys of the two inputs."""


class GeneratedDataOptions(BaseModel):
    """The keys that say which rows are judged beside which, and how."""

    generated: str = Field(
        description="Table of generated rows: ids, prompts and features: a path to Delta, Parquet, CSV or "
        "JSON lines, or a catalog table name"
    )
    real: str = Field(
        description="Table of real rows, in the same columns, with the class in place of the prompt: a path "
        "or a catalog table name"
    )
    input_format: Literal["auto", "delta", "parquet", "csv", "json"] = Field(
        "auto",
        description="Format of the inputs at a path: by what the files are called, or one of "
        "delta, parquet, csv, json",
    )
    prompt_col: str = Field(
        "prompt",
        description="Column of the class that a generated row was meant to be of, and of the class of a real "
        "row: text or whole numbers",
    )
    features_col: list[str] = Field(
        ["features"], min_length=1, description="Column of vectors, or several of numbers"
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
        description="Columns of the generated table copied to `dropped_rows` for the people who review them, "
        "such as an image or a text",
    )
    evidence_path: str | None = Field(
        None, description="Directory for what is kept between queries, where Spark refuses to cache"
    )


class GeneratedDataConfig(RunConfig, GeneratedDataOptions):
    """The configuration of a run that judges generated rows beside real ones, and where the results go.

    Every field is a YAML key, and a flag of the same name with dashes.

    Raises:
        pydantic.ValidationError: a value does not fit.

    Example:
        >>> GeneratedDataConfig(generated="./generated", real="./real", output="./judged").k
        10
    """

    @field_validator("id_col")
    @classmethod
    def _is_one(cls, value: list[str]) -> list[str]:
        if len(value) > 1:
            raise ValueError("id_col: neighbors need one column; make one of several, as concat_ws does")
        return value

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of `GeneratedData` beside the tables and the columns of features."""
        names = ("prompt_col", "k", "metric", "search", "evidence_path")
        return {"id_col": self.id_col[0], **{name: getattr(self, name) for name in names}}

    @property
    def roles(self) -> Mapping[str, Roles]:
        """Roles of the columns of each input, by its key."""
        ids, values = tuple(self.id_col), tuple(self.features_col)
        real = Roles(ids=ids, label=self.prompt_col, values=values)
        generated = Roles(ids=ids, label=self.prompt_col, values=values, others=tuple(self.review_columns))
        return {"generated": generated, "real": real}

    @property
    def sources(self) -> Mapping[str, str]:
        """The two tables."""
        return {key: getattr(self, key) for key in SOURCES}

    @property
    def places(self) -> Mapping[str, str]:
        """Output, report, and the directory of evidence."""
        evidence = {} if self.evidence_path is None else {"evidence_path": self.evidence_path}
        return {**super().places, **evidence}

    @property
    def needs_delta(self) -> bool:
        """Tell whether results, or an input at a path of this machine, are Delta tables."""
        return super().needs_delta or any(map(holds_delta, self.sources.values()))
