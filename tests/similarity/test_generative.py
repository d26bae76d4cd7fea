"""Similarities that say how probable a text is: by an oracle that knows, and by a decoder."""

import itertools
import math
from dataclasses import replace

import point_sets
import pytest
import torch

from kbench import similarity
from kbench.conformance.similarity import made
from kbench.errors import UserError
from kbench.experiment.load import resolve
from kbench.experiment.schema import Experiment
from kbench.pretrain.model import ContrastiveModel
from kbench.similarity.base import Similarity
from kbench.similarity.generative import GenerativeSettings, GenerativeSimilarity
from kbench.similarity.sets import PointSet, Pooled
from kbench.tasks import pmi_gap
from kbench.towers import config as towers
from kbench.towers import tokenizer
from kbench.towers.model import Towers
from kbench.world import World

NAMES = [name for name in similarity.names() if similarity.get(name).has_likelihoods()]
every = pytest.mark.parametrize("name", NAMES)


class Oracle(GenerativeSimilarity):
    """The world's own probabilities: a point is the number of a scene, or of a caption."""

    name = "oracle"
    takes = Pooled

    def __init__(self, background):
        super().__init__(GenerativeSettings(background=background))
        self.table = torch.from_numpy(World().p).log()
        self.prepare_decoder(1, 0, 0)

    def likelihoods(self, images, texts):
        return self.table[images.flatten().long()][:, texts["points"].flatten().long()]

    def log_likelihoods(self, images, texts):
        return self.likelihoods(images["points"], texts).diagonal()


def numbered(numbers):
    """Sets of one point, which is a number."""
    points = torch.as_tensor(numbers, dtype=torch.float64)[:, None, None]
    return PointSet(points, torch.ones(points.shape[:2], dtype=torch.float64))


@pytest.fixture(scope="module")
def oracle():
    scenes = len(World().p)
    taught = Oracle(scenes).double().eval()
    taught.remember(taught.represent(numbered(range(scenes)), "image"))
    return taught


def test_an_oracle_has_no_gap(oracle):
    """Where all scenes are equally frequent, and each was seen once."""
    scenes, captions = (torch.arange(count) for count in oracle.table.shape)
    optimal = oracle.table - (oracle.table.logsumexp(0) - math.log(len(scenes)))
    generator = torch.Generator().manual_seed(0)
    blocks, best = [], []
    for _ in range(4):
        shown = scenes[torch.randint(len(scenes), (64,), generator=generator)]
        said = torch.multinomial(oracle.table[shown].exp(), 1, generator=generator).squeeze(1)
        blocks.append(oracle.scores(numbered(shown), numbered(said)))
        best.append(optimal[shown][:, said])
    measured = pmi_gap.gap(blocks, best, False)
    assert abs(measured.excess_losses).max() < 1e-9 and measured.rmse < 1e-9
    assert len(captions) == 3627


def test_the_marginal_of_all_captions_sums_to_one(oracle):
    said = oracle.represent(numbered(range(oracle.table.shape[1])), "text")["log_marginal"]
    assert float(said.exp().sum()) == pytest.approx(1, abs=1e-4)


def test_an_oracle_scores_classes_by_the_mean_likelihood_of_their_prompts(oracle):
    images, prompts = (
        oracle.represent(numbered([3, 5, 8]), "image"),
        oracle.represent(numbered([0, 10, 200, 7]), "text"),
    )
    scores = oracle.class_scores(images, prompts, torch.tensor([1, 0, 1, 1]))
    p = oracle.table.exp()[[3, 5, 8]]
    expected = torch.stack([p[:, 10], p[:, [0, 200, 7]].mean(1)], dim=1).log()
    torch.testing.assert_close(scores, expected, rtol=1e-12, atol=1e-12)
    with pytest.raises(UserError, match="class 2 has no prompt"):
        oracle.class_scores(images, prompts, torch.tensor([0, 1, 3, 3]))


def test_the_last_images_stand_for_all():
    few = Oracle(3).double()
    for numbers in ([0, 1], [2, 3], [4]):
        few.remember(few.represent(numbered(numbers), "image"))
    assert few.background.flatten().tolist() == [4, 2, 3] and few.seen == 3
    text = numbered([17])
    assert few.represent(text, "text")["log_marginal"] == 0  # training needs none
    said = few.eval().represent(text, "text")["log_marginal"]
    torch.testing.assert_close(said.exp(), few.table[[2, 3, 4], 17].exp().mean()[None])


@every
def test_scores_are_those_of_the_reference(name):
    variant = made(name)
    images, texts = point_sets.pair(variant.point_dimension(6))
    with torch.no_grad():
        scores = variant.scores(images, texts)
        expected = Similarity.straightforward(variant, images, texts, None)
    torch.testing.assert_close(scores, expected, rtol=1e-10, atol=1e-12)


@torch.no_grad()
def test_a_captioner_learns_from_the_likelihoods_of_its_pairs():
    variant = made("captioner")
    images, texts = point_sets.pair(variant.point_dimension(6))
    left, right = variant.represent(images, "image"), variant.represent(texts, "text")
    three = {key: value[:3] for key, value in left.items()}
    of_pairs = variant.log_likelihoods(three, right)
    scores = variant.compare(three, right)
    torch.testing.assert_close(of_pairs, scores.diagonal(), rtol=1e-10, atol=1e-12)


