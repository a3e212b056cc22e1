"""The configuration that every run has, and reading one from a YAML file and flags.

A configuration is one typed model. Its fields are the YAML keys, the command-line flags and the reference in
the documentation.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

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


class RunConfig(BaseModel):
    """The keys of every run, whatever its task: where results go, what fails it, how it runs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id_col: list[str] = Field(["id"], min_length=1, description="Id column; several make a composite key")
    on_bad_rows: Literal["reject", "fail"] = Field(
        "reject",
        description="What happens to rows that cannot be used: they go to `rejected`, or they fail the run "
        "before anything is written",
    )
    max_rejected_fraction: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Share of rows that may be rejected; beyond it the run fails before anything is written",
    )
    on_warning: Literal["report", "fail"] = Field(
        "report",
        description="What happens where the input is doubtful, such as labels that look 1-based: the run is "
        "written and tells its warnings, or they fail it before anything is written",
    )
    gates: list[str] = Field(
        [],
        description="Conditions such as overall_health >= 0.97, class_health.class_quality >= 0.9, "
        "issues_new <= 500, health_drop <= 0.01: where one fails, everything is written and the exit "
        "code is 3",
    )
    report: bool | str = Field(
        False,
        description="Write the HTML report: true puts it below `output` as reports/<run_id>.html; "
        "or the path of the file",
    )
    output: str | None = Field(
        None,
        description="Where the tables go: a directory path (it holds a slash or is a URI) "
        "or a catalog.schema",
    )
    format: Literal["delta", "parquet"] = Field("delta", description="Format of the output tables")
    run_id: RunId | None = Field(
        None, description="Name of the run; running it again replaces its rows. Default: the time it started"
    )
    spark_conf: dict[str, str] = Field(
        default_factory=dict, description="Settings for the Spark session the job builds, key=value"
    )
    quiet: bool = Field(False, description="Print nothing but errors")
    profile: bool = Field(False, description="Also print where the time went, step by step")

    @field_validator("*", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any, info: Any) -> Any:
        """Take a single value for a list of one, as people write it in YAML."""
        is_list = "list[" in str(cls.model_fields[info.field_name].annotation)
        return [value] if is_list and isinstance(value, str | int) and not isinstance(value, bool) else value

    @field_validator("spark_conf", mode="before")
    @classmethod
    def _settings_are_text(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {
            key: str(item).lower() if isinstance(item, bool) else str(item) for key, item in value.items()
        }

    @model_validator(mode="after")
    def _has_output(self) -> "RunConfig":
        if self.output is None:
            raise ValueError("output: needed; a directory path or a catalog.schema")
        return self

    @property
    def needs_delta(self) -> bool:
        """Tell whether a session of this run has to know Delta; tasks add what their inputs need."""
        return self.format == "delta"


ConfigT = TypeVar("ConfigT", bound=RunConfig)


def load_config(config: type[ConfigT], path: str | None, overrides: Mapping[str, Any]) -> ConfigT:
    """Read a configuration from a YAML file, overridden by command-line values. All faults are reported at
    once.

    Args:
        config: the model of the task.
        path: the YAML file, if there is one.
        overrides: values by key, which win over the file's.

    Raises:
        ConfigurationError: the file cannot be read, or values do not fit; names every key with the value
            seen.
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
        return config.model_validate(values)
    except ValidationError as error:
        faults = [_describe_fault(fault, config) for fault in error.errors()]
        raise ConfigurationError("\n".join(faults)) from error


def _describe_fault(fault: Any, config: type[RunConfig]) -> str:
    key = ".".join(map(str, fault["loc"]))
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        return f"{key}: unknown key; the keys are {', '.join(config.model_fields)}"
    return f"{key}: {message}, got {fault['input']!r}" if key else message


def holds_delta(path: str | None) -> bool:
    """Tell whether a path is a Delta table on this machine."""
    return path is not None and (Path(path) / "_delta_log").exists()
