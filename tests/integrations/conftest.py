"""Packages that import torchvision do so after our own way of doing it, which any build takes."""

from contextlib import suppress

from dralign._torchvision import vision_models
from dralign.errors import ModelError

with suppress(ModelError):
    vision_models()
