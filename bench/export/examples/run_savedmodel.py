"""Say what a picture shows: `python example.py PICTURE`. Needs tensorflow and pillow."""

import sys

import tensorflow as tf
from picture import HERE, pixels, tell

model = tf.saved_model.load(HERE / "model")
tell(model.serve(pixels(sys.argv[1])).numpy())
