# Databricks notebook source
# MAGIC %md
# MAGIC # Audit a Delta table in five minutes
# MAGIC
# MAGIC This notebook audits a table of 1,797 handwritten digits. Each has a given label, some of them wrong on purpose, and the
# MAGIC probabilities that a model predicted without having seen the image. We put the table into Delta, audit it, and look at
# MAGIC the label issues.
# MAGIC
# MAGIC The package is not published yet. On Databricks, install its wheel and `altair` and `vl-convert-python` for the report.
# MAGIC Elsewhere, from a checkout: `pip install '.[spark,delta,report]'`.

# COMMAND ----------

import tempfile
from importlib.resources import files

import pandas as pd

from cl_spark import AuditConfig, LabelAudit, read_run, run_audit, start_session

spark = start_session()  # returns the notebook's own session if there is one
lake = tempfile.mkdtemp()  # on Databricks: a volume, such as "/Volumes/main/default/audits"

# COMMAND ----------

# MAGIC %md
# MAGIC ## The table
# MAGIC
# MAGIC An audit needs an id, a given label, and predicted probabilities. This sample ships with the package.

# COMMAND ----------

sample = pd.read_parquet(files("cl_spark") / "sample" / "digits.parquet")
spark.createDataFrame(sample).write.format("delta").mode("overwrite").save(f"{lake}/predictions")
predictions = spark.read.format("delta").load(f"{lake}/predictions")
predictions.select("id", "label", "pred_probs").limit(5).toPandas()

# COMMAND ----------

# MAGIC %md
# MAGIC ## The audit
# MAGIC
# MAGIC One call reads the table, finds the issues, and writes the result tables and a report. If you run it again with the same
# MAGIC `run_id`, it replaces that run and no other.

# COMMAND ----------

config = AuditConfig(
    predictions=f"{lake}/predictions",
    output=f"{lake}/audit",
    run_id="first-look",
    review_columns=["image"],  # copied to each issue, for the people who review it
    report=True,
)
result = run_audit(spark, config)
result

# COMMAND ----------

# MAGIC %md
# MAGIC ## The issues
# MAGIC
# MAGIC The issues are an ordinary table. Rank 1 is the most suspicious label. `suggested_label` is the class that the model finds
# MAGIC most probable.

# COMMAND ----------

run = read_run(f"{lake}/audit")
issues = run.issues.orderBy("rank")
issues.select("rank", "id", "given_label", "suggested_label", "label_quality").limit(10).toPandas()

# COMMAND ----------

# MAGIC %md
# MAGIC Here they are with their images (on Databricks, `display(issues)` shows them too):

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
# MAGIC ## The worst classes
# MAGIC
# MAGIC `label_noise` is the estimated share of wrong labels among those of a class, and `class_quality` is 1 minus that share.
# MAGIC `overlapping_classes` has the pairs of classes that are confused with each other.

# COMMAND ----------

run.table("class_health").orderBy("class_quality").limit(5).toPandas()

# COMMAND ----------

run.table("overlapping_classes").orderBy("joint_probability", ascending=False).limit(5).toPandas()

# COMMAND ----------

# MAGIC %md
# MAGIC The sample has the true labels too, so here we can check two things: how many issues are wrong labels, and how many wrong
# MAGIC labels are issues.

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
# MAGIC ## More questions about the same data
# MAGIC
# MAGIC `LabelAudit` scans the data once and keeps a few numbers per row in Spark's cache. It answers all further questions from
# MAGIC these, and writes nothing.

# COMMAND ----------

audit = LabelAudit(predictions)
health = audit.health_summary()
health

# COMMAND ----------

strict = audit.find_label_issues(filter_by="both").count()
audit.release()
print(f"{strict} issues by both pruning methods; the report of the run is at {result.report}")
