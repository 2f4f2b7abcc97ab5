"""Say what a picture shows: `python example.py PICTURE`. Needs tensorflow and pillow."""

import tensorflow as tf
from picture import HERE, asked, pixels, tell

model = tf.saved_model.load(HERE / "model")
tell(model.serve(pixels(asked())).numpy())
