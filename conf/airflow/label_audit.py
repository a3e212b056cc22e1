"""Airflow: audit the day's predictions; a failed gate fails the task at once, anything else is tried again.

Needs `cl-spark` (or spark-submit, below) on the workers' PATH. The run is named after the day, so a retry or a backfill replaces
its own rows and no others.
"""

import pendulum
from airflow.exceptions import AirflowFailException
from airflow.sdk import dag, task

PREDICTIONS, OUTPUT = "/lake/predictions", "/lake/audits/vision"
GATES_FAILED, UNUSABLE = 3, 2


@dag(
    schedule="30 2 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": pendulum.duration(minutes=10)},
    tags=["data quality"],
)
def label_audit() -> None:
    """Check, audit, and report what changed since the day before."""

    def run(*arguments: str) -> str:
        import subprocess

        # On YARN or Kubernetes: ["spark-submit", "--master", "yarn", "--py-files", "cl_spark.zip", "jobs/audit_labels.py", ...]
        done = subprocess.run(["cl-spark", *arguments], capture_output=True, text=True, check=False)
        print(done.stdout + done.stderr)
        if done.returncode in (GATES_FAILED, UNUSABLE):  # trying again would not help
            raise AirflowFailException(done.stderr.strip().splitlines()[-1])
        done.check_returncode()
        return done.stdout

    @task
    def validate() -> None:
        run("validate", "--predictions", PREDICTIONS, "--output", OUTPUT)

    @task
    def audit(ds: str | None = None) -> str:
        gates = "overall_health >= 0.9,health_drop <= 0.01"
        return run(
            "audit", "--predictions", PREDICTIONS, "--output", OUTPUT, "--run-id", str(ds), "--gates", gates, "--report", "--json"
        )

    @task
    def changes() -> str:
        return run("history", OUTPUT, "--last", "7", "--json")

    validate() >> audit() >> changes()


label_audit()
