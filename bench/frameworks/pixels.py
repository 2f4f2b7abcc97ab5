"""The normalisation that every library's untrained model gets, so that all see the same."""

# Per channel, red first, of pixels in [0, 1]: torchvision's, of ImageNet's training images.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
