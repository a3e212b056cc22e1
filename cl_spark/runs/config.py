"""The configuration that every run has, and reading one from a YAML file and flags.

A configuration is one typed model. Its fields are the YAML keys, the command-line flags and the reference in
the documentation.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_serializer,
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
        description="Conditions on numbers of the run or its changes, such as overall_health >= 0.97, "
        "issues_new <= 500, health_drop <= 0.01, or on all rows of a small table, as in a label audit "
        "class_health.class_quality >= 0.9: where one fails, everything is written and the exit code is 3",
    )
    report: bool | str = Field(
        False,
        description="Write the HTML report: true puts it below `output` as reports/<run_id>.html; "
        "or the path of the file",
    )
    remote_images: bool = Field(
        False,
        description="Let the report show images from http(s) addresses in the data, so that opening it asks "
        "these hosts. Else it shows the addresses as text",
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
        default_factory=dict,
        repr=False,
        description="Settings for the Spark session the job builds, key=value; only keys are recorded",
    )
    quiet: bool = Field(False, description="Print nothing but errors")
    profile: bool = Field(False, description="Also print where the time went, step by step")

    @field_validator("*", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any, info: Any) -> Any:
        """Take a single value for a list of one, as people write it in YAML."""
        is_list = "list[" in str(cls.model_fields[info.field_name].annotation)
        return [value] if is_list and isinstance(value, str | int) and not isinstance(value, bool) else value

    @field_validator("class_names", mode="before", check_fields=False)  # of the tasks that have classes
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

    @field_serializer("spark_conf", when_used="json")
    def _record_keys_only(self, value: dict[str, str]) -> dict[str, str]:
        """Keep values out of everything that is stored: they may be passwords."""
        return dict.fromkeys(value, "")

    @model_validator(mode="after")
    def _has_output(self) -> "RunConfig":
        if self.output is None:
            raise ValueError("output: needed; a directory path or a catalog.schema")
        return self

    @property
    def example_ids(self) -> list[str]:
        """The columns of results that tell examples apart."""
        return self.id_col

    @property
    def sources(self) -> Mapping[str, str]:
        """The inputs by their keys, which tasks name: nothing may be written there."""
        return {}

    @property
    def places(self) -> Mapping[str, str]:
        """The places that a run writes to, by their keys; tasks add theirs."""
        report = {"report": self.report} if isinstance(self.report, str) else {}
        return {"output": str(self.output), **report}

    @property
    def needs_delta(self) -> bool:
        """Tell whether a session of this run has to know Delta; tasks add what their inputs need."""
        return self.format == "delta"

    @property
    def is_brief(self) -> bool:
        """Tell whether a run is known to read little; tasks know."""
        return False


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
    misread: dict[str, str] = {}
    if path is not None:
        values, misread = _keep_spelling(config, *_read_yaml(path))
        # a key without a value, as where all below it is commented out, is as if it were not there
        values = {key: value for key, value in values.items() if value is not None}
        misread = {key: fault for key, fault in misread.items() if key not in overrides}
    for key, value in overrides.items():
        is_merged = _holds_text(config, key) and isinstance(values.get(key, {}), dict)
        values[key] = {**values.get(key, {}), **value} if is_merged else value
    faults = list(misread.values())
    try:
        valid = config.model_validate(values)
    except ValidationError as error:
        faults += [_describe_fault(fault, config) for fault in error.errors()]
        raise ConfigurationError("\n".join(faults)) from error
    if faults:
        raise ConfigurationError("\n".join(faults))
    return valid


def read_key(path: str | None, key: str) -> Any:
    """Read the value of one key of a YAML file; None where there is no file, or no such key.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    return None if path is None else _read_yaml(path)[0].get(key)


def _read_yaml(path: str) -> tuple[dict[Any, Any], dict[str, Any]]:
    """Read a YAML file of keys: what YAML makes of it, and the same with every value as text.

    Raises:
        ConfigurationError: it cannot be read, or holds something else.
    """
    try:
        raw = Path(path).read_bytes()  # YAML knows UTF-8 and UTF-16
        loaded, written = yaml.safe_load(raw), yaml.load(raw, yaml.BaseLoader)
    except OSError as error:
        raise ConfigurationError(f"config: cannot read {path!r}: {error.strerror}") from error
    except yaml.reader.ReaderError as error:
        raise ConfigurationError(
            f"config: {path!r} is not text in UTF-8: {error.reason} at position {error.position}; "
            "save it as UTF-8"
        ) from error
    except yaml.YAMLError as error:
        # without the line itself, which may hold a password
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        where = "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
        raise ConfigurationError(f"config: {path!r} is not YAML: {problem or error}{where}") from error
    if not isinstance(loaded, dict):
        raise ConfigurationError(f"config: {path!r} must hold keys and values, found {type(loaded).__name__}")
    return loaded, written


def _keep_spelling(
    config: type[RunConfig], loaded: Mapping[Any, Any], written: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Give text fields the text that is written in the file, where YAML made something else of it.

    Args:
        config: the model.
        loaded: what YAML makes of the file.
        written: the same with every value as text.

    Returns:
        Values by key; and, by key, what to say of those that YAML spells otherwise, such as no, 01 or 1.50.
    """
    values: dict[str, Any] = {}
    misread: dict[str, str] = {}
    for (key, value), name in zip(loaded.items(), _names_of_keys(loaded, written), strict=True):
        values[name], text = value, written.get(name)
        if isinstance(value, dict) and isinstance(text, dict) and _holds_text(config, name):
            # settings, which are text too; what YAML takes for true or false is meant so
            values[name] = value | {key: text[key] for key in text if not isinstance(value.get(key), bool)}
        elif text is not None and value is not None and _takes_text_only(config, name):
            pairs = list(zip(value, text, strict=True)) if isinstance(value, list) else [(value, text)]
            wrong = [(item, said) for item, said in pairs if isinstance(said, str) and str(item) != said]
            if wrong:
                misread[name] = f"{name}: YAML reads {wrong[0][1]} as {wrong[0][0]!r}: put quotes round it"
            values[name] = text
    return values, misread


def _names_of_keys(loaded: Mapping[Any, Any], written: Mapping[str, Any]) -> list[str]:
    """Name the keys of a file as they are written; YAML reads the key `on` as true."""
    # where keys are merged (<<), one of the two has more of them
    return list(written) if len(loaded) == len(written) else [str(key) for key in loaded]


def _holds_text(config: type[RunConfig], key: str) -> bool:
    """Tell whether a field takes keys with texts, whatever YAML makes of these."""
    return key in config.model_fields and config.model_fields[key].annotation == dict[str, str]


def _takes_text_only(config: type[RunConfig], key: str) -> bool:
    """Tell whether a field takes text, or a list of texts, and nothing else."""
    return key in config.model_fields and _find_kinds(config.model_fields[key].annotation) == {str}


def _find_kinds(annotation: Any) -> set[type]:
    """Find the types of single values that a field takes, but for None."""
    parts = get_args(annotation)
    if not parts:
        return {annotation} if isinstance(annotation, type) and annotation is not type(None) else set()
    return set().union(*map(_find_kinds, parts))


def _describe_fault(fault: Any, config: type[RunConfig]) -> str:
    key = ".".join(map(str, fault["loc"]))
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "missing":
        return f"{key}: needed; {config.model_fields[key].description}"
    if fault["type"] == "extra_forbidden":
        return f"{key}: unknown key; the keys are {', '.join(config.model_fields)}"
    if key.startswith("spark_conf"):  # its values may be passwords
        return f"{key}: {message}"
    return f"{key}: {message}, got {fault['input']!r}" if key else message
