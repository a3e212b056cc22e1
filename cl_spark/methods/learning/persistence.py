"""Saving and loading estimators and models: as Spark ML does, with DataFrames only."""

import importlib
import json
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from pyspark import cloudpickle
from pyspark.ml.util import MLReader, MLWriter
from pyspark.sql import DataFrame, SparkSession

from cl_spark.errors import ConfigurationError, InputError, OutputError
from cl_spark.tables.location import escaped, remove_directory
from cl_spark.tables.spark_errors import NOT_FOUND, SPARK_ERRORS, error_condition, explain_unreadable


class DirectoryWriter(MLWriter):  # type: ignore[misc, unused-ignore]
    """Writes a directory: metadata as Spark ML writes it, and further parts.

    Args:
        instance: what is saved.
        values: its values that are JSON; beside its Params.
        save_parts: saves its other parts below a path.
        skipped: Params that are among these parts.
    """

    def __init__(
        self,
        instance: Any,
        values: Mapping[str, Any],
        save_parts: Callable[[str], None],
        skipped: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self._instance, self._values, self._save_parts, self._skipped = instance, values, save_parts, skipped

    def save(self, path: str) -> None:
        """Save to a directory.

        Raises:
            OutputError: there is something already, and `overwrite` was not called.
        """
        instance, spark = self._instance, active_session()
        before = _find_metadata(path)
        if before is not None and not self.shouldOverwrite:
            raise OutputError(
                f"path: something is saved in {path!r} already: say write().overwrite().save(path)"
            )
        if getattr(instance, "_loaded_from", None) == path:
            raise OutputError(
                f"path: this was loaded from {path!r}, and reads its tables there: save it elsewhere"
            )
        # the parts go to a directory of their own; the metadata name it, and replace those before last
        parts = f"parts-{uuid.uuid4().hex[:12]}"
        self._save_parts(f"{path}/{parts}")
        defaults, values = instance._defaultParamMap, instance._paramMap
        metadata = {
            "class": f"{type(instance).__module__}.{type(instance).__name__}",
            "timestamp": int(time.time() * 1000),
            "sparkVersion": spark.version,
            "uid": instance.uid,
            "paramMap": {
                param.name: value for param, value in values.items() if param.name not in self._skipped
            },
            "defaultParamMap": {param.name: value for param, value in defaults.items()},
            "values": {**self._values, "parts": parts},
        }
        line = json.dumps(metadata)
        rows = spark.createDataFrame([(line,)], "value string").coalesce(1)
        rows.write.mode("overwrite").text(f"{path}/metadata")
        if before is not None and "parts" in before.get("values", {}):
            remove_directory(spark, f"{path}/{before['values']['parts']}", "path")


class DirectoryReader(MLReader):  # type: ignore[misc, type-arg, unused-ignore]
    """Reads what a `DirectoryWriter` wrote.

    Args:
        build: makes the instance of its metadata and its path.
    """

    def __init__(self, build: Callable[[Mapping[str, Any], str], Any]) -> None:
        super().__init__()
        self._build = build

    def load(self, path: str) -> Any:
        """Load from a directory. Python objects in it are unpickled, which runs code: load only what you
        trust.
        """
        metadata = read_metadata(path)
        instance = self._build(metadata, f"{path}/{metadata['values']['parts']}")
        instance._loaded_from = path
        instance._resetUid(metadata["uid"])
        for name, value in metadata["paramMap"].items():
            instance.set(instance.getParam(name), value)
        return instance


def read_metadata(path: str) -> dict[str, Any]:
    """Read the metadata of something saved.

    Raises:
        InputError: there is nothing.
    """
    found = _find_metadata(path)
    if found is None:
        raise InputError(f"path: no estimator or model is saved in {path!r}")
    return found


def _find_metadata(path: str) -> dict[str, Any] | None:
    try:
        row = active_session().read.text(escaped(f"{path}/metadata")).first()
    except SPARK_ERRORS as error:
        if error_condition(error) in NOT_FOUND:
            return None
        raise explain_unreadable(error, path, "path") from error
    return None if row is None else dict(json.loads(row.value))


def save_object(thing: Any, path: str) -> None:
    """Save an estimator or model: one of Spark ML by its own writer, any other pickled."""
    if hasattr(thing, "write"):
        thing.write().save(path)
        return
    rows = [(bytearray(cloudpickle.dumps(thing)),)]  # type: ignore[no-untyped-call]
    active_session().createDataFrame(rows, "pickle binary").coalesce(1).write.parquet(path)


def load_object(path: str, is_spark: bool) -> Any:
    """Load what `save_object` saved."""
    if not is_spark:
        return cloudpickle.loads(bytes(load_table(path).collect()[0].pickle))
    row = active_session().read.text(escaped(f"{path}/metadata")).first()
    name = json.loads(row.value)["class"].replace("org.apache.spark", "pyspark")  # type: ignore[union-attr]
    module, _, cls = name.rpartition(".")
    return getattr(importlib.import_module(module), cls).load(path)


def save_table(frame: DataFrame | None, path: str) -> None:
    """Save a table, if there is one."""
    if frame is not None:
        frame.write.parquet(path)


def load_table(path: str) -> DataFrame:
    """Load a table.

    Raises:
        InputError: it is not there, or cannot be read.
    """
    try:
        return active_session().read.parquet(escaped(path))
    except SPARK_ERRORS as error:
        raise explain_unreadable(error, path, "path") from error


def active_session() -> SparkSession:
    """Return the active session, in which things are saved and loaded.

    Raises:
        ConfigurationError: there is none.
    """
    spark = SparkSession.getActiveSession()
    if spark is None:
        raise ConfigurationError("there is no active Spark session: start one (cl_spark.start_session())")
    return spark
