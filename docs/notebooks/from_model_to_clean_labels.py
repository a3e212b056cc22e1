# Databricks notebook source
# MAGIC %md
# MAGIC # From model to clean labels
# MAGIC
# MAGIC We have images and labels, some of them wrong. We train a model with Spark ML and let it predict every image *out of
# MAGIC sample*. With these predictions we audit the labels, correct them, and train again. A test set with right labels shows
# MAGIC whether the model got better.
# MAGIC
# MAGIC The package is not published yet. On Databricks, install its wheel. Elsewhere, from a checkout:
# MAGIC `pip install '.[spark,delta]' scikit-learn`.

# COMMAND ----------

from functools import reduce
from importlib.resources import files

import pandas as pd
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from sklearn.datasets import load_digits

from cl_spark import LabelAudit, start_session

spark = start_session()

# COMMAND ----------

# MAGIC %md
# MAGIC ## Data
# MAGIC
# MAGIC The images are handwritten digits, with the labels of the sample that ships with the package; 4 % of the labels are wrong.
# MAGIC To make it harder, we change more labels of the training set: every fifth 3 becomes an 8, and every fifth 4 a 9. A third of
# MAGIC the images, with their true labels, is the test set.

# COMMAND ----------

sample = pd.read_parquet(
    files("cl_spark") / "sample" / "digits.parquet", columns=["id", "label", "true_label"]
)
sample["pixels"] = (load_digits().data / 16).tolist()  # the sample's ids are the positions in this data set
digits = spark.createDataFrame(sample).withColumn("pixels", array_to_vector("pixels"))
test = digits.where("id % 3 = 0").select("id", "pixels", "true_label").cache()
fifth = F.col("id") % 5 == 0
label = (
    F.when(fifth & (F.col("label") == 3), 8).when(fifth & (F.col("label") == 4), 9).otherwise(F.col("label"))
)
train = digits.where("id % 3 <> 0").withColumn("label", label.cast("int")).cache()
print(
    f"{train.count()} training images, {train.where('label <> true_label').count()} of them with a wrong label"
)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Out-of-sample probabilities
# MAGIC
# MAGIC A model that has seen the label of an example tends to believe it. Therefore each fifth of the data is predicted by a model
# MAGIC that was trained on the other four. The fold is a function of the id, so it is the same in every run.

# COMMAND ----------

FOLDS = 5
logistic = LogisticRegression(featuresCol="pixels", labelCol="label", maxIter=40, regParam=0.01)


def predict_out_of_sample(examples: DataFrame) -> DataFrame:
    """Predict each example with a model that has not seen it."""
    fold = F.pmod(F.hash("id"), F.lit(FOLDS))
    parts = [
        logistic.fit(examples.where(fold != k)).transform(examples.where(fold == k)) for k in range(FOLDS)
    ]
    return reduce(DataFrame.unionByName, parts).select("id", "label", "probability")


def measure_accuracy(examples: DataFrame) -> float:
    """Train a model on the examples, and return its accuracy on the true labels of the test set."""
    right = F.avg((F.col("prediction") == F.col("true_label")).cast("double"))
    return logistic.fit(examples).transform(test).select(right).first()[0]


probabilities = predict_out_of_sample(train).cache()
probabilities.limit(3).toPandas()

# COMMAND ----------

# MAGIC %md
# MAGIC ## Audit

# COMMAND ----------

with LabelAudit(probabilities, pred_probs_col="probability") as audit:  # a column of Spark ML vectors
    issues = audit.find_label_issues().toPandas()
    pairs = audit.health_summary().overlapping_classes.limit(4).toPandas()
    print(f"{len(issues)} of {audit.num_examples} labels look wrong")
pairs

# COMMAND ----------

# MAGIC %md
# MAGIC The pairs whose labels we changed come first: 3 and 8, 4 and 9.
# MAGIC
# MAGIC ## Correct, and train again
# MAGIC
# MAGIC There are two ways: leave the issues out, or take the suggested label if the score of the given label is very low. If labels
# MAGIC matter, people should look at the issues first. Here we take the suggestions as they are.

# COMMAND ----------

found = spark.createDataFrame(issues[["id", "suggested_label", "label_quality"]])
pruned = train.join(found.select("id"), "id", "left_anti")
sure = found.where("label_quality < 0.1").select("id", F.col("suggested_label").cast("int"))
corrected = pruned.unionByName(
    train.join(sure, "id").withColumn("label", F.col("suggested_label")).drop("suggested_label")
)
scores = {
    name: measure_accuracy(rows)
    for name, rows in {"as given": train, "pruned": pruned, "corrected": corrected}.items()
}
pd.DataFrame({"labels": scores.keys(), "accuracy on the test set": scores.values()})

# COMMAND ----------

left = corrected.where("label <> true_label").count()
print(f"wrong labels: {train.where('label <> true_label').count()} before, {left} in the corrected set")
assert scores["corrected"] >= scores["as given"]
