"""CLIP_benchmark, unmodified, on features that kbench stored."""

import torch
from clip_benchmark.metrics import zeroshot_classification, zeroshot_retrieval


class Peer:
    """A model as CLIP_benchmark sees it: inputs are rows of stored arrays, encoding looks them up.

    Features of constant norm M in a coordinate private to each side make its normalisation
    harmless: scores are then inner products over M squared.
    """

    def __init__(self, images, texts, constant_norm):
        bound = (
            max(images.norm(dim=1).max(), texts.norm(dim=1).max()) * 1.01 if constant_norm else None
        )
        self.images, self.texts = _pad(images, bound, 0), _pad(texts, bound, 1)

    def encode_image(self, rows):
        return self.images[rows]

    def encode_text(self, rows):
        return self.texts[rows]


def _pad(features, bound, side):
    if bound is None:
        return features
    padding = torch.zeros(len(features), 2, dtype=features.dtype)
    padding[:, side] = (bound**2 - features.square().sum(dim=1)).clamp(min=0).sqrt()
    return torch.cat([features, padding], dim=1)


def predictions(images, prompts, classes, constant_norm):
    """Return CLIP_benchmark's zero-shot predictions (N,) from features of images and of prompts
    with their classes.

    With constant_norm a class is one text, the mean of its prompts' features; otherwise
    CLIP_benchmark normalises, averages and normalises itself.
    """
    number = int(classes.max()) + 1
    members = [(classes == label).nonzero()[:, 0] for label in range(number)]
    if constant_norm:
        prompts = torch.stack([prompts[rows].mean(dim=0) for rows in members])
        members = [torch.tensor([label]) for label in range(number)]
    peer, rows = Peer(images, prompts, constant_norm), iter(members)
    names = [str(label) for label in range(number)]
    classifier = zeroshot_classification.zero_shot_classifier(
        peer, lambda texts: next(rows), names, ["{c}"], "cpu", amp=False
    )
    loader = [(torch.arange(len(images)), torch.zeros(len(images), dtype=torch.long))]
    logits, _ = zeroshot_classification.run_classification(
        peer, classifier, loader, "cpu", amp=False
    )
    return logits.argmax(dim=1).numpy()


def recalls(images, captions, owners, constant_norm):
    """Return CLIP_benchmark's recall at 1, 5 and 10 in both directions, by its names."""
    peer = Peer(images, captions, constant_norm)
    loader = [
        (torch.tensor([image]), [(owners == image).nonzero()[:, 0]]) for image in range(len(images))
    ]
    return zeroshot_retrieval.evaluate(
        peer, loader, torch.stack, "cpu", amp=False, recall_k_list=[1, 5, 10]
    )
