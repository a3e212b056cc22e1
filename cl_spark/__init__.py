"""cl_spark: find wrong labels in tables of any size. Confident learning (Northcutt, Jiang, Chuang, JAIR 2021)
on Spark.
"""

from typing import TYPE_CHECKING, Any

from cl_spark.api import (
    confident_joint,
    confident_thresholds,
    ensemble_label_quality_scores,
    find_label_issues,
    health_summary,
    label_quality_scores,
    noise_rates,
    num_label_issues,
)
from cl_spark.errors import (
    ClSparkError,
    ColumnTypeError,
    ConfigurationError,
    DoubtfulInputError,
    EmptyTableError,
    EstimatorError,
    GatesFailedError,
    InputError,
    MissingColumnError,
    MissingDependencyError,
    OutputError,
    RejectedRowsError,
    RunError,
    SingleClassError,
    SourceChangedError,
)
from cl_spark.methods.annotators.annotator_audit import AnnotatorAudit
from cl_spark.methods.answers.trust_scores import TrustAudit, trust_scores
from cl_spark.methods.checks.data_audit import DataAudit
from cl_spark.methods.classification.health import HealthSummary
from cl_spark.methods.classification.label_audit import LabelAudit
from cl_spark.methods.classification.noise import NoiseRates
from cl_spark.methods.generated.generated_data import GeneratedData
from cl_spark.methods.learning.cross_validation import CrossValidation, cross_val_pred_probs
from cl_spark.methods.learning.flip_labels import flip_labels
from cl_spark.methods.learning.joint_estimate import JointEstimate, estimate_joint
from cl_spark.methods.learning.model_comparison import ModelComparison, benchmark_models
from cl_spark.methods.learning.noise_matrix import noise_matrix, noise_matrix_from_trace
from cl_spark.methods.multilabel.health import MultilabelHealth
from cl_spark.methods.multilabel.multilabel_audit import MultilabelAudit
from cl_spark.methods.neighbors.duplicates import find_duplicates
from cl_spark.methods.neighbors.label_shares import neighbor_pred_probs
from cl_spark.methods.neighbors.neighbor_index import NeighborIndex, nearest_neighbors
from cl_spark.methods.neighbors.outlier_audit import OutlierAudit
from cl_spark.methods.neighbors.smoothing import smooth_pred_probs
from cl_spark.methods.review.correction_run import Corrections
from cl_spark.methods.review.corrections import apply_corrections
from cl_spark.methods.review.label_studio import export_label_studio, read_label_studio
from cl_spark.methods.review.page import export_review_page
from cl_spark.methods.review.review_csv import export_review_csv, read_review_csv
from cl_spark.methods.review.undo import Undone, undo_corrections
from cl_spark.methods.review.validated_quality import ValidatedQuality, validated_quality
from cl_spark.methods.review.verdicts import Verdicts, decide_verdicts
from cl_spark.methods.tokens.token_audit import TokenAudit
from cl_spark.runs.session import start_session
from cl_spark.tables.finished_run import Run, read_run
from cl_spark.tables.schema import RunWarning
from cl_spark.tasks.clean_learning.config import CleanLearningConfig
from cl_spark.tasks.clean_learning.task import run_clean_learning
from cl_spark.tasks.consensus.config import ConsensusConfig
from cl_spark.tasks.consensus.task import run_consensus
from cl_spark.tasks.corrections.config import CorrectionsConfig
from cl_spark.tasks.corrections.task import run_corrections
from cl_spark.tasks.cross_validation.config import CrossValidationConfig
from cl_spark.tasks.cross_validation.task import run_cross_validation
from cl_spark.tasks.data_audit.config import DataAuditConfig
from cl_spark.tasks.data_audit.task import run_data_audit
from cl_spark.tasks.generated_data.config import GeneratedDataConfig
from cl_spark.tasks.generated_data.task import run_generated_data
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.tasks.label_audit.task import AuditResult, run_audit
from cl_spark.tasks.model_comparison.config import ModelComparisonConfig
from cl_spark.tasks.model_comparison.task import run_model_comparison
from cl_spark.tasks.multilabel_audit.config import MultilabelAuditConfig
from cl_spark.tasks.multilabel_audit.task import run_multilabel_audit
from cl_spark.tasks.registry import write_report
from cl_spark.tasks.review_queue.config import ReviewQueueConfig
from cl_spark.tasks.review_queue.queue import review_queue
from cl_spark.tasks.review_queue.task import run_review_queue
from cl_spark.tasks.token_audit.config import TokenAuditConfig
from cl_spark.tasks.token_audit.task import run_token_audit
from cl_spark.tasks.verdicts.config import VerdictsConfig
from cl_spark.tasks.verdicts.task import run_verdicts
from cl_spark.version import __version__

