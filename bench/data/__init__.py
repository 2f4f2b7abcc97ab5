"""Dataset readers: images as uint8 arrays or files, with labels; nothing here knows a framework."""
