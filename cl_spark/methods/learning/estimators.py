"""Estimators of the user: what is asked of them, and how one is named in a configuration."""

import copy
import importlib
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cl_spark.errors import ConfigurationError

FILLING = ("Imputer", "OneHotEncoder", "KBinsDiscretizer", "TargetEncoder")
"""Ends of the names of scikit-learn's classes that leave no feature missing."""


def is_spark_estimator(estimator: Any) -> bool:
    """Tell whether Spark trains an estimator itself: a classifier of `pyspark.ml`, or a pipeline that ends in
    one.
    """
    if "pyspark.ml.base" not in sys.modules:  # slow to import, and then it is none
        return False
    from pyspark.ml.base import Estimator

    return isinstance(estimator, Estimator)


def check_estimator(estimator: Any) -> None:
    """Check that an estimator can be trained, and predicts probabilities.

    Raises:
        ConfigurationError: it does not; says what to do.
    """
    name = type(estimator).__name__
    if inspect.isclass(estimator):
        raise ConfigurationError(
            f"estimator: {estimator.__name__} is a class; pass an object of it, as in {estimator.__name__}()"
        )
    if is_spark_estimator(estimator):
        last = find_classifier(estimator)
        if not last.hasParam("probabilityCol"):
            raise ConfigurationError(
                f"estimator: {type(last).__name__} of Spark ML predicts no probabilities (it has no "
                "probabilityCol); take one that does, such as LogisticRegression"
            )
        return
    if not callable(getattr(estimator, "fit", None)):
        raise ConfigurationError(
            f"estimator: {name} has no method fit; pass a classifier of scikit-learn or of Spark ML, or an "
            "object with fit(X, y) and predict_proba(X)"
        )
    if not callable(getattr(estimator, "predict_proba", None)):
        raise ConfigurationError(
            f"estimator: {name} has no method predict_proba; take a classifier that predicts probabilities, "
            "or wrap it: sklearn.calibration.CalibratedClassifierCV gives any classifier some"
        )


def find_classifier(estimator: Any) -> Any:
    """Find the classifier of a Spark ML estimator: the last stage of a pipeline, or what a search tunes.

    Raises:
        ConfigurationError: a pipeline does not end in an estimator.
    """
    if estimator.hasParam("stages"):
        stages = estimator.getStages()
        if not stages or not is_spark_estimator(stages[-1]):
            raise ConfigurationError(
                "estimator: the last stage of a Pipeline has to be the classifier, an estimator with a "
                "probabilityCol"
            )
        return find_classifier(stages[-1])
    if estimator.hasParam("estimatorParamMaps"):  # CrossValidator, TrainValidationSplit
        return find_classifier(estimator.getEstimator())
    return estimator


def find_stages(estimator: Any) -> list[Any]:
    """Find the stages of a pipeline of Spark ML, also of one that a search tunes; empty for a classifier."""
    if estimator.hasParam("stages"):
        return list(estimator.getStages())
    if estimator.hasParam("estimatorParamMaps"):
        return find_stages(estimator.getEstimator())
    return []


def find_skipping_stages(estimator: Any) -> list[Any]:
    """Find the stages of a pipeline of Spark ML that are set to drop rows which they cannot use."""
    return [
        stage
        for stage in find_stages(estimator)
        if stage.hasParam("handleInvalid")
        and stage.isDefined("handleInvalid")
        and stage.getOrDefault("handleInvalid") == "skip"
    ]


def find_unset_seeds(estimator: Any) -> list[Any]:
    """Find the seeds, as Params, that an estimator of Spark ML and its parts have and the user did not set.
    Their default is the hash of a name, which differs from one Python process to the next.
    """
    parts = []
    if estimator.hasParam("stages"):
        parts = [part for part in estimator.getStages() if is_spark_estimator(part)]
    elif estimator.hasParam("estimatorParamMaps"):
        parts = [estimator.getEstimator()]
    seeds = [seed for part in parts for seed in find_unset_seeds(part)]
    if estimator.hasParam("seed") and not estimator.isSet("seed"):
        seeds.append(estimator.getParam("seed"))
    return seeds


def own_params(instance: Any, values: Mapping[Any, Any]) -> dict[Any, Any]:
    """Replace Params of a class, such as `LogisticRegression.maxIter`, by those of an object of it: Spark ML
    ignores the former.

    Args:
        instance: the object.
        values: values by Param; Params of other objects stay.
    """
    of_class = {id(getattr(type(instance), param.name, None)): param for param in instance.params}
    return {of_class.get(id(param), param): value for param, value in values.items()}


