"""`TokenAudit`: the label audit of the tokens of sentences."""

import logging
from collections.abc import Mapping, Sequence, Set
from typing import Any, ClassVar

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError, one_line
from cl_spark.evidence.class_columns import find_name, select_index
from cl_spark.evidence.packing import ddl
from cl_spark.evidence.partitions import partitions_for
from cl_spark.evidence.storage import keep_with
from cl_spark.evidence.workers import ArrowFunction, map_in_arrow
from cl_spark.methods.classification.filters import LOWEST
from cl_spark.methods.classification.label_audit import LabelAudit
from cl_spark.methods.classification.ranking import add_rank
from cl_spark.methods.classification.scores import needs_arrays
from cl_spark.methods.tokens.entity_issues import (
    ENTITY_TYPES,
    INVALID_TYPES,
    PARTS,
    START,
    EntityIssues,
    InvalidTags,
)
from cl_spark.methods.tokens.predictions import TokenPredictions
from cl_spark.methods.tokens.sentences import LABEL, POSITION, PROBS, TOKEN, Sentences
from cl_spark.methods.tokens.tags import TagScheme
from cl_spark.tables import columns as c
from cl_spark.tables.columns import quoted
from cl_spark.tables.ids import lacks_id
from cl_spark.tables.pandas_frames import to_spark

logger = logging.getLogger(__name__)

NUM_ISSUES = "issues"
"""Column of `TokenAudit.common_issues`: how often an issue recurs."""

TEMPERATURE = 0.05
"""Temperature of softmin over the tokens of a sentence, unless another is named."""


