"""The functions of the audit take what the methods of `LabelAudit` take."""

import atexit
import gc
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame

from cl_spark import api
from cl_spark.methods.classification.label_audit import LabelAudit

Arguments = dict[str, tuple[Any, Any]]

METHODS = [
    (api.find_label_issues, LabelAudit.find_label_issues),
    (api.label_quality_scores, LabelAudit.label_quality_scores),
    (api.ensemble_label_quality_scores, LabelAudit.ensemble_label_quality_scores),
    (api.confident_thresholds, LabelAudit.confident_thresholds),
    (api.confident_joint, LabelAudit.confident_joint),
    (api.noise_rates, LabelAudit.noise_rates),
    (api.num_label_issues, LabelAudit.num_label_issues),
    (api.health_summary, LabelAudit.health_summary),
]


def arguments(function: Callable[..., Any]) -> Arguments:
    """Default and annotation of each argument that is given by name."""
    parameters = inspect.signature(function).parameters.values()
    return {one.name: (one.default, one.annotation) for one in parameters if one.kind is one.KEYWORD_ONLY}


def test_every_function_is_compared() -> None:
    functions = {name for name, value in vars(api).items() if inspect.isfunction(value)}
    here = {name for name in functions if getattr(api, name).__module__ == api.__name__}
    assert {function.__name__ for function, _ in METHODS} == {name for name in here if name[0] != "_"}


@pytest.mark.parametrize(("function", "method"), METHODS, ids=lambda one: one.__name__)
def test_a_function_takes_the_arguments_of_the_method_with_their_defaults(
    function: Callable[..., Any], method: Callable[..., Any]
) -> None:
    taken, of_method = arguments(function), arguments(method)
    assert {name: taken.get(name) for name in of_method} == of_method


@pytest.mark.parametrize(("function", "method"), METHODS, ids=lambda one: one.__name__)
def test_its_other_arguments_are_those_of_an_audit(
    function: Callable[..., Any], method: Callable[..., Any]
) -> None:
    of_audit = arguments(LabelAudit.__init__)
    others = {name: one for name, one in arguments(function).items() if name not in arguments(method)}
    assert others == {name: of_audit[name] for name in others}
    has_columns = "columns" in inspect.signature(function).parameters
    assert has_columns or {"id_col", "label_col", "pred_probs_col", "class_names"} <= set(others)


@pytest.mark.slow
def test_what_is_derived_of_an_answer_outlives_it(
    df: DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_exit: list[Callable[[], None]] = []
    monkeypatch.setattr(atexit, "register", at_exit.append)
    expected = api.label_quality_scores(df).where("label_quality < 0.5").count()
    lowest = api.label_quality_scores(df, evidence_path=str(tmp_path)).where("label_quality < 0.5")
    gc.collect()
    assert lowest.count() == expected > 0
    at_exit.pop()()
    assert list(tmp_path.iterdir()) == []
