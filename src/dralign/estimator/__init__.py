"""The scikit-learn door: a classifier around the training loop."""

from dralign.estimator.classifier import DRAlignClassifier

__all__ = ["DRAlignClassifier"]
