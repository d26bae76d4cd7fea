"""Image-text pairs to train on. One file a kind of corpus; the experiment file's `corpus.kind`
names it.
"""
