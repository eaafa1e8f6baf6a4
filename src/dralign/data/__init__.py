"""Data: real datasets and users' own tables, as one frozen Dataset."""

from dralign.data.dataset import Dataset, Encoder, Split

__all__ = ["Dataset", "Encoder", "Split"]