def takes_missing(estimator: Any) -> bool:
    """Tell whether an estimator says that it takes missing features: by scikit-learn's tag `allow_nan`; a
    pipeline of Spark ML may, as its stages decide.
    """
    if is_spark_estimator(estimator):
        return bool(find_stages(estimator))
    for name in ("estimator", "base_estimator"):  # of a search, or an ensemble of one kind
        inner = getattr(estimator, name, None)
        if hasattr(inner, "fit"):
            return takes_missing(inner)
    steps = _find_steps(estimator)
    if steps:
        for step in steps:
            if not takes_missing(step):
                return False
            if _fills_missing(step):
                return True
        return True
    transformers = _find_transformers(estimator)
    if transformers:
        return all(map(takes_missing, transformers))
    if not hasattr(estimator, "__sklearn_tags__"):
        return False
    try:
        return bool(estimator.__sklearn_tags__().input_tags.allow_nan)
    except Exception:  # of an estimator of others, whose tags are of another version
        return False


def _find_steps(estimator: Any) -> list[Any]:
    """Find the steps of a pipeline of scikit-learn."""
    steps = getattr(estimator, "steps", None)
    return [step for _, step in steps if hasattr(step, "fit")] if isinstance(steps, list) else []


def _find_transformers(estimator: Any) -> list[Any]:
    """Find the transformers of a ColumnTransformer of scikit-learn."""
    parts = getattr(estimator, "transformers", None)
    return [part[1] for part in parts if hasattr(part[1], "fit")] if isinstance(parts, list) else []


def _fills_missing(estimator: Any) -> bool:
    """Tell whether what a step of a pipeline passes on has no missing features: it fills or encodes them."""
    parts = _find_steps(estimator)
    if parts:
        return any(map(_fills_missing, parts))
    parts = _find_transformers(estimator)
    if parts:
        return all(map(_fills_missing, parts)) and getattr(estimator, "remainder", "drop") == "drop"
    return type(estimator).__name__.endswith(FILLING)


def find_weight_argument(estimator: Any) -> str | None:
    """Find the argument of ``fit`` that takes weights of examples: of a pipeline's last step, that step's;
    None if there is none.
    """
    prefix, last = "", estimator
    while isinstance(getattr(last, "steps", None), list) and last.steps:
        name, last = last.steps[-1]
        prefix += f"{name}__"
    try:
        arguments = inspect.signature(last.fit).parameters
    except (TypeError, ValueError):  # a method that tells nothing
        return None
    inner = getattr(last, "estimator", None)
    if "sample_weight" not in arguments and hasattr(inner, "fit") and _takes_any(arguments):
        found = find_weight_argument(inner)  # a search passes on what it is given
        return None if found is None else prefix + found
    return f"{prefix}sample_weight" if "sample_weight" in arguments else None


def _takes_any(arguments: Mapping[str, inspect.Parameter]) -> bool:
    return any(argument.kind is inspect.Parameter.VAR_KEYWORD for argument in arguments.values())


def check_weights(estimator: Any) -> None:
    """Check that an estimator that is not of Spark ML takes weights of examples.

    Raises:
        ConfigurationError: it takes none.
    """
    if find_weight_argument(estimator) is None:
        raise ConfigurationError(
            f"weight_col: {type(estimator).__name__} takes no weights (its fit has no sample_weight): leave "
            "weight_col out, or take another estimator"
        )


def fresh_copy(estimator: Any, seed: int) -> Any:
    """Copy an estimator, untrained. Where it has a ``random_state`` of None, at any depth, it gets a seed, so
    that the same data gives the same model.
    """
    if not hasattr(estimator, "get_params"):
        return copy.deepcopy(estimator)
    try:
        from sklearn.base import clone
    except ModuleNotFoundError:
        fresh = copy.deepcopy(estimator)
    else:
        fresh = clone(estimator)
    unset = [
        name
        for name, value in fresh.get_params(deep=True).items()
        if (name == "random_state" or name.endswith("__random_state")) and value is None
    ]
    if unset:
        fresh.set_params(**dict.fromkeys(unset, seed))
    return fresh


@dataclass(frozen=True)
class RecodedModel:
    """A model that was trained on the classes as 0, 1, 2, ..., and answers in class indices.

    Attributes:
        model: the model.
        classes_: (k,) class index of each class that the model knows.
    """

    model: Any
    classes_: np.ndarray[Any, np.dtype[np.int64]]

    def predict_proba(self, features: Any) -> Any:
        """Predict the probabilities of the classes in `classes_`: (n, k)."""
        return self.model.predict_proba(features)

    def predict(self, features: Any) -> Any:
        """Predict class indices: (n,)."""
        return self.classes_[np.asarray(self.model.predict(features)).astype(np.int64)]


