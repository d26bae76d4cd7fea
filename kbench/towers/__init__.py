"""Image and text towers built by open_clip from configuration files, seen as token embeddings."""
