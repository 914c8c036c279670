"""What is amiss with the form of a new tune, and that of several the best one is kept."""

from __future__ import annotations

import pytest

from musicgen import Composer, build_corpus, train
from musicgen.io.scores import read_tune
from musicgen.sampling.tune_form import FORMLESS, WANDERS, loose_ends, written_bars

HEAD = "X:1\nT:Waltz\nM:3/4\nL:1/8\nK:G Major\n"
PHRASE = '"G"G2 B2 d2|"C"e2 c2 A2|"D7"d2 c2 A2|'
WHOLE = HEAD + f'|:{PHRASE}"G"B6|{PHRASE}"G"G6:|\n|:{PHRASE}"Em"B6|{PHRASE}"G"G6:|\n'


def ends(text: str) -> dict[str, int]:
    return loose_ends(text, read_tune(text))


def test_a_whole_tune_has_no_loose_ends():
    assert ends(WHOLE) == {}
    assert ends(WHOLE.replace("|:", "D2|", 1)) == {}, "with a pickup"


@pytest.mark.parametrize(
    ("change", "words", "weight"),
    [
        (("G6:|\n|:", "G6|\n" + (PHRASE + "B6|") * 8), "it has 48 bars", WANDERS),
        (("|:" + PHRASE + '"Em"B6|' + PHRASE + '"G"G6:|', ""), "it has 8 bars", WANDERS),
        (('"G"G6:|\n|:', '"G"G6|D6:|\n|:D6|'), "18 bars are no whole phrases", 1),
        (("K:G", "K:C"), "its last note isn't the tonic", 1),
        (("K:G", "K:C"), "its last chord isn't the tonic", 1),
        (("d2 c2 A2", "d2 c2"), "bars aren't full", 1),
        (("M:3/4", "M:3/4\nR:waltz\nR:waltz"), "a line of its header stands twice", 1),
        (("G2 B2 d2", "BBBBBB"), "it stands still", 1),
    ],
)
def test_what_is_amiss_is_said_and_weighed(change, words, weight):
    assert ends(WHOLE.replace(*change)).get(words) == weight


def test_a_tune_in_which_nothing_returns():
    letters = "GABcdefg"
    bars = [f"{letters[k % 8]}2{letters[k // 3 % 8]}2{letters[(k * 5 + k // 8) % 8]}2" for k in range(15)]
    assert ends(HEAD + "|".join(bars) + "|G6|\n")["no phrase returns"] == FORMLESS


def test_bars_are_those_that_are_written():
    assert written_bars(WHOLE)[:2] == [("G2B2d2", True), ("e2c2A2", True)]
    assert len(written_bars(WHOLE)) == 16
    assert written_bars(HEAD + "D2|G4|G6|\n") == [("D2", False), ("G4", False), ("G6", True)]


def test_of_several_new_tunes_the_best_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("musicgen.tokenizers.abc.grammar.LONGEST", 150)  # characters: it never learned to end
    texts = [WHOLE.replace("X:1", f"X:{n}").replace("e2", "efg"[n % 3] + "2") for n in range(1, 13)]
    (tmp_path / "tunes.abc").write_text("\n".join(texts))
    build_corpus([tmp_path / "tunes.abc"], tmp_path / "corpus", tokenizer="abc", jobs=1)
    small = {"train.batch": 2, "train.length": 64, "model.width": 16}
    train(tmp_path / "corpus", output=tmp_path / "run", model="lstm", changes=small, steps=1)
    composer = Composer.load(tmp_path / "run")
    first, second = composer.generate(takes=2, seed=5)
    tried = first.facts["candidates"]
    assert [each["kept"] for each in tried].count(True) == 1
    (kept,) = [each for each in tried if each["kept"]]
    assert kept["distance"] == min(each["distance"] for each in tried)
    assert tried[0]["seed"] == 5
    (alone,) = composer.generate(takes=1, seed=6)
    assert alone.text == second.text, "a take is the same alone or among others"
    (given,) = composer.generate(takes=1, seed=5, bars=4)
    assert "candidates" not in given.facts, "a tune of so many bars is one try"