if TYPE_CHECKING:
    from cl_spark.methods.learning.clean_learning import CleanLearning
    from cl_spark.methods.learning.clean_learning_model import CleanLearningModel

__all__ = [
    "AnnotatorAudit",
    "AuditConfig",
    "AuditResult",
    "ClSparkError",
    "CleanLearning",
    "CleanLearningConfig",
    "CleanLearningModel",
    "ColumnTypeError",
    "ConfigurationError",
    "ConsensusConfig",
    "Corrections",
    "CorrectionsConfig",
    "CrossValidation",
    "CrossValidationConfig",
    "DataAudit",
    "DataAuditConfig",
    "DoubtfulInputError",
    "EmptyTableError",
    "EstimatorError",
    "GatesFailedError",
    "GeneratedData",
    "GeneratedDataConfig",
    "HealthSummary",
    "InputError",
    "JointEstimate",
    "LabelAudit",
    "MissingColumnError",
    "MissingDependencyError",
    "ModelComparison",
    "ModelComparisonConfig",
    "MultilabelAudit",
    "MultilabelAuditConfig",
    "MultilabelHealth",
    "NeighborIndex",
    "NoiseRates",
    "OutlierAudit",
    "OutputError",
    "RejectedRowsError",
    "ReviewQueueConfig",
    "Run",
    "RunError",
    "RunWarning",
    "SingleClassError",
    "SourceChangedError",
    "TokenAudit",
    "TokenAuditConfig",
    "TrustAudit",
    "Undone",
    "ValidatedQuality",
    "Verdicts",
    "VerdictsConfig",
    "__version__",
    "apply_corrections",
    "benchmark_models",
    "confident_joint",
    "confident_thresholds",
    "cross_val_pred_probs",
    "decide_verdicts",
    "ensemble_label_quality_scores",
    "estimate_joint",
    "export_label_studio",
    "export_review_csv",
    "export_review_page",
    "find_duplicates",
    "find_label_issues",
    "flip_labels",
    "health_summary",
    "label_quality_scores",
    "nearest_neighbors",
    "neighbor_pred_probs",
    "noise_matrix",
    "noise_matrix_from_trace",
    "noise_rates",
    "num_label_issues",
    "read_label_studio",
    "read_review_csv",
    "read_run",
    "review_queue",
    "run_audit",
    "run_clean_learning",
    "run_consensus",
    "run_corrections",
    "run_cross_validation",
    "run_data_audit",
    "run_generated_data",
    "run_model_comparison",
    "run_multilabel_audit",
    "run_review_queue",
    "run_token_audit",
    "run_verdicts",
    "smooth_pred_probs",
    "start_session",
    "trust_scores",
    "undo_corrections",
    "validated_quality",
    "write_report",
]

_LATE = {
    "CleanLearning": "cl_spark.methods.learning.clean_learning",
    "CleanLearningModel": "cl_spark.methods.learning.clean_learning_model",
}
"""Names that are imported when they are asked for: they need Spark ML, which is slow to import."""


def __getattr__(name: str) -> Any:
    if name in _LATE:
        import importlib

        return getattr(importlib.import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
