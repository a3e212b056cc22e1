# Databricks notebook source
# MAGIC %md
# MAGIC # Bad rows of every kind, and what to keep of generated ones
# MAGIC
# MAGIC Wrong labels are one kind of bad row. This notebook looks through 400 images of handwritten digits for the others, too:
# MAGIC images unlike all others, copies, rows without features. Then a simple generator makes more digits, and we decide which of
# MAGIC these to train on. Both times the nearest rows tell; no model is needed.
# MAGIC
# MAGIC The package is not published yet. On Databricks, install its wheel and `altair` and `vl-convert-python` for the report.
# MAGIC Elsewhere, from a checkout: `pip install '.[spark,report]'`. The digits come with scikit-learn.

# COMMAND ----------

import tempfile

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

from cl_spark import DataAuditConfig, GeneratedDataConfig, run_data_audit, run_generated_data, start_session

spark = start_session()  # returns the notebook's own session if there is one
lake = tempfile.mkdtemp()  # on Databricks: a volume, such as "/Volumes/main/default/audits"

# COMMAND ----------

# MAGIC %md
# MAGIC ## A table with faults
# MAGIC
# MAGIC Features are the 64 pixels of an image. For your own images or texts, take the embeddings of a model that sees what people see.
# MAGIC We plant a wrong label, a copy, an image of noise, and a row without features.

# COMMAND ----------

rng = np.random.default_rng(0)
pixels, digits = load_digits(return_X_y=True)
features, labels = pixels[:400].copy(), digits[:400].copy()
labels[40] = (labels[40] + 5) % 10
features[61] = features[60]
features[50] = rng.uniform(0, 16, 64)
features[70] = np.nan
table = pd.DataFrame({"id": range(400), "features": features.tolist(), "label": labels})
spark.createDataFrame(table).write.mode("overwrite").parquet(f"{lake}/digits")

# COMMAND ----------

# MAGIC %md
# MAGIC ## The audit
# MAGIC
# MAGIC One call runs every check that the columns allow, and writes the issues, a summary of the checks, and a report.

# COMMAND ----------

config = DataAuditConfig(
    predictions=f"{lake}/digits",
    output=f"{lake}/audit",
    format="parquet",
    run_id="first-look",
    report=True,
)
result = run_data_audit(spark, config)
result

# COMMAND ----------

result.run.table("data_checks").select("issue_type", "examples", "unusable", "issues", "note").toPandas()

# COMMAND ----------

issues = result.run.table("data_issues").orderBy("rank")
issues.select("issue_type", "id", "score", "why").limit(10).toPandas()

# COMMAND ----------

# MAGIC %md
# MAGIC ## Generated rows
# MAGIC
# MAGIC A generator that knows the mean and the spread of the pixels of each digit makes 20 images for each prompt. Some of them get a
# MAGIC wrong prompt, some are noise, some are copies. The rows of the table above, without its issues, are the real ones.

# COMMAND ----------

bad = {row.id for row in issues.select("id").distinct().collect()}
real = table[~table.id.isin(bad)].rename(columns={"label": "prompt"})
known, prompts = np.stack(real.features), np.repeat(np.arange(10), 20)
made = np.concatenate(
    [
        rng.multivariate_normal(
            known[real.prompt == digit].mean(axis=0), np.cov(known[real.prompt == digit].T), 20
        )
        for digit in range(10)
    ]
)
prompts[[3, 25, 77]] = [8, 6, 0]  # wrong prompts
made[[10, 90]] = rng.uniform(0, 16, (2, 64))  # noise
made[[31, 131]] = made[[30, 130]]  # copies
generated = pd.DataFrame({"id": range(200), "prompt": prompts, "features": made.tolist()})

spark.createDataFrame(generated).write.mode("overwrite").parquet(f"{lake}/generated")
spark.createDataFrame(real).write.mode("overwrite").parquet(f"{lake}/real")

# COMMAND ----------

judged = run_generated_data(
    spark,
    GeneratedDataConfig(
        generated=f"{lake}/generated",
        real=f"{lake}/real",
        output=f"{lake}/judged",
        format="parquet",
        run_id="first-look",
    ),
)
judged

# COMMAND ----------

# MAGIC %md
# MAGIC ## What to keep
# MAGIC
# MAGIC Every dropped row has its reason. A prompt with a low coverage leaves much of its class out: ask for other examples there.

# COMMAND ----------

dropped = judged.run.table("dropped_rows").orderBy("rank")
dropped.select("id", "prompt", "reason").limit(10).toPandas()

# COMMAND ----------

judged.run.table("prompts").orderBy("coverage").toPandas()

# COMMAND ----------

kept = judged.run.table("generated_rows").where("keep").select("id")
training = spark.read.parquet(f"{lake}/generated").join(kept, "id")
training.groupBy("prompt").count().orderBy("prompt").toPandas()
