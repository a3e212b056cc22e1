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

from importlib.resources import files

import pandas as pd
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.functions import array_to_vector
from pyspark.sql import functions as F
from sklearn.datasets import load_digits

from cl_spark import CleanLearning, CrossValidation, start_session

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
# MAGIC ## Out-of-sample probabilities, and an audit
# MAGIC
# MAGIC A model that has seen the label of an example tends to believe it. Therefore each fifth of the data is predicted by a model
# MAGIC that was trained on the other four. `CrossValidation` does this with any classifier of Spark ML, or one that works like
# MAGIC scikit-learn's, and audits the labels by what the models predict.

# COMMAND ----------

classifier = LogisticRegression(maxIter=40, regParam=0.01)
with CrossValidation(train, classifier, features_col="pixels") as validation:
    accuracy = validation.fold_accuracy().orderBy("fold").toPandas()
    with validation.audit() as audit:
        issues = audit.find_label_issues().toPandas()
        pairs = audit.health_summary().overlapping_classes.limit(4).toPandas()
        print(f"{len(issues)} of {audit.num_examples} labels look wrong")
accuracy

# COMMAND ----------

pairs

# COMMAND ----------

# MAGIC %md
# MAGIC The pairs whose labels we changed come first: 3 and 8, 4 and 9.
# MAGIC
# MAGIC ## Train again
# MAGIC
# MAGIC `CleanLearning` does it all in one call, and trains the classifier once more: without the issues (`prune`), with the suggested
# MAGIC labels (`relabel`), or with weights (`reweight`). If labels matter, people should look at the issues first.

# COMMAND ----------


def measure_accuracy(model) -> float:
    """Accuracy of a model on the true labels of the test set."""
    right = F.avg((F.col("prediction") == F.col("true_label")).cast("double"))
    return model.transform(test).select(right).first()[0]


plain = LogisticRegression(maxIter=40, regParam=0.01, featuresCol="pixels").fit(train)
models = {"as given": plain}
for how in ("prune", "relabel", "reweight"):
    models[how] = CleanLearning(classifier, how=how, features_col="pixels").fit(train)
scores = {name: measure_accuracy(model) for name, model in models.items()}
pd.DataFrame({"labels": scores.keys(), "accuracy on the test set": scores.values()})

# COMMAND ----------

found = models["prune"].label_issues.join(train.select("id", "true_label"), "id")
wrong = found.where("given_label <> true_label").count()
print(f"{wrong} of {found.count()} issues are wrong labels")
assert scores["prune"] >= scores["as given"]
