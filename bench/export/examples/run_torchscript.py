"""Say what a picture shows: `python example.py PICTURE`. Needs torch, numpy and pillow."""

import torch
from picture import HERE, asked, pixels, tell

with torch.inference_mode():
    tell(torch.jit.load(str(HERE / "model.pt"))(torch.from_numpy(pixels(asked()))).numpy())
