"""The protocol for nats a frame: known models give known values, whatever order the pitches are spelled in."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from click.testing import CliRunner
from torch import nn
from training_tunes import SMALL

from musicgen.checkpoint import load_run
from musicgen.cli.main import cli
from musicgen.evaluation.counting import Condition, Table, counted_nats
from musicgen.evaluation.figures import FrameMeans, Tally
from musicgen.evaluation.likelihood import evaluate, step_nats
from musicgen.evaluation.ngram import evaluate_ngram
from musicgen.models import ModelSettings, SequenceModel, build_model
from musicgen.models.heads.token import TokenHead
from musicgen.piece import Piece, Track, notes_array
from musicgen.scoring import Scoring
from musicgen.tokenizers import Frames, FramesSettings

SETS, UP, FOUR = Frames(), Frames(FramesSettings(order="ascending")), Frames(FramesSettings(voices=4))
every = pytest.mark.parametrize("tokenizer", [SETS, UP, FOUR], ids=["sets", "up", "four"])


class Pieces:
    """Random frames of pitches 21 to 108, some of them empty."""

    def __init__(self, tokenizer: Frames, *, frames: int = 30) -> None:
        rng = np.random.default_rng(5)
        self.ids = []
        for n in range(5):
            notes = [
                (t * 120, 120, int(p), 80) for t in range(frames + n) for p in rng.choice(88, t % 4, replace=False) + 21
            ]
            self.ids.append(tokenizer.encode(Piece(480, (Track(notes=notes_array(notes)),)), until=(frames + n) * 120))
        self.tokens = np.concatenate(self.ids)
        sizes = [len(ids) for ids in self.ids]
        self.rows = np.stack([np.cumsum(sizes) - sizes, sizes], axis=1)

    def spans(self, split: str) -> np.ndarray:
        return self.rows[:3] if split == "train" else self.rows[3:]


class Fixed(SequenceModel):
    """The same scores whatever was read; it notes which ids begin its windows."""

    def __init__(self, logits_V: torch.Tensor, *, context: int) -> None:
        super().__init__(ModelSettings("lstm", len(logits_V), context=context))
        self.heads: list[int] = []
        self.attach(Even(logits_V))

    def read(self, ids, state=None):
        self.heads.append(int(ids[0, 0]))
        return ids[..., None].float(), None


class Even(TokenHead):
    """The same scores of whatever stands before."""

    def __init__(self, logits_V: torch.Tensor) -> None:
        super().__init__(width=1, vocabulary_size=1)
        self.logits_V = nn.Parameter(logits_V)

    def _logits(self, reading):
        return self.logits_V.expand(*reading.ids.shape, -1)


def coins(tokenizer: Frames) -> torch.Tensor:
    """Scores that, masked to the order, toss a fair coin for each of 88 pitches.

    p(next = p | last = q) must be one half for each pitch passed over and for p itself: 2^(p - q) going down. That
    is proportional to 2^p whatever q is; `end` passes over all that are left.
    """
    v = tokenizer.vocabulary
    logits = torch.full((len(v),), -torch.inf)
    down = tokenizer.settings.order == "descending"
    pitch = torch.arange(21, 109)
    logits[v.id("pitch", 21) : v.id("pitch", 109)] = (pitch if down else -pitch) * math.log(2)
    logits[v.id("end")] = (21 if down else -108) * math.log(2)
    return logits


@pytest.mark.parametrize("tokenizer", [SETS, UP], ids=["sets", "up"])
@pytest.mark.parametrize("context", [16, 4096])
def test_fair_coins_cost_88_bits_a_frame(tokenizer, context):
    got = evaluate(Fixed(coins(tokenizer), context=context), Pieces(tokenizer), tokenizer)
    assert got.frames == 33 + 34
    for name in ("all", "skip_first", "piece_mean"):
        assert getattr(got.nats_per_frame, name) == pytest.approx(88 * math.log(2), abs=1e-3)
    assert 88 * math.log(2) == pytest.approx(61.00, abs=0.005)


TOY = (40, 60, 61, 100)


def toy(tokenizer: Frames) -> tuple[torch.Tensor, list[list[int]]]:
    """(the order, restricted to four pitches; all frames of them as ids)."""
    v = tokenizer.vocabulary
    mark = v.id("rest" if tokenizer.voices else "end")
    pitches = [v.id("pitch", p) for p in TOY]
    table = Scoring.of(tokenizer).following_VV
    keep = torch.zeros(len(v), dtype=torch.bool)
    keep[[*pitches, mark]] = True
    if tokenizer.voices:
        frames = [list(frame) for frame in itertools.product([*pitches, mark], repeat=tokenizer.voices)]
    else:
        frames = [list(c) for n in range(5) for c in itertools.combinations(pitches, n)]
        frames = [sorted(f, reverse=tokenizer.settings.order == "descending") + [mark] for f in frames]
    return table & keep, frames


@pytest.mark.parametrize("family", ["lstm", "transformer"])
@pytest.mark.parametrize("tokenizer", [SETS, UP, Frames(FramesSettings(voices=2))], ids=["sets", "up", "two"])
def test_four_pitches_sum_to_one_over_all_their_frames(tokenizer, family):
    net = build_model(
        ModelSettings(family, len(tokenizer.vocabulary), width=16, layers=1, heads=2, context=64), seed=2
    ).eval()
    table, frames = toy(tokenizer)
    scoring = Scoring(tokenizer.vocabulary.id("pad"), following_VV=table)
    assert len(frames) == (25 if tokenizer.voices else 16)
    for before in ([], frames[5], frames[3] + frames[-1]):
        head = [tokenizer.vocabulary.id("bos"), *before]
        nats = [step_nats(net, np.array(head + frame), scoring)[len(before) :].sum() for frame in frames]
        assert np.exp(-np.array(nats)).sum() == pytest.approx(1, abs=1e-5)


@every
def test_the_baseline_sums_to_one_over_what_may_follow(tokenizer):
    ids, following = Pieces(tokenizer).ids[0], tokenizer.following
    for at in (1, 2, 7, 30):
        after = np.flatnonzero(following[ids[at - 1]])
        table = Table([ids, *(np.append(ids[:at], token) for token in after)], tokenizer.fields)
        scored_V = following.any(axis=0)
        conditions = [[Condition(0, back) for back in (1, 2, 3)]]
        nats_N = counted_nats(table, conditions, pieces=1, scored_V=scored_V, following_KK=following)
        last = np.flatnonzero(np.diff(table.piece_N, append=-1))[1:]
        assert np.exp(-nats_N[last]).sum() == pytest.approx(1)


@every
def test_the_units_fit_together(tokenizer):
    source = Pieces(tokenizer)
    net = build_model(ModelSettings("lstm", len(tokenizer.vocabulary), width=16, layers=1), seed=2)
    for got in (evaluate(net, source, tokenizer), evaluate_ngram(source, tokenizer).figures):
        total = got.nats_per_token * got.tokens
        assert got.tokens == sum(len(ids) - 2 for ids in source.ids[3:]), "neither BOS nor EOS is scored"
        assert got.pieces == 2
        assert got.nats_per_frame.all * got.frames == pytest.approx(total)
        assert got.nats_per_note * got.notes == pytest.approx(total)
        assert got.nats_per_second * got.seconds == pytest.approx(total)
        assert got.seconds == sum(tokenizer.decode(ids).seconds for ids in source.ids[3:])


def test_the_three_means_of_frames():
    v = SETS.vocabulary
    tally = Tally(SETS)
    tally.add(
        np.array([v.id("bos"), v.id("end"), v.id("pitch", 60), v.id("end"), v.id("eos")]), np.array([4.0, 1, 2, 0])
    )
    tally.add(np.array([v.id("bos"), v.id("end"), v.id("eos")]), np.array([8.0, 0]))
    got = tally.figures("test")
    assert got.nats_per_frame == FrameMeans(all=5.0, skip_first=3.0, piece_mean=5.75)
    assert (got.frames, got.tokens, got.notes, got.pieces) == (3, 4, 1, 2)


def test_windows_of_voices_begin_with_a_frame():
    v = FOUR.vocabulary
    ids = np.array([v.id("bos"), *[v.id("pitch", p) for p in (72, 64, 60, 48)] * 40, v.id("eos")])
    net = Fixed(torch.zeros(len(v)), context=18)
    nats = step_nats(net, ids, Scoring.of(FOUR))
    assert nats[:-1].tolist() == pytest.approx([math.log(129)] * 160)
    assert nats[-1] == 0
    assert net.heads == [v.id("bos"), *[v.id("pitch", 72)] * (len(net.heads) - 1)]


# ---- through the commands ------------------------------------------------------------------------------


def run(*arguments: object) -> str:
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A .mat file with all three splits, the corpus of it, and a run of a few steps."""
    root = tmp_path_factory.mktemp("frames")
    rng = np.random.default_rng(0)
    splits = {}
    for name, count in (("traindata", 6), ("validdata", 2), ("testdata", 3)):
        splits[name] = np.empty((1, count), object)
        for n in range(count):
            splits[name][0, n] = (rng.random((20 + n, 88)) < 0.04).astype(np.uint8)
    scipy.io.savemat(root / "x.mat", splits)
    run("corpus", "build", root / "x.mat", "-o", root / "c", "--tokenizer", "frames", "--jobs", 1)
    run("train", root / "c", "-o", root / "run", "--model", "lstm", "--steps", 2, *SMALL)
    return root


