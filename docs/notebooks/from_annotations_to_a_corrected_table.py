# Databricks notebook source
# MAGIC %md
# MAGIC # From annotations to a corrected table
# MAGIC
# MAGIC Several people have labelled the same images, and do not agree. We combine their labels, audit the result, let people look
# MAGIC at a sample, estimate how many labels are wrong in the whole table, and correct it in place, so that it can be undone.
# MAGIC
# MAGIC The package is not published yet. On Databricks, install its wheel. Elsewhere, from a checkout:
# MAGIC `pip install '.[spark,delta]'`.

# COMMAND ----------

import tempfile
from importlib.resources import files

import numpy as np
import pandas as pd

from cl_spark import (
    AnnotatorAudit,
    AuditConfig,
    apply_corrections,
    decide_verdicts,
    review_queue,
    run_audit,
    start_session,
    undo_corrections,
    validated_quality,
)

spark = start_session()
lake = tempfile.mkdtemp()  # on Databricks: a volume, such as "/Volumes/main/default/digits"

# COMMAND ----------

# MAGIC %md
# MAGIC ## Annotations
# MAGIC
# MAGIC The images are the handwritten digits of the sample that ships with the package, with the probabilities that a model
# MAGIC predicted. We make up nine annotators of different skill, who each label some of the images: a long table, with a row for
# MAGIC each label that an annotator gave.

# COMMAND ----------

sample = pd.read_parquet(files("cl_spark") / "sample" / "digits.parquet")
true = sample.set_index("id")["true_label"]
rng = np.random.default_rng(0)
skill = rng.uniform(0.4, 0.95, 9)
rows = []
for example, digit in true.items():
    for annotator in rng.choice(9, rng.integers(1, 4), replace=False):
        knows = rng.random() < skill[annotator]
        rows.append((example, f"annotator-{annotator}", int(digit if knows else rng.integers(0, 10))))
annotations = pd.DataFrame(rows, columns=["id", "annotator", "label"])
annotations.head()

# COMMAND ----------

# MAGIC %md
# MAGIC ## Consensus
# MAGIC
# MAGIC `AnnotatorAudit` weighs annotators by how well they agree with the others. With a model's predictions it does much better
# MAGIC (`AnnotatorAudit(annotations, predictions)`). Here the annotators decide alone, and the model judges them in the audit.

# COMMAND ----------

predictions = sample[["id", "pred_probs"]]
with AnnotatorAudit(annotations, predictions, spark=spark) as audit:
    together = audit.consensus().toPandas().set_index("id")["consensus_label"]
with AnnotatorAudit(annotations, spark=spark) as audit:
    consensus = audit.consensus().toPandas().set_index("id")
    annotators = audit.annotators().orderBy("quality").toPandas()
right = (consensus["consensus_label"] == true).mean()
majority = annotations.groupby("id")["label"].agg(lambda labels: labels.mode()[0])
print(f"right labels: {(majority == true).mean():.1%} by majority vote, {right:.1%} by consensus")
print(f"with the model: {(together == true).mean():.1%}")
annotators

# COMMAND ----------

# MAGIC %md
# MAGIC ## Audit
# MAGIC
# MAGIC The consensus labels go into a Delta table, which we audit as any other.

# COMMAND ----------

table = consensus.reset_index()[["id", "consensus_label"]].rename(columns={"consensus_label": "label"})
spark.createDataFrame(table).write.format("delta").save(f"{lake}/labels")
spark.createDataFrame(predictions).write.format("delta").save(f"{lake}/predictions")
result = run_audit(
    spark,
    AuditConfig(
        predictions=f"{lake}/predictions",
        labels=f"{lake}/labels",
        output=f"{lake}/audit",
        run_id="consensus",
        label_scores=True,  # the review draws a sample of all rows from it
    ),
)
result

# COMMAND ----------

# MAGIC %md
# MAGIC ## Review
# MAGIC
# MAGIC People cannot look at everything. The queue has the worst issues, and rows drawn at random, so that what people find can be
# MAGIC carried over to the whole table. `export_review_page`, `export_review_csv` and `export_label_studio` bring it to people;
# MAGIC here, five made-up reviewers answer, each of whom errs now and then.

# COMMAND ----------

queue = review_queue(result.run, budget=400, random_share=0.25).cache()
asked = queue.toPandas()
answers = []
for row in asked.itertuples():
    if row.given_label == true[row.id]:
        answer = "given"
    else:
        answer = "suggested" if row.suggested_label == true[row.id] else "neither"
    for reviewer in range(5):
        said = answer if rng.random() < 0.95 else "given"
        answers.append((row.id, f"reviewer-{reviewer}", said))
answers = pd.DataFrame(answers, columns=["id", "annotator", "answer"])
asked.groupby("stratum").size()

# COMMAND ----------

# MAGIC %md
# MAGIC ## Verdicts
# MAGIC
# MAGIC An answer with three of five votes decides.

# COMMAND ----------

verdicts = decide_verdicts(spark.createDataFrame(answers), queue)
quality = validated_quality(verdicts)
num_wrong = int((consensus["consensus_label"] != true).sum())
print(f"wrong labels in the whole table: {num_wrong}")
quality

# COMMAND ----------

# MAGIC %md
# MAGIC ## Corrections
# MAGIC
# MAGIC One `MERGE` corrects the Delta table in place. The label before, who, when and the run stand beside it. Examples without one
# MAGIC right label are marked as pruned: leave them out of training. A label that somebody changed since the audit is not touched.

# COMMAND ----------

done = apply_corrections(f"{lake}/labels", verdicts, run_id="review-1", corrected_by="the review team")
labels = spark.read.format("delta").load(f"{lake}/labels")
labels.where("correction IS NOT NULL").orderBy("id").limit(5).toPandas()

# COMMAND ----------


def count_wrong() -> int:
    """Wrong labels among the examples that are not pruned."""
    rows = spark.read.format("delta").load(f"{lake}/labels")
    if "correction" in rows.columns:
        rows = rows.where("coalesce(correction, 'kept') <> 'pruned'")
    found = rows.select("id", "label").toPandas().set_index("id")["label"]
    return int((found != true[found.index]).sum())


after = count_wrong()
undone = undo_corrections(f"{lake}/labels", "review-1")
print(
    f"wrong labels: {num_wrong} before, {after} after the corrections, {count_wrong()} after they were undone"
)

# COMMAND ----------

# MAGIC %md
# MAGIC The same steps run every night from the command line: `cl-spark consensus`, `audit`, `review`, `verdicts`, `correct`, `undo`.