@every
def test_before_there_is_a_decoder_nothing_is_scored(name):
    variant = similarity.create(name)
    with pytest.raises(UserError, match="decoder of a trained model"):
        variant.scores(*point_sets.pair(variant.point_dimension(6)))


@every
@torch.no_grad()
def test_a_marginal_is_the_mean_over_what_was_seen(name):
    variant = made(name).double()
    images, texts = point_sets.pair(variant.point_dimension(6))
    likelihoods = variant.scores(images, texts)
    variant.train().remember(variant.represent(images, "image"))
    said = variant.eval().represent(texts, "text")
    over_seen = variant.likelihoods(variant.background[:4], said).logsumexp(0) - math.log(4)
    torch.testing.assert_close(said["log_marginal"], over_seen)
    torch.testing.assert_close(variant.scores(images, texts), likelihoods - over_seen)


def model_of(name, objective="likelihood", tower="demo"):
    experiment = {
        "name": "made-up",
        "description": "Not trained.",
        "corpus": {"kind": "world"},
        "towers": tower,
        "variants": [{"similarity": name, "objective": objective}],
        "seeds": [0],
        "training": {"batch_size": 64, "epochs": 1, "warmup_epochs": 0},
        "evaluation": {"datasets": ["world-shape"]},
    }
    torch.manual_seed(0)
    [config] = resolve(Experiment.model_validate(experiment))
    return ContrastiveModel(config).double().eval()


@torch.no_grad()
def test_a_word_is_as_probable_whatever_comes_after_it():
    """The likelihood of a beginning that two captions share is the same in both."""
    model = model_of("captioner")
    tokenize = tokenizer.create(towers.load("demo"))
    tokens = torch.from_numpy(tokenize(["a red circle on a blue background", "a red circle"]))
    images = torch.randint(
        256, (1, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    image = model.represent_images(images, None)
    texts = model.represent_texts(tokens, None)
    assert texts["weights"].sum(1).tolist() == [8, 4]  # a word each, and the end of text
    shared = {
        key: value[:, :3] if key in ("points", "weights") else value for key, value in texts.items()
    }
    long, short = model.compare(image, shared)[0]
    assert long == pytest.approx(float(short), abs=1e-12)
    assert len(set(model.compare(image, texts)[0].tolist())) == 2


@every
@torch.no_grad()
def test_the_probabilities_of_all_texts_sum_to_one(name):
    """Of all texts of at most three words of a vocabulary of five, those not ended in time
    included.
    """
    model = model_of(name)
    start, end = model.towers.vocabulary - 2, model.towers.vocabulary - 1
    words = (0, 1, 3, 10, end)
    rest = sorted(set(range(end + 1)) - set(words))
    model.similarity.words.bias.view(-1, end + 1)[:, rest] = -torch.inf
    texts = []
    for spoken in itertools.product(words, repeat=3):
        until = spoken.index(end) + 1 if end in spoken else 3
        texts.append(spoken[:until])
    texts = sorted(set(texts))
    tokens = torch.zeros(len(texts), 15, dtype=torch.long)
    for row, spoken in zip(tokens, texts, strict=True):
        row[: len(spoken) + 1] = torch.tensor([start, *spoken])
    output = model.towers.encode_text(tokens)
    following = torch.full((len(texts), 14), -1)
    for row, spoken in zip(following, texts, strict=True):
        row[: len(spoken)] = torch.tensor(spoken)
    output = replace(output, next_ids=following)
    said = model.similarity.represent(model.similarity.embed(output, "text"), "text")
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    total = model.compare(model.represent_images(images, None), said).exp().sum(1)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=1e-9, atol=1e-9)


def test_the_next_ids_of_a_text():
    settings = towers.load("demo").model_copy(update={"long_captions": "cut"})
    created, tokenize = Towers(settings), tokenizer.create(settings)
    texts = ["a red circle", "a b", " ".join(["red circle"] * 9)]
    tokens = torch.from_numpy(tokenize(texts))
    following = created.encode_text(tokens).next_ids
    assert following.shape == (3, 14)
    end = int(tokens.max())
    assert following[0].tolist() == [*tokens[0, 1:5].tolist(), *[-1] * 10]
    assert following[0, 3] == end and following[1, 2] == end
    assert torch.equal(following[2], tokens[2, 1:])  # cut, so that no end of text is there
    assert end not in following[2]


@every
def test_a_tower_that_reads_the_text_as_a_whole_is_refused(name, tmp_path, monkeypatch):
    import json

    monkeypatch.chdir(tmp_path)
    (tmp_path / "workflow" / "towers").mkdir(parents=True)
    document = json.loads((towers.OWN / "demo.json").read_text())
    document["text_cfg"]["no_causal_mask"] = True
    (tmp_path / "workflow" / "towers" / "whole.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match="reads a text as a whole"):
        model_of(name, tower="whole")
