"""Configurations: flags and file, and what is said of keys that do not fit."""

from pathlib import Path

import pytest
import yaml

from cl_spark.errors import ConfigurationError
from cl_spark.runs.config import load_config
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.terminal.command_line import cli

ROOT = Path(__file__).resolve().parents[2]


def test_every_key_is_a_flag_and_every_flag_a_key() -> None:
    flags = {parameter.name for parameter in cli.commands["audit"].params}
    assert flags == set(AuditConfig.model_fields) | {"config", "as_json"}
    for parameter in cli.commands["audit"].params:
        if parameter.name == "as_json":
            continue
        assert parameter.opts[0] == f"--{parameter.name.replace('_', '-')}"


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        yaml.safe_dump(
            {"sample": "digits", "output": "./a", "frac_noise": 0.5, "spark_conf": {"a": 1, "b": True}}
        )
    )
    merged = load_config(AuditConfig, str(path), {"output": "./b", "spark_conf": {"a": "2"}})
    assert (merged.output, merged.frac_noise, merged.spark_conf) == ("./b", 0.5, {"a": "2", "b": "true"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sample: digits\noutput: ./o\nfilter: x", "filter: unknown key; the keys are predictions, labels"),
        (
            "sample: digits\noutput: ./o\nfrac_noise: 3\nformat: csv",
            "frac_noise: .*got 3\nformat: .*got 'csv'",
        ),
        ("output: ./o", "predictions: needed"),
        ("- a", "must hold keys and values, found list"),
        ("a: [", "is not YAML"),
        ("sample: digits\noutput: ./o\nrun_id: ../x", "run_id: .*got '../x'"),
        ("sample: digits\noutput: ./o\nx: !!python/object/apply:os.system [ls]", "is not YAML"),
    ],
)
def test_unusable_configuration_names_every_key(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        load_config(AuditConfig, str(path), {})


@pytest.mark.parametrize("path", sorted((ROOT / "conf").glob("audit*.yaml")), ids=lambda path: path.name)
def test_example_configurations_are_valid(path: Path) -> None:
    load_config(AuditConfig, str(path), {})
