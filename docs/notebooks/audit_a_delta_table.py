# Databricks notebook source
# MAGIC %md
# MAGIC # Audit a Delta table in five minutes
# MAGIC
# MAGIC A table of handwritten digits: 1,797 images, each with a given label (some are wrong, on purpose) and the probabilities a
# MAGIC model predicted for images it had not seen. We put it into a Delta table, audit it, and look at what was found.
# MAGIC
# MAGIC On Databricks, first run `%pip install 'cl_spark[report]'`. Elsewhere: `pip install 'cl_spark[spark,delta,report]'`.

# COMMAND ----------

import tempfile
from importlib.resources import files

import pandas as pd

from cl_spark import AuditConfig, LabelAudit, read_run, run_audit
from cl_spark.runs.session import start_session

spark = start_session()  # the notebook's own session where it has one
lake = tempfile.mkdtemp()  # on Databricks: a volume, such as "/Volumes/main/default/audits"

# COMMAND ----------

# MAGIC %md
# MAGIC ## The table
# MAGIC
# MAGIC It needs an id, a given label, and predicted probabilities. The sample ships with the package.

# COMMAND ----------

sample = pd.read_parquet(files("cl_spark") / "sample" / "digits.parquet")
spark.createDataFrame(sample).write.format("delta").mode("overwrite").save(f"{lake}/predictions")
predictions = spark.read.format("delta").load(f"{lake}/predictions")
predictions.select("id", "label", "pred_probs").limit(5).toPandas()

# COMMAND ----------

# MAGIC %md
# MAGIC ## The audit
# MAGIC
# MAGIC One call reads the table, finds the issues, and writes the result tables and a report. Running it again with the same
# MAGIC `run_id` replaces that run and no other.

# COMMAND ----------

config = AuditConfig(
    predictions=f"{lake}/predictions",
    output=f"{lake}/audit",
    run_id="first-look",
    review_columns=["image"],  # goes with each issue, for the people who look at it
    report=True,
)
result = run_audit(spark, config)
result

# COMMAND ----------

# MAGIC %md
# MAGIC ## What was found
# MAGIC
# MAGIC The issues are an ordinary table, most suspicious first. `suggested_label` is the class the model finds most probable.

# COMMAND ----------

run = read_run(f"{lake}/audit")
issues = run.issues.orderBy("rank")
issues.select("rank", "id", "given_label", "suggested_label", "label_quality").limit(10).toPandas()

# COMMAND ----------

# MAGIC %md
# MAGIC Seen beside their images (on Databricks, `display(issues)` does that too):

# COMMAND ----------

import base64

from IPython.display import HTML

rows = issues.limit(12).collect()
HTML(
    "".join(
        f'<figure style="display:inline-block;margin:8px;text-align:center">'
        f'<img width=64 src="data:image/png;base64,{base64.b64encode(row.image).decode()}">'
        f"<figcaption>{row.given_label} → {row.suggested_label}</figcaption></figure>"
        for row in rows
    )
)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Which classes suffer
# MAGIC
# MAGIC Label noise is the share of a class's labels that are probably wrong. `overlapping_classes` names the pairs that are confused.

# COMMAND ----------

run.table("class_health").orderBy("label_quality").limit(5).toPandas()

# COMMAND ----------

run.table("overlapping_classes").orderBy("joint_probability", ascending=False).limit(5).toPandas()

# COMMAND ----------

# MAGIC %md
# MAGIC The sample knows its true labels, so here we can check: how many of the issues are real, and how many of the wrong labels
# MAGIC were found?

# COMMAND ----------

truth = predictions.select("id", "label", "true_label")
wrong = truth.where("label <> true_label")
hits = run.issues.join(wrong, "id").count()
print(
    f"{hits} of {result.num_issues} issues are wrong labels; {hits} of {wrong.count()} wrong labels were found"
)
assert hits / result.num_issues > 0.8

# COMMAND ----------

# MAGIC %md
# MAGIC ## Asking more of the same data
# MAGIC
# MAGIC `LabelAudit` answers further questions from what one scan of the data left in Spark's cache, and writes nothing.

# COMMAND ----------

audit = LabelAudit(predictions)
health = audit.health_summary()
health

# COMMAND ----------

strict = audit.find_label_issues(filter_by="both").count()
audit.release()
print(f"{strict} issues by both pruning methods; the report of the run is at {result.report}")
