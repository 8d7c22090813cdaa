"""What a classifier must beat: the most frequent class, and a linear one of n-grams."""

import importlib.util
from collections.abc import Sequence

import numpy as np

from trainers import classification


def majority(
    train_labels: np.ndarray, labels: np.ndarray, num_classes: int
) -> dict[str, float]:
    """Returns accuracy and macro-F1 of always saying the most frequent class.

    Args:
        train_labels: Of the training texts, int [N].
        labels: Of the texts it is scored on, int [M].
        num_classes: How many there are.
    """
    most = np.bincount(train_labels, minlength=num_classes).argmax()
    return _scores(labels, np.full_like(labels, most), num_classes)


def linear(
    train_texts: Sequence[str],
    train_labels: np.ndarray,
    texts: Sequence[str],
    labels: np.ndarray,
    num_classes: int,
) -> dict[str, float] | None:
    """Returns accuracy and macro-F1 of a linear classifier of words and word pairs.

    Logistic regression, with scikit-learn's own strength of regularisation times ten,
    over tf-idf weights: Wang and Manning 2012, https://aclanthology.org/P12-2018, show
    how hard to beat such are. None where scikit-learn is not installed, and where there
    are no words or not two classes to tell apart.
    """
    has_words = any(text.split() for text in train_texts)
    if not has_words or len(np.unique(train_labels)) < 2 or not has_scikit_learn():
        return None
    from sklearn import feature_extraction, linear_model, pipeline

    made = pipeline.make_pipeline(
        feature_extraction.text.TfidfVectorizer(
            ngram_range=(1, 2),
            tokenizer=str.split,
            token_pattern=None,
            sublinear_tf=True,
        ),
        linear_model.LogisticRegression(C=10.0, max_iter=1000),
    )
    made.fit(train_texts, train_labels)
    return _scores(labels, made.predict(texts), num_classes)


def has_scikit_learn() -> bool:
    """Returns whether it is installed: tests need it, runs do not."""
    return importlib.util.find_spec("sklearn") is not None


def _scores(
    labels: np.ndarray, predicted: np.ndarray, num_classes: int
) -> dict[str, float]:
    confusions = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(confusions, (labels, predicted), 1)
    outcome = classification.Outcome(float("nan"), confusions)
    return {"accuracy": outcome.accuracy, "macro_f1": outcome.macro_f1}
