"""The configuration of corrections."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, Field, model_validator

from cl_spark.runs.config import RunConfig
from cl_spark.tables.location import holds_delta, is_path
from cl_spark.tables.text_files import Roles


class CorrectionKeys(BaseModel):
    """The keys that say which labels are corrected, by what, and where they go."""

    run_location: str = Field(
        description="Where the results of `verdicts` are (its `output`), or those of an audit whose issues "
        "are corrected as they are"
    )
    run: str | None = Field(
        None,
        description="The run of `verdicts`, or the audit: its run_id. Default: the latest verdicts. Issues "
        "of an audit are taken only if it is named",
    )
    labels: str = Field(
        description="The table of labels to correct: a path or a catalog table name. Where there is no "
        "`corrected_output`, it is a Delta table and is changed in place"
    )
    label_col: str = Field(
        "label",
        description="Column of the label in `labels`; of sets of labels, of the array of class names or "
        "indices",
    )
    corrected_output: str | None = Field(
        None,
        description="Where a new table of corrected labels goes: a path or a catalog table name. Default: "
        "none, and `labels` are corrected in place",
    )
    corrected_format: Literal["delta", "parquet"] = Field(
        "delta", description="Format of the new table of corrected labels"
    )
    action: Literal["correct", "prune"] = Field(
        "correct",
        description="What happens to issues of an audit: they get the suggested label, or are marked as "
        "pruned. Verdicts say it themselves",
    )
    class_names: list[str] | None = Field(
        None,
        description="Names of the classes in the order of their indices, needed where the labels are names "
        "and the verdicts indices, or the other way round",
    )
    corrected_by: str | None = Field(
        None, description="Who corrects, for the column corrected_by. Default: the user of the Spark session"
    )


class CorrectionsConfig(RunConfig, CorrectionKeys):
    """The configuration of corrections: which verdicts change which labels, and where the record of it goes.

    Every field is a YAML key, and a flag of the same name with dashes. The run needs a `run_id`: by it a
    repetition knows what is done, and `undo` takes it.

    Raises:
        pydantic.ValidationError: a value does not fit, or there is no run_id.

    Example:
        >>> places = {"run_location": "./audits", "output": "./audits", "labels": "./labels"}
        >>> CorrectionsConfig(**places, run_id="june").in_place
        True
    """

    @model_validator(mode="after")
    def _fits(self) -> "CorrectionsConfig":
        if self.run_id is None:
            raise ValueError(
                "run_id: needed; a repetition after a crash knows by it what is done, and undo takes it"
            )
        output = self.corrected_output
        if output is None and self.corrected_format != "delta":
            raise ValueError(
                f"corrected_format: {self.corrected_format} is the format of a new table, and labels are "
                "corrected in place: name the corrected_output, or leave corrected_format out"
            )
        if output is not None and self.corrected_format == "parquet" and not is_path(output):
            raise ValueError(
                f"corrected_output: {output!r} is a table name; Parquet goes to a path (./{output})"
            )
        return self

    @property
    def in_place(self) -> bool:
        """Tell whether the labels are corrected where they are."""
        return self.corrected_output is None

    @property
    def roles(self) -> Roles:
        """Roles of the columns of the labels."""
        return Roles(ids=tuple(self.id_col), label=self.label_col, class_names=tuple(self.class_names or ()))

    @property
    def sources(self) -> Mapping[str, str]:
        """The labels."""
        return {"labels": self.labels}

    @property
    def places(self) -> Mapping[str, str]:
        """Output, report, and the new table of labels."""
        new = {} if self.corrected_output is None else {"corrected_output": self.corrected_output}
        return {**super().places, **new}

    @property
    def needs_delta(self) -> bool:
        """Tell whether results, labels or verdicts are Delta tables, as far as this machine tells."""
        writes = self.in_place or self.corrected_format == "delta"
        inputs = (f"{self.run_location.rstrip('/')}/runs", self.labels)
        return super().needs_delta or writes or any(map(holds_delta, inputs))
