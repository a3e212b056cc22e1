"""Sentences from a small grammar, a model that is mostly right, and labels of which some are wrong."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, SparkSession

BIO = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]

WORDS = {
    "PER": [["Ada", "Lovelace"], ["Turing"], ["Grace", "Brewster", "Hopper"], ["Noether"]],
    "LOC": [["Rome"], ["New", "York"], ["Rio", "de", "Janeiro"]],
    "O": [["met"], ["the"], ["lives", "in"], ["and"], ["sees"]],
}


@dataclass(frozen=True)
class Text:
    """Tokens of sentences, their true and given classes (of BIO), and the probabilities of a model."""

    tokens: list[list[str]]
    true: list[np.ndarray]
    given: list[np.ndarray]
    probs: list[np.ndarray]


def make_text(num_sentences: int, seed: int = 0, noise: float = 0.06) -> Text:
    """Sentences: a person, words, a place, perhaps words and a person. The classes of tokens are flipped."""
    rng = np.random.default_rng(seed)
    tokens, true, given, probs = [], [], [], []
    for _ in range(num_sentences):
        words: list[str] = []
        tags: list[int] = []
        for kind in rng.choice(["PER", "O", "LOC", "O", "PER"], rng.integers(2, 6), replace=False):
            part = WORDS[kind][rng.integers(len(WORDS[kind]))]
            words += part
            first = 0 if kind == "O" else BIO.index(f"B-{kind}")
            tags += [first] + [first and first + 1] * (len(part) - 1)
        tag = np.array(tags)
        wrong = rng.random(len(tag)) < noise
        logits = rng.normal(size=(len(tag), len(BIO)))
        logits[np.arange(len(tag)), tag] += rng.normal(3.5, 1, len(tag))
        found = np.exp(logits)
        tokens.append(words)
        true.append(tag)
        given.append(np.where(wrong, (tag + rng.integers(1, len(BIO), len(tag))) % len(BIO), tag))
        probs.append(found / found.sum(axis=1, keepdims=True))
    return Text(tokens, true, given, probs)


def sentences_table(spark: SparkSession, text: Text, partitions: int = 3, *, names: bool = True) -> DataFrame:
    """A row per sentence."""
    labels = [[BIO[k] for k in of] if names else of.tolist() for of in text.given]
    frame = pd.DataFrame({"id": range(len(labels)), "tokens": text.tokens, "labels": labels})
    frame["pred_probs"] = [of.tolist() for of in text.probs]
    kind = "string" if names else "int"
    schema = f"id long, tokens array<string>, labels array<{kind}>, pred_probs array<array<double>>"
    return spark.createDataFrame(frame, schema).repartition(partitions)


def tokens_table(spark: SparkSession, text: Text, partitions: int = 3) -> DataFrame:
    """A row per token."""
    rows = [
        (i, j, word, BIO[text.given[i][j]], text.probs[i][j].tolist())
        for i, words in enumerate(text.tokens)
        for j, word in enumerate(words)
    ]
    schema = "id long, place int, word string, label string, probs array<double>"
    return spark.createDataFrame(rows, schema).repartition(partitions)


TOKEN_COLUMNS = {
    "position_col": "place",
    "tokens_col": "word",
    "labels_col": "label",
    "pred_probs_col": "probs",
}
"""What the columns of `tokens_table` are."""