class TokenAudit(LabelAudit):
    """The audit of the labels of tokens: each token of each sentence is an example.

    It answers all that `LabelAudit` does, of tokens: their ids are those of the sentence, `position` (from 0,
    or that of the input) and `token`. Scores of sentences, issues that recur, and entities come with it. A
    sentence whose arrays do not fit together is rejected as a whole, and has no position then.

    Args:
        df: any Spark DataFrame, classic or Connect, or a pandas DataFrame; a row per sentence, or per token.
        id_col: id column of sentences, or a list of columns for a composite key.
        tokens_col: texts of the tokens: an array; of a row per token its text.
        labels_col: given labels: an array of class indices or names; of a row per token its label.
        pred_probs_col: out-of-sample predicted probabilities: an array that holds an array of K numbers for
            each token; of a row per token its probabilities in any form that `LabelAudit` takes.
        position_col: of a row per token: the column of its place in the sentence, a whole number.
        class_names: names of the K classes in the order of the probabilities; results then show names.
        scheme: "BIO" or "BIOES", where classes are tags such as B-PER, and O for none. Needed for questions
            about entities.
        merge_classes: True makes one class of the tags of each kind of entity (needs `scheme`), or a new name
            for some classes, ``{"B-PER": "PER", "I-PER": "PER"}``. Their probabilities are added.
        slice_by: columns of the table for whose values `slice_health` tells health apart.
        check_ids: look for ids that several sentences (or tokens) share, and reject these. Default True. Say
            False where the table is known to have a key.
        evidence_path: a directory to write the evidence to (Parquet), for sessions that refuse to cache.
            Results have to be read before `release`, which removes what was written.

    Raises:
        ConfigurationError: the arguments contradict each other.
        InputError: a column is missing or unusable (at once), or the rows are (at the first question).

    Source: Wang, Mueller, "Detecting Label Errors in Token Classification Data" (2022).

    Example:
        >>> good, bad = [0.9, 0.1], [0.2, 0.8]
        >>> rows = [("a", ["the", "cat"], [0, 1], [good, bad]), ("b", ["Rome", "is"], [0, 0], [bad, good])]
        >>> schema = "id string, tokens array<string>, labels array<int>, pred_probs array<array<double>>"
        >>> with TokenAudit(spark.createDataFrame(rows, schema), class_names=["other", "name"]) as audit:
        ...     issue = audit.find_label_issues(filter_by="predicted_neq_given").first()
        >>> issue.id, issue.position, issue.token, issue.given_label, issue.suggested_label
        ('b', 0, 'Rome', 'other', 'name')
    """

    _title: ClassVar = "Token audit"

    def __init__(
        self,
        df: DataFrame | pd.DataFrame,
        *,
        id_col: str | Sequence[str] = "id",
        tokens_col: str = "tokens",
        labels_col: str = "labels",
        pred_probs_col: str | Sequence[str] = "pred_probs",
        position_col: str | None = None,
        class_names: Sequence[str] | None = None,
        scheme: str | None = None,
        merge_classes: bool | Mapping[str, str] | None = None,
        slice_by: Sequence[str] = (),
        check_ids: bool = True,
        evidence_path: str | None = None,
    ) -> None:
        self.sentences = Sentences(
            to_spark(df, None),
            id_col=id_col,
            tokens_col=tokens_col,
            labels_col=labels_col,
            pred_probs_col=pred_probs_col,
            position_col=position_col,
            class_names=class_names,
            scheme=scheme,
            merge_classes=merge_classes,
            slice_by=slice_by,
        )
        self._check_ids = check_ids
        super().__init__(
            self.sentences.select_tokens(None),
            id_col=self.sentences.token_id,
            label_col=LABEL,
            pred_probs_col=PROBS,
            class_names=self.sentences.known_names,
            check_ids=False,  # those of sentences are checked, before these are taken apart
            slice_by=slice_by,
            evidence_path=evidence_path,
        )

    def _make_predictions(self, df: DataFrame, **columns: Any) -> TokenPredictions:
        """Make the predictions of tokens, whose messages name the columns of the input."""
        return TokenPredictions(
            df,
            **columns,
            sentences=self.sentences,
            check_sentence_ids=self._check_ids,
            persist=self._storage.persist,
        )

    def find_label_issues(
        self,
        *,
        filter_by: str = "prune_by_noise_rate",
        rank_by: str = "self_confidence",
        adjust_pred_probs: bool = False,
        frac_noise: float = 1.0,
        num_to_remove_per_class: Sequence[int] | None = None,
        min_examples_per_class: int = 1,
        num_issues: int | str | None = None,
        tokens: Sequence[str] | None = None,
        classes: Sequence[str | int] | None = None,
    ) -> DataFrame:
        """Find the tokens whose label is probably wrong, and rank them.

        Args:
            filter_by: as in `LabelAudit.find_label_issues`, and so all others but the last two.
            rank_by: label quality score that ranks the issues.
            adjust_pred_probs: rank by scores of adjusted probabilities.
            frac_noise: share of the estimated noise to prune.
            num_to_remove_per_class: K numbers, how many of each given class to prune.
            min_examples_per_class: tokens every class keeps.
            num_issues: how many issues the two low_* filters take.
            tokens: keep the issues of these texts only. Ranks stay those among all issues.
            classes: keep the issues whose given or suggested label is one of these only.

        Returns:
            The id columns of the sentence, position, token, given_label, suggested_label, label_quality,
            self_confidence, normalized_margin, rank (1 = worst; ties go to the lower id, then to the lower
            position).

        Raises:
            ConfigurationError: an option is unknown, out of range, or does not go with the filter.
        """
        issues = super().find_label_issues(
            filter_by=filter_by,
            rank_by=rank_by,
            adjust_pred_probs=adjust_pred_probs,
            frac_noise=frac_noise,
            num_to_remove_per_class=num_to_remove_per_class,
            min_examples_per_class=min_examples_per_class,
            num_issues=num_issues,
        )
        wanted = None if classes is None else self._check_classes("classes", _listed("classes", classes))
        if tokens is not None:
            texts = [str(text) for text in _listed("tokens", tokens)]
            issues = issues.where(F.col(TOKEN).isin(*texts))
            if self._lists_issues_quickly(filter_by, rank_by, adjust_pred_probs):
                warn_of_unseen_texts(texts, issues)
        if wanted is not None:
            issues = issues.where(F.col(c.GIVEN_LABEL).isin(*wanted) | F.col(c.SUGGESTED_LABEL).isin(*wanted))
        return keep_with(issues, self)

    def common_issues(
        self, issues: DataFrame | None = None, *, exclude: Sequence[tuple[str | int, str | int]] = ()
    ) -> DataFrame:
        """Count the issues of each text, given and suggested label: those that recur may be a rule misread.

        Args:
            issues: as `find_label_issues` returns them; default: by its defaults.
            exclude: pairs of given and suggested label to leave out.

        Returns:
            token, given_label, suggested_label, issues; the most frequent first.

        Raises:
            ConfigurationError: `exclude` holds something else than pairs of classes.
        """
        pairs = [self._check_classes("exclude", _read_pair("exclude", pair)) for pair in exclude]
        issues = self.find_label_issues() if issues is None else issues
        for given, suggested in pairs:
            issues = issues.where((F.col(c.GIVEN_LABEL) != given) | (F.col(c.SUGGESTED_LABEL) != suggested))
        kind = [TOKEN, c.GIVEN_LABEL, c.SUGGESTED_LABEL]
        counted = issues.groupBy(*kind).agg(F.count("*").alias(NUM_ISSUES))
        return keep_with(counted.orderBy(F.desc(NUM_ISSUES), *kind), self)

    def sentence_scores(
        self,
        *,
        method: str = "min",
        temperature: float | None = None,
        score: str = "self_confidence",
        adjust_pred_probs: bool = False,
    ) -> DataFrame:
        """Score sentences by the label quality of their tokens; lower means that one is more likely wrong.

        Args:
            method: "min", the lowest score of a token; or "softmin", the mean of the scores s weighted by
                ``exp((1 - s) / temperature)``.
            temperature: of softmin, above 0: the lower, the nearer to the minimum. Default None is 0.05.
            score: label quality score of tokens; see `LabelAudit.label_quality_scores`.
            adjust_pred_probs: score adjusted probabilities.

        Returns:
            The id columns of the sentence, label_quality. Tokens that were rejected do not count.

        Raises:
            ConfigurationError: an option is unknown, out of range, or does not go with the method.
        """
        if method not in ("min", "softmin"):
            raise ConfigurationError(f"method={method!r} is unknown; choose 'min' or 'softmin'")
        if temperature is None:
            temperature = TEMPERATURE
        elif method == "min":
            raise ConfigurationError(
                f"temperature={temperature!r} goes with method='softmin': name that method, or leave it out"
            )
        if not 0 < temperature < float("inf"):
            raise ConfigurationError(f"temperature={temperature!r} must be a number above 0")
        scored = self.label_quality_scores(method=score, adjust_pred_probs=adjust_pred_probs)
        quality = F.col(c.LABEL_QUALITY)
        ids = list(map(quoted, self.sentences.sentence_id))
        if method == "min":
            return keep_with(scored.groupBy(*ids).agg(F.min(quality).alias(c.LABEL_QUALITY)), self)
        parts = F.array_sort(F.collect_list(F.struct(POSITION, c.LABEL_QUALITY)))
        rows = scored.groupBy(*ids).agg(parts.getField(c.LABEL_QUALITY).alias("_scores"))
        # the lowest score is taken off all, which changes no weight and lets none overflow
        weights = F.transform("_scores", lambda s: F.exp((F.array_min("_scores") - s) / temperature))
        rows = rows.withColumn("_weights", weights)
        total = F.aggregate("_weights", F.lit(0.0), lambda a, w: a + w)
        weighted = F.zip_with("_scores", "_weights", lambda s, w: s * w)
        mean = F.aggregate(weighted, F.lit(0.0), lambda a, s: a + s) / total
        return keep_with(rows.select(*ids, mean.alias(c.LABEL_QUALITY)), self)

    def find_entity_issues(self, issues: DataFrame | None = None) -> DataFrame:
        """Find the entities whose tags are probably wrong: what is given, and what takes its place.

        Tags of issues are replaced by those that are suggested, and entities read before and after. Entities
        that overlap are one row.

        Args:
            issues: as `find_label_issues` returns them; default: by its defaults.

        Returns:
            The id columns of the sentence; start and end, the positions of the first token and after the last
            one; tokens, their texts; given_entities and suggested_entities, arrays of (entity, start, end);
            kind: "missing" (nothing is given), "not_an_entity" (nothing is suggested), "type", "boundary",
            "type_and_boundary", or "tags" where both say the same in other tags; label_quality, the lowest of
            the issues; rank.

        Raises:
            ConfigurationError: the audit has no scheme, or merges classes.
        """
        tags = self._read_tags("find_entity_issues")
        issues = self.find_label_issues() if issues is None else issues
        sentence = self.sentences.sentence_id
        ids = list(map(quoted, sentence))
        rows = self._list_tokens().join(issues.select(*ids).distinct(), sentence, "left_semi")
        read = self.label_quality_scores().select(*ids, POSITION, c.GIVEN_LABEL, c.PREDICTED_LABEL)
        rows = rows.select(*ids, POSITION, TOKEN).join(read, [*sentence, POSITION], "left")
        rows = rows.join(issues.select(*ids, POSITION, c.LABEL_QUALITY), [*sentence, POSITION], "left")
        parts = [POSITION, TOKEN, c.GIVEN_LABEL, c.PREDICTED_LABEL, c.LABEL_QUALITY]
        names, key = self.sentences.class_names or (), self._ids
        found = self._map_sentences(rows, parts, EntityIssues(tags.arrays, names, key), ENTITY_TYPES)
        ranked = add_rank(found, c.LABEL_QUALITY, [*key, START], c.RANK, few=self._scan.few_suspects)
        return keep_with(ranked.select(*self._restore_ids(), *ENTITY_TYPES, c.RANK), self)

    def find_invalid_tags(self) -> DataFrame:
        """Find the given tags that break the scheme, such as I-PER after O.

        Returns:
            The id columns of the sentence, position, token, given_label, previous_label and next_label (null
            where the sentence begins or ends), reason. Beside labels that are no class, nothing is told.

        Raises:
            ConfigurationError: the audit has no scheme, or merges classes.
        """
        tags = self._read_tags("find_invalid_tags")
        names, kind = list(self.sentences.class_names or ()), self.predictions.df.schema[LABEL].dataType
        label = F.col(LABEL)
        if not self.predictions.labels_are_names:
            index = select_index(label, kind, names)
            label = find_name(F.when(index.between(0, len(names) - 1), index), names)
        is_judged = F.col(c.REJECTION).isNull() & F.col(TOKEN).isNotNull()
        rows = self._list_tokens().withColumn(c.GIVEN_LABEL, F.when(is_judged, label))
        parts = [POSITION, TOKEN, c.GIVEN_LABEL]
        found = self._map_sentences(rows, parts, InvalidTags(tags.arrays, names, self._ids), INVALID_TYPES)
        return keep_with(found.select(*self._restore_ids(), *INVALID_TYPES), self)

    def _check_classes(self, option: str, classes: list[str | int]) -> list[str | int]:
        """Return classes, if all of them are known: by name, or by index where results show indices."""
        known: Sequence[str | int] = self.predictions.names or range(self.num_classes)
        unknown = [name for name in classes if name not in known]
        if unknown:
            raise ConfigurationError(f"{option}: {unknown[0]!r} is no class; there are {_some(known)}")
        return classes

    def _lists_issues_quickly(self, filter_by: str, rank_by: str, adjust_pred_probs: bool) -> bool:
        """Tell whether the issues are few, and found and ranked from what is kept of the suspects."""
        of_suspects = filter_by not in (*LOWEST, "off_diagonal")
        return of_suspects and not needs_arrays(rank_by, adjust_pred_probs) and self._scan.few_suspects

    def _read_tags(self, question: str) -> TagScheme:
        if self.sentences.scheme is None:
            raise ConfigurationError(f"{question} reads tags: pass scheme='BIO' or 'BIOES' to TokenAudit")
        if self.sentences.merge_classes:
            raise ConfigurationError(
                f"{question} reads tags, which merge_classes has merged: leave merge_classes out"
            )
        return TagScheme(self.sentences.scheme, self.sentences.class_names or ())

    @property
    def _ids(self) -> list[str]:
        """Id columns of sentences within the evidence."""
        return self.predictions.ids[: len(self.sentences.sentence_id)]

    def _restore_ids(self) -> list[Column]:
        return self.predictions.restore_ids()[: len(self._ids)]

    def _list_tokens(self) -> DataFrame:
        """List the tokens of all sentences that can be taken apart, those that are rejected too."""
        rows = self.predictions.rows.where(F.col(POSITION).isNotNull())
        return rows.where(~lacks_id(rows, self.sentences.sentence_id))

    def _map_sentences(
        self, rows: DataFrame, parts: Sequence[str], function: ArrowFunction, types: Mapping[str, str]
    ) -> DataFrame:
        """Map a function over sentences: each a row of its ids, and of its tokens sorted by position."""
        ids = zip(self.sentences.sentence_id, self._ids, strict=True)
        narrow = rows.select(*[F.col(quoted(col)).alias(name) for col, name in ids], *parts)
        tokens = F.array_sort(F.collect_list(F.struct(*parts))).alias(PARTS)
        spread = narrow.repartition(partitions_for(self.num_examples), *self._ids)
        id_types = {name: self.predictions.id_types[name] for name in self._ids}
        return map_in_arrow(spread.groupBy(*self._ids).agg(tokens), function, ddl({**id_types, **types}))