def test_the_test_split_is_scored_frame_by_frame(folder):
    got = json.loads(run("evaluate", folder / "run", folder / "c", "--split", "test", "--json", "--baseline"))
    for scored in (got, got["baseline"]):
        assert scored["split"] == "test"
        assert scored["frames"] == 20 + 21 + 22
        assert set(scored["nats_per_frame"]) == {"all", "skip_first", "piece_mean"}
        assert all(0 < value < 50 for value in scored["nats_per_frame"].values())
        for key in ("tokens", "notes", "seconds", "pieces", "nats_per_token", "bits_per_token", "perplexity"):
            assert scored[key] > 0


def test_models_of_frames_read_by_frame_unless_told_otherwise(folder):
    assert load_run(folder / "run").model.settings.by_frame
    ids = ("--steps", 1, "--set", "model.by_frame=false", *SMALL)
    run("train", folder / "c", "-o", folder / "ids", "--model", "gru", *ids)
    assert not load_run(folder / "ids").model.settings.by_frame


def test_along_pitches_the_preset_is_small_and_without_dropout_unless_told_otherwise(folder):
    changes = ("--set", "model.by_pitch=true", "--set", "model.width=24", "--steps", 1, *SMALL)
    run("train", folder / "c", "-o", folder / "along", "--model", "gru", *changes)
    settings = load_run(folder / "along").model.settings
    assert (settings.by_pitch, settings.width, settings.layers, settings.dropout) == (True, 24, 1, 0)


