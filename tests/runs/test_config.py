"""Configurations: flags and file, and what is said of keys that do not fit."""

from pathlib import Path

import pytest
import yaml

from cl_spark.errors import ConfigurationError
from cl_spark.runs.config import load_config
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.tasks.registry import SOURCE_TASKS
from cl_spark.terminal.command_line import cli, load_task

ROOT = Path(__file__).resolve().parents[2]


def test_every_key_is_a_flag_and_every_flag_a_key() -> None:
    flags = {parameter.name for parameter in cli.commands["audit"].params}
    keys = {key for task in SOURCE_TASKS for key in task.config.model_fields}
    assert flags == keys | {"config", "as_json"}
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
    ("text", "value"),
    [
        ("run_id: 2026-01-31", "2026-01-31"),
        ("run_id: 20260131", "20260131"),
        ("run_id:", None),
        ("class_names: [1, 2.5, True, 1e3]", ["1", "2.5", "True", "1e3"]),
        ("class_names: ['no', \"01\"]", ["no", "01"]),
        ("source_timestamp: 2026-01-31 02:00:00", "2026-01-31 02:00:00"),
        ("spark_conf: {a: 01, b: no, c: 1.50}", {"a": "01", "b": "false", "c": "1.50"}),
    ],
)
def test_text_that_yaml_takes_for_something_else_stays_as_it_is_written(
    tmp_path: Path, text: str, value: object
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"predictions: ./p\noutput: ./o\n{text}\n")
    assert getattr(load_config(AuditConfig, str(path), {}), text.split(":")[0]) == value


def test_a_flag_mends_what_the_file_spells_wrong(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("sample: digits\noutput: ./o\nclass_names: [no, yes]\n")
    assert load_config(AuditConfig, str(path), {"class_names": ["a", "b"]}).class_names == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "sample: digits\noutput: ./o\nfilter: x",
            "filter: unknown key; the keys are predictions, ",
        ),
        (
            "sample: digits\noutput: ./o\nfrac_noise: 3\nformat: csv",
            "frac_noise: .*got 3\nformat: .*got 'csv'",
        ),
        ("output: ./o", "predictions: needed"),
        ("class_names: [no, yes]", "class_names: YAML reads no as False: put quotes round it"),
        ("class_names: ['1', 01]", "class_names: YAML reads 01 as 1: put quotes round it"),
        (
            "class_names: [1.50, b]\nrun_id: 1_0",
            "class_names: YAML reads 1.50 .*\nrun_id: YAML reads 1_0 as 10",
        ),
        ("label_col: on", "label_col: YAML reads on as True"),
        ("class_names: [a, null]", "class_names: YAML reads null as None"),
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


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_is_read_in_the_encodings_of_yaml(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("sample: digits\noutput: ./sch\u00f6n", encoding=encoding)
    assert load_config(AuditConfig, str(path), {}).output == "./sch\u00f6n"


def test_a_file_in_another_encoding_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes("sample: digits\noutput: ./sch\u00f6n".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"c.yaml' is not text in UTF-8: .*save it as UTF-8"):
        load_config(AuditConfig, str(path), {})


def test_a_key_without_a_value_has_its_default(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("sample: digits\noutput: ./o\nspark_conf:\n  # spark.ui.enabled: true\ngates:\n")
    read = load_config(AuditConfig, str(path), {})
    assert (read.spark_conf, read.gates) == ({}, [])
    assert load_config(AuditConfig, str(path), {"spark_conf": {"a": "1"}}).spark_conf == {"a": "1"}


@pytest.mark.parametrize("path", sorted((ROOT / "conf").glob("audit*.yaml")), ids=lambda path: path.name)
def test_example_configurations_are_valid(path: Path) -> None:
    load_task(SOURCE_TASKS, str(path), {})


def test_values_of_spark_settings_go_nowhere(tmp_path: Path) -> None:
    secret = "TOPSECRET"
    config = AuditConfig(sample="digits", output="./a", spark_conf={"fs.s3a.secret.key": secret})
    assert config.spark_conf == {"fs.s3a.secret.key": secret}, "the session gets it"
    assert "fs.s3a.secret.key" in config.model_dump_json()
    assert secret not in config.model_dump_json() + repr(config) + str(config)
    assert AuditConfig.model_validate_json(config.model_dump_json()).spark_conf == {"fs.s3a.secret.key": ""}
    path = tmp_path / "c.yaml"
    for text in (f"spark_conf: {secret}", f"spark_conf: {{a: {{b: {secret}}}", f"spark_conf: [{secret}]"):
        path.write_text(f"sample: digits\noutput: ./a\n{text}")
        with pytest.raises(ConfigurationError) as raised:
            load_config(AuditConfig, str(path), {})
        assert secret not in str(raised.value)
