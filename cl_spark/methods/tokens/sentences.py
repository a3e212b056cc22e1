"""Sentences: an input table of a row per sentence or per token, seen as a table of a row per token."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BooleanType, DataType, IntegralType, NumericType, StringType

from cl_spark.errors import ColumnTypeError, ConfigurationError
from cl_spark.evidence.class_columns import check_class_names, select_index
from cl_spark.evidence.ids import MANY_ROWS, find_repeated_ids
from cl_spark.evidence.partitions import partitions_for
from cl_spark.evidence.prob_columns import (
    field_names,
    is_prob_column,
    is_sparse,
    select_class_columns,
    select_probs,
)
from cl_spark.evidence.validity import RejectionReason
from cl_spark.methods.tokens.tags import TagScheme, merge_names
from cl_spark.tables import columns as c
from cl_spark.tables.columns import is_case_sensitive, quoted, resolve_column

POSITION, TOKEN = "position", "token"
LABEL, PROBS = "label", "pred_probs"
CONTEXT = "context"
"""Column of some tokens before and after a token, which stands in brackets."""

CONTEXT_TOKENS = 10
"""So many tokens before and after it."""

SENTENCE = "sentence"
"""Of a row that stands for a sentence that cannot be used: its arrays."""

_TOKENS, _LABELS, _PROBS = "_tokens", "_labels", "_pred_probs"

WHOLE_SENTENCE = (
    RejectionReason.REPEATED_ID,
    RejectionReason.NULL_SENTENCE,
    RejectionReason.UNEVEN_SENTENCE,
    RejectionReason.NO_TOKENS,
)
"""Reasons of the rows that stand for a whole sentence, where the input has a row per sentence: no others
precede them, and no token has them."""

TAKEN = frozenset(
    (POSITION, TOKEN, LABEL, PROBS, CONTEXT, SENTENCE, "start", "end", "tokens", "kind", "given_entities",
     "suggested_entities", "previous_label", "next_label", _TOKENS, _LABELS, _PROBS, "_repeated", "_rows",
     "_part", "_scores", "_weights", "_parts")
)  # fmt: skip
"""Names that no id or slice column may have."""


@dataclass(frozen=True)
class Sentences:
    """An input table of sentences, and what its columns mean.

    Attributes:
        df: the table: a row per sentence, with arrays, or a row per token.
        id_col: id column of sentences, or the columns of a composite key.
        tokens_col: texts of the tokens of a sentence (an array), or that of the token of the row.
        labels_col: given labels of the tokens (an array), or that of the token of the row.
        pred_probs_col: an array of the K predicted probabilities of each token; or those of the token of the
            row, as `LabelAudit` takes them.
        position_col: of a row per token: its place in the sentence. None of a row per sentence.
        class_names: names of the K classes in the order of the probabilities.
        scheme: of the tags, "BIO" or "BIOES".
        merge_classes: True merges the tags of each kind of entity; or the new name of some classes.
        slice_by: columns for whose values health is told apart.

    Raises:
        ConfigurationError: the arguments contradict each other.
        MissingColumnError: a column is not in the table.
        ColumnTypeError: a column is of a type that cannot be used.
    """

    df: DataFrame
    id_col: str | Sequence[str] = "id"
    tokens_col: str = "tokens"
    labels_col: str = "labels"
    pred_probs_col: str | Sequence[str] = "pred_probs"
    position_col: str | None = None
    class_names: Sequence[str] | None = None
    scheme: str | None = None
    merge_classes: bool | Mapping[str, str] | None = None
    slice_by: Sequence[str] = ()
    _types: dict[str, DataType] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        there = {part.name: part.dataType for part in self.df.schema}
        object.__setattr__(self, "_types", dict(there))
        wanted = {
            "id_col": self.sentence_id,
            "tokens_col": [self.tokens_col],
            "labels_col": [self.labels_col],
            "pred_probs_col": self.prob_columns,
            "position_col": [] if self.position_col is None else [self.position_col],
            "slice_by": self.slice_by,
        }
        if not self.sentence_id:
            raise ConfigurationError(
                "id_col names no column: give the id column of sentences, or the columns of a composite key"
            )
        is_sensitive = is_case_sensitive(self.df.sparkSession)
        for key, cols in wanted.items():
            for col in cols:
                name = resolve_column(key, col, self.df.columns, case_sensitive=is_sensitive)
                self._types[col] = there[name]
        for key in ("id_col", "slice_by"):
            for col in wanted[key]:
                if col.casefold() in TAKEN:
                    raise ConfigurationError(
                        f"{key}: {col!r} is the name of a column of results or of tokens: rename it in the "
                        "input"
                    )
        if self.position_col is None:
            self._check_arrays()
        else:
            self._check_rows(self._types[self.position_col])
        self._check_names()
        num_columns, names = len(self.prob_columns), self.class_names
        if num_columns > 1 and names is not None and len(names) != num_columns:
            raise ConfigurationError(
                f"class_names has {len(names)} names for {num_columns} pred_probs columns"
            )
        if self.merge_classes and self.class_names is None:
            raise ConfigurationError("merge_classes needs class_names: the names of all classes in order")
        if self.scheme is not None and self.class_names is None:
            raise ConfigurationError("scheme needs class_names: the tags in the order of the probabilities")
        if self.scheme is not None:
            TagScheme(self.scheme, self.class_names or ())  # checks both
        if self.merge_classes:
            self._check_merged()
        self._check_different(is_sensitive=is_sensitive)

    # Checks -------------------------------------------------------------------------------------------------

    def _check_different(self, *, is_sensitive: bool) -> None:
        parts = {
            "id_col": self.sentence_id,
            "labels_col": [self.labels_col],
            "pred_probs_col": self.prob_columns,
        }
        cols = [col if is_sensitive else col.casefold() for part in parts.values() for col in part]
        if len({*cols}) < len(cols):
            raise ConfigurationError(f"{', '.join(parts)} must be different columns, got {parts}")

    def _check_arrays(self) -> None:
        for key, col in {"labels_col": self.labels_col, "tokens_col": self.tokens_col}.items():
            if not isinstance(self._types[col], ArrayType):
                raise ColumnTypeError(
                    f"{key}: column {col!r} is {self._types[col].simpleString()}; of a row per sentence it "
                    "must be an array. Of a row per token, name its place in the sentence: position_col"
                )
        col = self.prob_columns[0]
        kind = self._types[col]
        of_token = kind.elementType if isinstance(kind, ArrayType) else None
        is_array = isinstance(of_token, ArrayType) and isinstance(of_token.elementType, NumericType)
        if len(self.prob_columns) > 1 or not is_array:
            raise ColumnTypeError(
                f"pred_probs_col: column {col!r} is {kind.simpleString()}; of a row per sentence it must be "
                "an array that holds an array of K numbers for each token"
            )

    def _check_names(self) -> None:
        names, kind = self.class_names, self._types[self.labels_col]
        check_class_names(names)
        label = kind.elementType if isinstance(kind, ArrayType) else kind
        if not isinstance(label, NumericType | BooleanType | StringType):
            raise ColumnTypeError(
                f"labels_col: column {self.labels_col!r} is {kind.simpleString()}; labels are class indices "
                "(numbers or booleans) or class names (string): cast them"
            )
        if isinstance(label, StringType) and names is None and len(self.prob_columns) == 1:
            raise ConfigurationError(
                f"labels_col: column {self.labels_col!r} holds class names, but nothing says which "
                "probability belongs to which class: pass class_names in the order of the probabilities"
            )

    def _check_rows(self, position: DataType) -> None:
        labels = self._types[self.labels_col]
        if isinstance(labels, ArrayType):
            raise ColumnTypeError(
                f"labels_col: column {self.labels_col!r} is {labels.simpleString()}: the table has a row per "
                "sentence, so leave position_col out"
            )
        if not isinstance(position, IntegralType):
            raise ColumnTypeError(
                f"position_col: column {self.position_col!r} is {position.simpleString()}; the place of a "
                "token in its sentence is a whole number"
            )
        for col in self.prob_columns:
            kind = self._types[col]
            if len(self.prob_columns) > 1 and not isinstance(kind, NumericType):
                raise ColumnTypeError(
                    f"pred_probs_col: column {col!r} is {kind.simpleString()}; it must be a numeric column "
                    "per class"
                )
            if is_sparse(kind) and self.class_names is None:
                raise ConfigurationError(
                    f"class_names: column {col!r} lists some classes only ({kind.simpleString()}): pass "
                    "class_names, which the lists do not tell"
                )

    def _check_merged(self) -> None:
        names = self.known_names or []
        if len(names) < 2:
            raise ConfigurationError(f"merge_classes leaves the one class {names[0]!r}: leave two or more")
        kind = self._types[self.prob_columns[0]]
        if len(self.prob_columns) == 1 and self.position_col is not None and not _is_whole(kind):
            raise ColumnTypeError(
                "merge_classes: probabilities of classes are added, which needs arrays of all classes; "
                f"column {self.prob_columns[0]!r} is {kind.simpleString()}"
            )
        # a field that is no class would be left out of the sums, and its probability lost
        fields = field_names(kind)
        if fields and (differing := sorted({*fields} ^ {*(self.class_names or ())})):
            raise ConfigurationError(
                f"class_names: {differing[0]!r} is not both a class name and a field of column "
                f"{self.prob_columns[0]!r}, which has {', '.join(map(repr, fields))}"
            )

    # Meaning of the columns ---------------------------------------------------------------------------------

    @property
    def sentence_id(self) -> list[str]:
        """Id columns of sentences."""
        return [self.id_col] if isinstance(self.id_col, str) else list(self.id_col)

    @property
    def _slices(self) -> list[str]:
        """Columns of slices that are no ids, each once."""
        fold = str if is_case_sensitive(self.df.sparkSession) else str.casefold
        columns: dict[str, str] = {}
        for col in self.slice_by:
            columns.setdefault(fold(col), col)
        ids = {col.casefold() for col in self.sentence_id}
        return [col for col in columns.values() if col.casefold() not in ids]

    @property
    def token_id(self) -> list[str]:
        """Columns that tell tokens apart: the id of the sentence, the position, and with them the text."""
        return [*self.sentence_id, POSITION, TOKEN]

    @property
    def known_names(self) -> list[str] | None:
        """Names of the classes that are audited: the new ones, where classes are merged."""
        if self.class_names is None:
            return self.prob_columns if len(self.prob_columns) > 1 else None
        if not self.merge_classes:
            return list(self.class_names)
        return list(dict.fromkeys(self._new_names.values()))

    @property
    def _new_names(self) -> dict[str, str]:
        """The name of each class after merging, by its name before."""
        return merge_names(self.merge_classes or {}, self.class_names or (), self.scheme)

    @property
    def prob_columns(self) -> list[str]:
        """Columns of probabilities: one, or of a row per token one of each class."""
        return [self.pred_probs_col] if isinstance(self.pred_probs_col, str) else list(self.pred_probs_col)

    # Rows of tokens -----------------------------------------------------------------------------------------

    def find_repeated_ids(self, persist: Callable[[DataFrame], DataFrame]) -> DataFrame | None:
        """Find the ids that several rows share: those of sentences, or of a row per token those with the
        position. None if there are none.

        Args:
            persist: persists a DataFrame that is read several times.
        """
        ids = self._select(self.sentence_id)
        if self.position_col is not None:
            ids.append(self._select_position())
        rows = self.df.select(*ids)
        num_rows = rows.count()
        return find_repeated_ids(
            rows,
            list(map(quoted, self._row_id)),
            persist,
            num_partitions=partitions_for(num_rows),
            few=num_rows < MANY_ROWS,
        )

    @property
    def _row_id(self) -> list[str]:
        """Columns that tell the rows of the input apart."""
        return self.sentence_id if self.position_col is None else [*self.sentence_id, POSITION]

    def select_tokens(self, repeated_ids: DataFrame | None) -> DataFrame:
        """Select a row per token: the columns of `token_id`, `LABEL`, `PROBS`, slices and `c.REJECTION`.

        A sentence that cannot be used is one row, without a position, that holds all of it as `SENTENCE`.

        Args:
            repeated_ids: ids of several rows, which are rejected; None if there are none, or they were not
                looked for.
        """
        rows = self._select_arrays() if self.position_col is None else self._select_rows()
        if repeated_ids is not None:
            # there may be as many as rows, in a table that was written twice: Spark decides how to join
            repeated = repeated_ids.withColumn("_repeated", _code(RejectionReason.REPEATED_ID))
            rejection = F.coalesce("_repeated", c.REJECTION)
            rows = rows.join(repeated, self._row_id, "left").withColumn(c.REJECTION, rejection)
        if self.position_col is None:
            rows = self._take_apart(rows)
        return self._merge(rows).drop("_repeated")

    def _select_arrays(self) -> DataFrame:
        """Select ids and arrays, and why a sentence cannot be used."""
        cols = [F.col(quoted(col)) for col in (self.tokens_col, self.labels_col, self.prob_columns[0])]
        sizes = F.array(*map(F.size, cols))
        is_null = cols[0].isNull() | cols[1].isNull() | cols[2].isNull()
        rejection = (
            F.when(is_null, _code(RejectionReason.NULL_SENTENCE))
            .when(F.array_min(sizes) < F.array_max(sizes), _code(RejectionReason.UNEVEN_SENTENCE))
            .when(F.size(cols[0]) == 0, _code(RejectionReason.NO_TOKENS))
        )
        return self.df.select(
            *self._select(self.sentence_id),
            *self._select(self._slices),
            *[col.alias(name) for col, name in zip(cols, (_TOKENS, _LABELS, _PROBS), strict=True)],
            rejection.alias(c.REJECTION),
        )

    def _take_apart(self, rows: DataFrame) -> DataFrame:
        """Make a row of each token of a sentence that can be used, and one of each other sentence."""
        is_usable, part = F.col(c.REJECTION).isNull(), F.col("_part")
        whole = F.struct(_TOKENS, _LABELS, _PROBS)
        arrays = F.when(is_usable, F.arrays_zip(_TOKENS, _LABELS, _PROBS))
        kept = list(map(quoted, (*self.sentence_id, *self._slices)))
        return rows.select(
            *kept,
            c.REJECTION,
            F.when(~is_usable, whole).alias(SENTENCE),
            F.posexplode_outer(arrays).alias(POSITION, "_part"),
        ).select(
            *kept,
            F.col(POSITION).cast("bigint").alias(POSITION),
            part.getField(_TOKENS).cast("string").alias(TOKEN),
            part.getField(_LABELS).alias(LABEL),
            part.getField(_PROBS).alias(PROBS),
            SENTENCE,
            c.REJECTION,
        )

    def _select_rows(self) -> DataFrame:
        """Select the rows of a table that has one per token."""
        cols = self.prob_columns
        if len(cols) > 1:
            probs = select_class_columns(cols)
        elif self.merge_classes:
            probs = select_probs(cols[0], self._types[cols[0]], self.class_names or ())
        else:
            probs = F.col(quoted(cols[0]))
        return self.df.select(
            *self._select(self.sentence_id),
            *self._select(self._slices),
            self._select_position(),
            F.col(quoted(self.tokens_col)).cast("string").alias(TOKEN),
            F.col(quoted(self.labels_col)).alias(LABEL),
            probs.alias(PROBS),
            F.lit(None).cast("int").alias(c.REJECTION),
        )

    def _select(self, cols: Sequence[str]) -> list[Column]:
        return [F.col(quoted(col)).alias(col) for col in cols]

    def _select_position(self) -> Column:
        return F.col(quoted(str(self.position_col))).cast("bigint").alias(POSITION)

    def select_row(self) -> Column:
        """Select a row of `select_tokens` as JSON, under the names of the input: a token, or the arrays of a
        sentence that cannot be used.

        Of a token, merged classes are the new ones, where they could be merged; of a sentence, classes are
        those of the input. Probabilities of columns that are merged have the name `PROBS`.
        """
        shared = {name: F.col(quoted(name)) for name in (*self.sentence_id, *self._slices)}
        probs, cols = F.col(PROBS), self.prob_columns
        if len(cols) == 1 or self.merge_classes:
            of_classes = {cols[0] if len(cols) == 1 else PROBS: probs}
        else:
            of_classes = {col: F.get(probs, F.lit(i)) for i, col in enumerate(cols)}
        position = {self.position_col or POSITION: F.col(POSITION)}
        texts = {self.tokens_col: F.col(TOKEN), self.labels_col: F.col(LABEL)}
        token = F.to_json(_struct({**shared, **position, **texts, **of_classes}))
        if self.position_col is not None:
            return token
        sentence, names = F.col(SENTENCE), (self.tokens_col, self.labels_col, cols[0])
        arrays = {
            name: sentence.getField(part)
            for name, part in zip(names, (_TOKENS, _LABELS, _PROBS), strict=True)
        }
        return F.when(sentence.isNotNull(), F.to_json(_struct({**shared, **arrays}))).otherwise(token)

    def select_context(self, more: Sequence[str] = ()) -> DataFrame:
        """Select a row per token for people who look at it: `token_id`, `CONTEXT` and further columns.

        Args:
            more: columns of the table.
        """
        token = F.col(quoted(self.tokens_col))
        if self.position_col is not None:
            ordered = Window.partitionBy(*map(quoted, self.sentence_id)).orderBy(quoted(self.position_col))
            before, after = (
                F.collect_list(token).over(ordered.rowsBetween(*bounds))
                for bounds in ((-CONTEXT_TOKENS, -1), (1, CONTEXT_TOKENS))
            )
            shown = [self._select_position(), token.cast("string").alias(TOKEN), _mark(before, token, after)]
            return self.df.select(*self._select(self.sentence_id), *shown, *self._select(more))
        texts = token.cast("array<string>")
        rows = self.df.select(
            *self._select(self.sentence_id),
            *self._select(more),
            texts.alias(_TOKENS),
            F.posexplode(texts).alias(POSITION, TOKEN),
        )
        position = F.col(POSITION)
        first = F.greatest(position - CONTEXT_TOKENS, F.lit(0))
        before = F.slice(_TOKENS, first + 1, position - first)
        after = F.slice(_TOKENS, position + 2, F.lit(CONTEXT_TOKENS))
        ids, others = map(quoted, self.sentence_id), map(quoted, more)
        marked = _mark(before, F.col(TOKEN), after)
        return rows.select(*ids, position.cast("bigint").alias(POSITION), TOKEN, marked, *others)

    def _merge(self, rows: DataFrame) -> DataFrame:
        """Give rows the merged classes; their probabilities are added."""
        if not self.merge_classes:
            return rows
        before, after = self._new_names, self.known_names or []
        label, probs, kind = F.col(LABEL), F.col(PROBS), rows.schema[LABEL].dataType
        if isinstance(kind, StringType):
            new_names = F.from_json(F.lit(json.dumps(before)), "map<string,string>")
            found, unknown = F.try_element_at(new_names, label), RejectionReason.UNKNOWN_CLASS
        else:
            label = select_index(label, kind, list(before))
            indices = json.dumps([after.index(name) for name in before.values()])
            known = F.when(label.between(0, len(before) - 1), label).cast("int")
            found = F.get(F.from_json(F.lit(indices), "array<bigint>"), known)
            unknown = RejectionReason.LABEL_OUT_OF_RANGE
        members = [[i for i, new in enumerate(before.values()) if new == name] for name in after]
        merged = F.array(*[reduce(add, [F.get(probs, F.lit(i)) for i in of_class]) for of_class in members])
        has_all = F.size(probs) == len(before)
        rejection = F.when(label.isNotNull() & found.isNull(), _code(unknown)).when(
            ~has_all, _code(RejectionReason.WRONG_LENGTH)
        )
        columns = {  # what cannot be merged stays as it is, and its row is rejected
            LABEL: F.coalesce(found, label),
            PROBS: F.when(has_all, merged).otherwise(probs),
            c.REJECTION: F.coalesce(c.REJECTION, rejection),
        }
        others = [F.col(quoted(name)) for name in rows.columns if name not in columns]
        return rows.select(*others, *[value.alias(name) for name, value in columns.items()])


def _mark(before: Column, token: Column, after: Column) -> Column:
    """Show a token in brackets between those around it."""
    parts = [F.array_join(before, " "), F.concat(F.lit("["), token, F.lit("]")), F.array_join(after, " ")]
    return F.trim(F.concat_ws(" ", *parts)).alias(CONTEXT)


def _struct(fields: Mapping[str, Column]) -> Column:
    """Make a struct of some fields."""
    return F.struct(*[value.alias(name) for name, value in fields.items()])


def _is_whole(kind: DataType) -> bool:
    """Tell whether a column holds the probabilities of all classes of a token."""
    return is_prob_column(kind) and not is_sparse(kind)


def _code(reason: RejectionReason) -> Column:
    return F.lit(int(reason))