def train(estimator: Any, features: Any, labels: Any, weights: Any, seed: int) -> Any:
    """Train a fresh copy of an estimator.

    Some, such as XGBClassifier, refuse class indices with gaps, where a class has no example. They get 0, 1,
    2, ... instead, and the model is a `RecodedModel`.

    Args:
        estimator: the estimator, which stays as it is.
        features: (n, D) array, (n,) texts or a DataFrame of n rows.
        labels: (n,) class indices.
        weights: (n,) weights; None if there are none.
        seed: of the copy, and of numpy's global generator, which some estimators use.
    """
    try:
        return _fit(estimator, features, labels, weights, seed)
    except ValueError as error:
        present, codes = np.unique(labels, return_inverse=True)
        if not len(present) or len(present) == present[-1] + 1:
            raise
        try:
            return RecodedModel(_fit(estimator, features, codes, weights, seed), present)
        except Exception:
            raise error from None


def _fit(estimator: Any, features: Any, labels: Any, weights: Any, seed: int) -> Any:
    np.random.seed(seed % 2**32)
    argument = None if weights is None else find_weight_argument(estimator)
    fresh = fresh_copy(estimator, seed % 2**32)
    return fresh.fit(features, labels, **({} if argument is None else {argument: weights})) or fresh


def predict_probs(model: Any, features: Any, num_classes: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Predict the probabilities of all classes.

    Args:
        model: a trained estimator. Its ``classes_``, in any order, say which column is of which class;
            without them, column k is of class k.
        features: of n rows.
        num_classes: K.

    Returns:
        (n, K) probabilities; 0 for a class the model has not seen.

    Raises:
        ValueError: the model returns another shape, or values that are no probabilities.
    """
    predicted = np.asarray(model.predict_proba(features), dtype=np.float64)
    classes = np.asarray(getattr(model, "classes_", range(num_classes))).astype(np.int64)
    if predicted.shape != (len(features), len(classes)):
        raise ValueError(
            f"predict_proba returned an array of shape {predicted.shape} for {len(features)} rows and "
            f"{len(classes)} classes"
        )
    if not np.isfinite(predicted).all():
        raise ValueError("predict_proba returned NaN or infinity")
    probs = np.zeros((len(predicted), num_classes))
    probs[:, classes] = predicted
    return probs


def load_estimator(path: str, params: Mapping[str, Any] | None = None) -> Any:
    """Make an estimator from its import path. A path names a class with a method ``fit``, and parameters are
    values: no text is evaluated. Importing a module and making an object of a class run their code, so a
    configuration is to be trusted as a program is.

    Args:
        path: where the class is imported from, as in "sklearn.linear_model.LogisticRegression".
        params: its arguments. A value that is an object with the key "estimator" (a path) and, if need be,
            "params" is made into an estimator too, at any depth: the steps of a pipeline, for instance.

    Raises:
        ConfigurationError: there is no such class, or it does not take the parameters.

    Example:
        >>> load_estimator("sklearn.linear_model.LogisticRegression", {"max_iter": 500})
        LogisticRegression(max_iter=500)
    """
    module_name, _, name = path.rpartition(".")
    try:
        if not module_name.strip("."):
            raise ValueError("it names no module")
        found = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"estimator: cannot import {path!r}: {error}. Give the import path of a class, as in "
            "sklearn.linear_model.LogisticRegression, that is installed here and on the workers"
        ) from error
    if not inspect.isclass(found):
        raise ConfigurationError(f"estimator: {path!r} is a {type(found).__name__}, not a class")
    if not hasattr(found, "fit") and not hasattr(found, "transform"):
        raise ConfigurationError(f"estimator: {path!r} is no estimator: its class has no method fit")
    arguments = {key: _load_nested(value) for key, value in (params or {}).items()}
    try:
        return found(**arguments)
    except Exception as error:
        raise ConfigurationError(
            f"estimator_params: {path} does not take {dict(params or {})!r}: {error}"
        ) from error


def _load_nested(value: Any) -> Any:
    if isinstance(value, list):
        return [_load_nested(item) for item in value]
    if isinstance(value, Mapping):
        if (
            "estimator" in value
            and set(value) <= {"estimator", "params"}
            and isinstance(value["estimator"], str)
        ):
            return load_estimator(value["estimator"], value.get("params"))
        return {key: _load_nested(item) for key, item in value.items()}
    return value
