"""The paper's networks for images, as torchvision builds them, with one output (A.1, A.3.2)."""

from typing import cast

from torch import nn

from dralign._torchvision import vision_models
from dralign.models.sizes import check_sizes

ALEXNET_FEATURES = 256 * 6 * 6  # channels of the last pooling, which gives 6 x 6 for any input
ALEXNET_WIDTH = 4096
ALEXNET_PIXELS, RESNET_PIXELS = 63, 32  # height and width of the smallest images


def alexnet(classifier_width: int = ALEXNET_WIDTH, n_outputs: int = 1) -> nn.Module:
    """AlexNet with fresh weights and dropout 0.5, for (n, 3, H, W) images of at least 63 x 63.

    Eight layers have a rationale. At 64 x 64 the features are 1 x 1 and repeated to 6 x 6, so a
    narrow classifier loses little there; the default has 54.5 of the network's 57.0 million
    parameters in it.

    Args:
        classifier_width: units of the two hidden layers of the classifier; 4096 in the paper.
        n_outputs: 1 for two classes (one logit), C for C classes.

    Raises:
        OptionError: if a size is below 1.
        ModelError: if torchvision can't be used.
    """
    check_sizes(classifier_width=classifier_width, n_outputs=n_outputs)
    network = cast("nn.Module", vision_models().alexnet(weights=None, num_classes=n_outputs))
    if classifier_width != ALEXNET_WIDTH:
        classifier = cast("nn.Sequential", network.classifier)
        classifier[1] = nn.Linear(ALEXNET_FEATURES, classifier_width)
        classifier[4] = nn.Linear(classifier_width, classifier_width)
        classifier[6] = nn.Linear(classifier_width, n_outputs)
    return network


def resnet18(n_outputs: int = 1) -> nn.Module:
    """ResNet-18 with fresh weights, for (n, 3, H, W) images of any size from 32 x 32 up.

    21 layers have a rationale, of which the paper aligns the last two (A.3.2, Eq. 10).

    Args:
        n_outputs: 1 for two classes (one logit), C for C classes.

    Raises:
        OptionError: if the size is below 1.
        ModelError: if torchvision can't be used.
    """
    check_sizes(n_outputs=n_outputs)
    return cast("nn.Module", vision_models().resnet18(weights=None, num_classes=n_outputs))
