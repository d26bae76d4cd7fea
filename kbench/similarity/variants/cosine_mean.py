"""The cosine of mean tokens: the control for 'more tokens', with no weights and no kernel."""

from kbench.similarity.sets import MeanToken
from kbench.similarity.variants.cosine import Cosine


class CosineMean(Cosine):
    """CLIP's similarity on the mean of all token embeddings."""

    name = "cosine-mean"
    formula = "<v, t> / (|v| |t|), v and t means over all tokens"
    source = "kbench's control; no publication"
    licence = "kbench's own"
    takes = MeanToken
    in_open_clip = False
