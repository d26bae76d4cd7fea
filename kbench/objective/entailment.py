"""InfoNCE, and that each text entails its image."""

from __future__ import annotations

from kbench.objective.infonce import InfoNCE
from kbench.similarity.base import Similarity


class Entailment(InfoNCE):
    """InfoNCE, and how far each image lies outside the cone of its text.

    A text says less than the image it belongs to, so that it is placed nearer to the apex, and what
    it may belong to further out within a cone. Which cone that is, the similarity knows. Of logits
    alone, as held-out pairs are scored, it is InfoNCE; nothing makes its logits PMI at the optimum.
    """

    name = "entailment"
    formula = (
        "infonce + 0.2 1/B sum_i max(0, angle at text i to its image - half-aperture of text i)"
    )
    source = "Desai et al. 2023 (MERU), arXiv 2304.09172, section 3.2"
    licence = "CC BY-NC"
    cone_weight = 0.2

    @classmethod
    def refuse(cls, similarity: type[Similarity]) -> str | None:
        """Return why, if the similarity knows of no cones."""
        if similarity.has_cones():
            return super().refuse(similarity)
        return f"entailment needs texts that have cones, and those of {similarity.name} have none"
