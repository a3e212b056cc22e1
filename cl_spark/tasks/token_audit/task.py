"""The token audit as a task of the run machinery: the label audit of the tokens of sentences."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar, cast

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.methods.tokens.sentences import CONTEXT, POSITION, TOKEN, WHOLE_SENTENCE, Sentences
from cl_spark.methods.tokens.token_audit import NUM_ISSUES, TokenAudit
from cl_spark.report.sections import KeyNumber, Section
from cl_spark.runs.facts import RunFacts, first_reasons
from cl_spark.runs.run import find_allowed_fraction, run_task, too_many_rejected
from cl_spark.runs.steps import Steps
from cl_spark.runs.task import RowCounts, Stage, View, Written
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tables.input_table import InputTable
from cl_spark.tasks.label_audit.stages import check_review_columns
from cl_spark.tasks.label_audit.tables import ISSUES, NUMBERS
from cl_spark.tasks.label_audit.task import AuditExecution, AuditResult, SourceAuditTask
from cl_spark.tasks.token_audit import report
from cl_spark.tasks.token_audit.config import TokenAuditConfig
from cl_spark.tasks.token_audit.tables import (
    COMMON_ISSUES,
    ENTITY_ISSUES,
    INVALID_TAGS,
    SENTENCE_SCORES,
    TABLES,
)


class TokenExecution(AuditExecution):
    """A token audit at work in one run.

    Args:
        config: what to audit, and how.
        audit: the audit.
        predictions: the input.
        examples: the table of tokens and review columns.
    """

    def __init__(
        self, config: TokenAuditConfig, audit: TokenAudit, predictions: InputTable, examples: InputTable
    ) -> None:
        super().__init__(config, audit, predictions, examples=examples)
        self._config, self._tokens, self._input = config, audit, predictions

    def count_rows(self) -> RowCounts:
        """Count tokens; a sentence that cannot be used is one row, whatever it holds, so sentences are judged
        by themselves.

        Raises:
            RejectedRowsError: too many sentences are rejected.
        """
        counts, config = super().count_rows(), self._config
        whole = sum(self._tokens.statistics.rejected[code] for code in WHOLE_SENTENCE)
        if config.position_col is None and whole:
            num_sentences = self._input.df.count()
            if whole > find_allowed_fraction(config) * num_sentences:
                rejected = self.rejected().where(F.col(POSITION).isNull())
                reasons = first_reasons(rejected, config.id_col).collect()
                raise too_many_rejected(reasons, num_sentences, config, [])
        return counts

    def stages(self, steps: Steps, written: Written) -> Iterator[Stage]:
        """Yield the tables of a label audit, and those of sentences and entities."""
        yield from super().stages(steps, written)
        tables = {COMMON_ISSUES: self._tokens.common_issues(written(ISSUES))}
        if self._config.label_scores:
            tables[SENTENCE_SCORES] = self._tokens.sentence_scores(
                score=self._config.rank_by, adjust_pred_probs=self._config.adjust_pred_probs
            )
        if self._config.scheme is not None and not self._tokens.sentences.merge_classes:
            tables[ENTITY_ISSUES] = self._tokens.find_entity_issues(written(ISSUES))
            tables[INVALID_TAGS] = self._tokens.find_invalid_tags()
        yield Stage("writing sentences and entities", tables)


class TokenAuditTask(SourceAuditTask[TokenAuditConfig]):
    """The label audit of tokens: a table of sentences, each token with a label and probabilities."""

    name = "token_audit"
    variant = "tokens"
    help = "Audit a table of sentences whose tokens have labels and predicted probabilities."
    title = report.TITLE
    config = TokenAuditConfig
    counted: ClassVar = ("issues", "tokens")
    tables = TABLES
    numbers = NUMBERS

    def make_audit(
        self, config: TokenAuditConfig, df: DataFrame, labels: InputTable | None = None
    ) -> TokenAudit:
        """Make a `TokenAudit`."""
        return TokenAudit(df, **config.input_arguments)

    def select_examples(self, config: TokenAuditConfig, predictions: InputTable) -> InputTable:
        """Select a row per token, with its context and the columns of its sentence."""
        sentences = Sentences(predictions.df, **config.sentence_arguments)
        more = [col for col in config.review_columns if col != CONTEXT]
        check_review_columns(predictions.df, more, [*config.example_ids, CONTEXT])
        return replace(predictions, df=sentences.select_context(more))

    def execute(
        self, config: TokenAuditConfig, predictions: InputTable, labels: InputTable | None
    ) -> TokenExecution:
        """Check the input against the configuration."""
        audit = self.make_audit(config, predictions.df)
        return TokenExecution(config, audit, predictions, self.select_examples(config, predictions))

    def views(self, run: Run) -> list[View]:
        """Return those of a label audit, and the issues that recur."""
        first, *others = super().views(run)
        common = run.table(COMMON_ISSUES.name).orderBy(F.desc(NUM_ISSUES), TOKEN, c.GIVEN_LABEL)
        headings = {
            TOKEN: "token",
            c.GIVEN_LABEL: "given",
            c.SUGGESTED_LABEL: "suggested",
            NUM_ISSUES: "issues",
        }
        return [first, View("Issues that recur", common, headings), *others]

    def issue_columns(self, run: Run) -> dict[str, str]:
        """Return those of a label audit, with the context in place of the token."""
        columns = super().issue_columns(run)
        if CONTEXT not in run.issues.columns:
            return columns
        shown = (CONTEXT, CONTEXT)
        return dict(shown if name == TOKEN else (name, heading) for name, heading in columns.items())

    def report(self, run: Run, facts: RunFacts, issues: int) -> tuple[Sequence[KeyNumber], Sequence[Section]]:
        """Return the sections of a label audit, and those of recurring issues and entities."""
        numbers, sections = super().report(run, facts, issues)
        return numbers, [*sections, *report.sections(run)]


TOKEN_AUDIT = TokenAuditTask()


def run_token_audit(spark: SparkSession, config: TokenAuditConfig, steps: Steps | None = None) -> AuditResult:
    """Audit a table of sentences, and write the tables of issues and health; its row in `runs` last.

    Args:
        spark: the session.
        config: what to audit, how, and where the results go.
        steps: told of each step as it begins.

    Raises:
        ClSparkError: the configuration, the input or the output cannot be used.
    """
    return cast(AuditResult, run_task(spark, TOKEN_AUDIT, config, steps))
