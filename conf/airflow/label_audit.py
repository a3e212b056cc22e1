"""Airflow DAG: audit the predictions of a day.

A failed gate or an unusable input fails the task at once; after any other failure Airflow tries again. The
run is named after the day, so a retry or a backfill replaces its own rows and no others. The workers need
`cl-spark` on their PATH, or `spark-submit`: see COMMAND.
"""

import subprocess

import pendulum
from airflow.exceptions import AirflowFailException
from airflow.sdk import dag, task

PREDICTIONS, OUTPUT = "/lake/predictions", "/lake/audits/vision"
GATES = "overall_health >= 0.9,health_drop <= 0.01"
# On YARN or Kubernetes, the task `audit` can instead run "spark-submit --master yarn --py-files cl_spark.zip
# jobs/audit_labels.py" with the same arguments, but without the first, "audit".
COMMAND = "cl-spark"
UNUSABLE, GATES_FAILED = 2, 3  # exit codes after which another try would not help
REPORT_FAILED = 4  # all tables are written, so that the audit is done


def run_command(*arguments: str) -> str:
    """Run a command of cl-spark and return what it prints.

    Raises:
        AirflowFailException: a gate failed, or the configuration or input cannot be used.
        CalledProcessError: the command failed for another reason, and another try may help.
    """
    done = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, check=False)
    print(done.stdout + done.stderr)
    if done.returncode in (UNUSABLE, GATES_FAILED):
        raise AirflowFailException(done.stderr.strip().splitlines()[-1])
    if done.returncode != REPORT_FAILED:
        done.check_returncode()
    return done.stdout


@task
def validate() -> None:
    """Check the first rows of the input."""
    run_command("validate", "--predictions", PREDICTIONS, "--output", OUTPUT)


@task
def audit(ds: str | None = None) -> str:
    """Audit the input and write tables and report."""
    name = ["--run-id", str(ds), "--gates", GATES]
    return run_command("audit", "--predictions", PREDICTIONS, "--output", OUTPUT, *name, "--report", "--json")


@task
def changes() -> str:
    """Print how health and issues changed in the last week."""
    return run_command("history", OUTPUT, "--last", "7", "--json")


@dag(
    schedule="30 2 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": pendulum.duration(minutes=10)},
    tags=["data quality"],
)
def label_audit() -> None:
    """Check the input, audit it, and report what changed."""
    validate() >> audit() >> changes()


label_audit()