def warn_of_unseen_texts(texts: Sequence[str | int], issues: DataFrame) -> None:
    """Log a warning that names the texts that no issue has: they may be misspelt.

    Args:
        texts: texts of tokens.
        issues: those of these texts, few.
    """
    seen = {row[TOKEN] for row in issues.select(TOKEN).distinct().collect()}
    unseen = [one_line(text) for text in texts if str(text) not in seen]
    if unseen:
        logger.warning(
            "tokens: no issue has the text %s. Texts are compared as a whole, and by upper and lower case",
            _some(unseen),
        )


def _listed(option: str, values: Sequence[str | int]) -> list[str | int]:
    if isinstance(values, str):
        raise ConfigurationError(f"{option} must be a list, not the text {values!r}")
    return list(values)


def _read_pair(option: str, pair: Any) -> list[str | int]:
    """Read a pair of given and suggested label: a set of two has no order, and a text of two is no pair."""
    if isinstance(pair, str | Set) or not hasattr(pair, "__len__") or len(pair) != 2:
        raise ConfigurationError(
            f"{option}: {pair!r} is no pair: give a list of pairs of given and suggested label, such as "
            "[('B-PER', 'I-PER')]"
        )
    return list(pair)


def _some(classes: Sequence[str | int]) -> str:
    shown = ", ".join(map(repr, classes[:10]))
    return f"{shown} and {len(classes) - 10} more" if len(classes) > 10 else shown