def test_each_figure_comes_with_its_count(folder):
    text = run("evaluate", folder / "run", folder / "c", "--split", "test")
    for count in ("nats a frame, over 63 frames", "without each piece's first, over 60 frames", "means of 3 pieces"):
        assert count in text
    assert "nats a second, over " in text


def test_options_of_frames_are_for_frames(folder):
    for option in (("--voices", 4), ("--frame-order", "ascending"), ("--frames-per-quarter", 4)):
        result = CliRunner().invoke(cli, ["corpus", "build", str(folder), "-o", str(folder / "d"), *map(str, option)])
        assert result.exit_code == 2
        assert f"{option[0]} is for the tokenizer frames alone; add --tokenizer frames" in result.stderr
    refused = CliRunner().invoke(
        cli, ["train", str(folder / "c"), "-o", str(folder / "r"), "--tokenizer", "frames", "--voices", "4"]
    )
    assert refused.exit_code == 2
    assert "is built with the tokenizer frames already" in refused.stderr


@pytest.mark.parametrize("content", [b"just words", b"", b"MATLAB 5.0 MAT-file" + bytes(200)])
def test_a_broken_file_is_one_line(content, tmp_path):
    (tmp_path / "x.mat").write_bytes(content)
    result = CliRunner().invoke(
        cli,
        ["corpus", "build", str(tmp_path / "x.mat"), "-o", str(tmp_path / "c"), "--tokenizer", "frames", "--jobs", "1"],
    )
    assert result.exit_code == 3
    assert len(result.stderr.strip().splitlines()) == 1
    assert "Traceback" not in result.output
    assert "x.mat: " in result.stderr


@pytest.mark.parametrize("tokenizer", [SETS, FOUR], ids=["sets", "four"])
def test_with_a_horizon_the_next_step_is_scored_as_without(tokenizer):
    """Over the ids that may follow alone, and without the end of a piece."""
    shape = {"vocabulary_size": len(tokenizer.vocabulary), "width": 16, "layers": 1, "horizon": 3}
    model = build_model(ModelSettings("lstm", **shape), seed=1).eval()
    figures = evaluate(model, Pieces(tokenizer), tokenizer)
    assert figures.nats_per_token_ahead is not None
    assert figures.nats_per_token_ahead[0] == pytest.approx(figures.nats_per_token, rel=1e-5)
    even = math.log(len(tokenizer.vocabulary))
    assert figures.nats_per_token_ahead[0] < even - 0.01, "of even scores the mask leaves fewer ids"
    assert figures.nats_per_token_ahead[2] == pytest.approx(even, abs=0.3), "later steps know no id before them"
