"""The flags of commands: those of a task are the fields of its configuration."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, get_args

import click
from pydantic.fields import FieldInfo

from cl_spark.runs.config import RunConfig

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def config_options(*configs: type[RunConfig]) -> Decorator:
    """Give a command a flag for each field of a configuration, or of several, and `--config` for a file."""
    return partial(_add_config_options, configs)


def _add_config_options(
    configs: Sequence[type[RunConfig]], command: Callable[..., Any]
) -> Callable[..., Any]:
    fields: dict[str, FieldInfo] = {}
    for config in configs:  # of fields that several have, the first says what they are
        fields = {**config.model_fields, **fields}
    for name, field in reversed(fields.items()):
        command = field_option(name, field)(command)
    about = "YAML file with the same keys; flags win over it"
    return click.option("--config", type=click.Path(), default=None, help=about)(command)


def fit_flags(config: type[RunConfig], flags: Mapping[str, Any]) -> dict[str, Any]:
    """Fit flags to one of several configurations: a list of one is the text that a field of it takes."""
    fields = config.model_fields
    texts = {name for name in flags if name in fields and fields[name].annotation in (str, str | None)}
    return {
        name: value[0] if name in texts and isinstance(value, list) and len(value) == 1 else value
        for name, value in flags.items()
    }


def field_option(name: str, field: FieldInfo) -> Decorator:
    """Make the flag of one field: where it is not given, the file's value or the default stands."""
    flag, text = f"--{name.replace('_', '-')}", str(field.description)
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    if default not in (None, {}, [], False):
        shown = ",".join(default) if isinstance(default, list) else default
        text += f"  [default: {shown}]"
    kinds = {field.annotation, *get_args(field.annotation)}
    if field.annotation is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=text)
    if bool in kinds:  # a flag that may be given a value
        return click.option(
            flag,
            name,
            is_flag=False,
            flag_value="true",
            default=None,
            metavar="[PATH]",
            callback=_to_true,
            help=text,
        )
    if dict[str, Any] in kinds:
        return click.option(flag, name, default=None, metavar="JSON", callback=_to_object, help=text)
    if any(str(kind).startswith("dict[") for kind in kinds):
        return click.option(
            flag, name, multiple=True, metavar="KEY=VALUE", callback=_to_settings, help=text + "; repeatable"
        )
    if any(str(kind).startswith("list[") for kind in kinds):
        return click.option(
            flag, name, default=None, metavar="A,B,...", callback=_to_list, help=text + "; comma-separated"
        )
    if {int, str} <= kinds:
        return click.option(
            flag, name, default=None, metavar="N|METHOD", callback=_to_number_or_name, help=text
        )
    kind = next((kind for kind in (int, float) if kind in kinds), str)
    return click.option(flag, name, default=None, type=kind, help=text)


def _to_settings(
    _: click.Context, parameter: click.Parameter, values: Sequence[str]
) -> dict[str, str] | None:
    for value in values:
        if "=" not in value:
            # the value may be a password
            raise click.BadParameter("write KEY=VALUE, with an equals sign", param=parameter)
    return dict(value.split("=", 1) for value in values) or None


def _to_object(_: click.Context, parameter: click.Parameter, value: str | None) -> Any:
    if value is None:
        return None
    try:
        found = json.loads(value)
    except ValueError as error:
        raise click.BadParameter(f"is no JSON: {error}", param=parameter) from error
    if not isinstance(found, dict):
        raise click.BadParameter('write a JSON object, as in {"max_iter": 500}', param=parameter)
    return found


def _to_list(_: click.Context, __: click.Parameter, value: str | None) -> list[str] | None:
    return None if value is None else [part.strip() for part in value.split(",")]


def _to_number_or_name(_: click.Context, __: click.Parameter, value: str | None) -> int | str | None:
    return int(value) if value is not None and value.lstrip("-").isdigit() else value


def _to_true(_: click.Context, __: click.Parameter, value: str | None) -> bool | str | None:
    return True if value == "true" else value


spark_conf_option = click.option(
    "--spark-conf",
    multiple=True,
    metavar="KEY=VALUE",
    callback=_to_settings,
    help="Spark settings; repeatable",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text, for programs")
rows_option = click.option(
    "--rows", type=click.IntRange(1), default=1_000, show_default=True, help="How many rows to look at"
)
