"""Saving and loading estimators and models: as Spark ML does, with DataFrames only."""

import importlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from pyspark import cloudpickle
from pyspark.ml.util import MLReader, MLWriter
from pyspark.sql import DataFrame, SparkSession

from cl_spark.errors import ConfigurationError, InputError
from cl_spark.tables.spark_errors import SPARK_ERRORS, explain_unreadable


class DirectoryWriter(MLWriter):  # type: ignore[misc, unused-ignore]
    """Writes a directory: metadata as Spark ML writes it, and further parts.

    Args:
        instance: what is saved.
        values: its values that are JSON; beside its Params.
        save_parts: saves its other parts below a path, in a mode of Spark's writers.
        skipped: Params that are among these parts.
    """

    def __init__(
        self,
        instance: Any,
        values: Mapping[str, Any],
        save_parts: Callable[[str, str], None],
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
        mode = "overwrite" if self.shouldOverwrite else "errorifexists"
        defaults, told = instance._defaultParamMap, instance._paramMap
        metadata = {
            "class": f"{type(instance).__module__}.{type(instance).__name__}",
            "timestamp": int(time.time() * 1000),
            "sparkVersion": spark.version,
            "uid": instance.uid,
            "paramMap": {
                param.name: value for param, value in told.items() if param.name not in self._skipped
            },
            "defaultParamMap": {param.name: value for param, value in defaults.items()},
            "values": dict(self._values),
        }
        line = json.dumps(metadata)
        spark.createDataFrame([(line,)], "value string").coalesce(1).write.mode(mode).text(f"{path}/metadata")
        self._save_parts(path, mode)


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
        instance = self._build(metadata, path)
        instance._resetUid(metadata["uid"])
        for name, value in metadata["paramMap"].items():
            instance.set(instance.getParam(name), value)
        return instance


def read_metadata(path: str) -> dict[str, Any]:
    """Read the metadata of something saved."""
    try:
        row = active_session().read.text(f"{path}/metadata").first()
    except SPARK_ERRORS as error:
        raise explain_unreadable(error, path, "path") from error
    if row is None:
        raise InputError(f"path: {path!r} holds no metadata of an estimator or model")
    return dict(json.loads(row.value))


def save_object(thing: Any, path: str, mode: str) -> str:
    """Save an estimator or model: one of Spark ML by its own writer, any other pickled.

    Returns:
        "spark" or "pickle".
    """
    if hasattr(thing, "write"):
        writer = thing.write()
        (writer.overwrite() if mode == "overwrite" else writer).save(path)
        return "spark"
    rows = [(bytearray(cloudpickle.dumps(thing)),)]  # type: ignore[no-untyped-call]
    active_session().createDataFrame(rows, "pickle binary").coalesce(1).write.mode(mode).parquet(path)
    return "pickle"


def load_object(path: str, is_spark: bool) -> Any:
    """Load what `save_object` saved."""
    if not is_spark:
        return cloudpickle.loads(bytes(load_table(path).collect()[0].pickle))
    name = read_metadata(path)["class"].replace("org.apache.spark", "pyspark")
    module, _, cls = name.rpartition(".")
    return getattr(importlib.import_module(module), cls).load(path)


def save_table(frame: DataFrame | None, path: str, mode: str) -> bool:
    """Save a table, if there is one; tell whether there is."""
    if frame is not None:
        frame.write.mode(mode).parquet(path)
    return frame is not None


def load_table(path: str) -> DataFrame:
    """Load a table."""
    return active_session().read.parquet(path)


def active_session() -> SparkSession:
    """Return the active session, in which things are saved and loaded.

    Raises:
        ConfigurationError: there is none.
    """
    spark = SparkSession.getActiveSession()
    if spark is None:
        raise ConfigurationError("there is no active Spark session: start one (cl_spark.start_session())")
    return spark
