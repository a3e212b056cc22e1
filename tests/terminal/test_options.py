"""Flags of commands: each kind of field has the flag that can tell its values."""

from typing import Any, Literal

import click
import pytest
from click.testing import CliRunner
from pydantic import Field

from cl_spark.runs.config import RunConfig
from cl_spark.terminal.options import config_options


class Config(RunConfig):
    count: int | None = Field(None, description="A whole number")
    share: float = Field(0.5, description="A number")
    kind: Literal["a", "b"] = Field("a", description="A word")
    most: int | str | None = Field(None, description="A number or a method")
    is_deep: bool = Field(False, description="Yes or no")


def run(*arguments: str) -> dict[str, Any]:
    """The values that a command with the flags of `Config` is called with."""
    told: dict[str, Any] = {}

    @click.command()
    @config_options(Config)
    def command(**values: Any) -> None:
        told.update(values)

    CliRunner().invoke(command, arguments, standalone_mode=False, catch_exceptions=False)
    return told


def given(*arguments: str) -> dict[str, Any]:
    """Those of them that are no None."""
    return {name: value for name, value in run(*arguments).items() if value is not None}


def test_flags_that_are_not_given_leave_the_value_to_the_file() -> None:
    assert run() == dict.fromkeys([*Config.model_fields, "config"])


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        (["--count", "7"], {"count": 7}),
        (["--share", "0.25"], {"share": 0.25}),
        (["--kind", "b"], {"kind": "b"}),
        (["--output", "7"], {"output": "7"}),
        (["--most", "7"], {"most": 7}),
        (["--most", "-7"], {"most": -7}),
        (["--most", "off_diagonal"], {"most": "off_diagonal"}),
        (["--is-deep"], {"is_deep": True}),
        (["--no-is-deep"], {"is_deep": False}),
        (["--id-col", "a, b"], {"id_col": ["a", "b"]}),
        (["--gates", "a >= 1,b < 2"], {"gates": ["a >= 1", "b < 2"]}),
        (["--report"], {"report": True}),
        (["--report", "r.html"], {"report": "r.html"}),
        (["--spark-conf", "a=1", "--spark-conf", "b=c=d"], {"spark_conf": {"a": "1", "b": "c=d"}}),
        (["--config", "c.yaml"], {"config": "c.yaml"}),
    ],
)
def test_a_flag_is_read_as_its_field_needs_it(arguments: list[str], values: dict[str, Any]) -> None:
    assert given(*arguments) == values


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count", "x"], "'x' is not a valid integer"),
        (["--share", "x"], "'x' is not a valid float"),
        (["--spark-conf", "a"], "write KEY=VALUE, with an equals sign"),
    ],
)
def test_a_value_that_a_flag_cannot_take_is_named(arguments: list[str], message: str) -> None:
    with pytest.raises(click.BadParameter, match=message):
        run(*arguments)


def test_the_help_tells_the_meaning_and_the_default_of_each_flag() -> None:
    command = click.command()(config_options(Config)(lambda **_: None))
    help_of = " ".join(CliRunner().invoke(command, ["--help"], terminal_width=200).output.split())
    assert "A number [default: 0.5]" in help_of
    assert "several make a composite key [default: id]; comma-separated" in help_of
    assert "--is-deep / --no-is-deep Yes or no" in help_of
    assert "--most N|METHOD A number or a method" in help_of
    assert "key=value; only keys are recorded; repeatable" in help_of
