"""What holds the MusicXML reader to account: mutants of scores, and the comparison with other readers."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from musicxml_bricks import attributes, backup, note, rest, score
from score_files import read_scores
from worker_tasks import sizes

from musicgen.errors import UnreadableError
from musicgen.io.scores import read_score

PIPELINES = Path(__file__).parents[2] / "pipelines"


def test_mutants_of_musicxml_are_read_or_refused_in_a_line(module, tmp_path):
    mutant, sources = module("torture", "scores").mutant, module("torture", "musicxml_sources").MUSICXML_SCORES
    path, read = tmp_path / "mutant.musicxml", 0
    for n in range(200):
        path.write_bytes(mutant(sources[n % len(sources)], random.Random(f"suite/{n}")))
        try:
            for _, piece in read_scores(path):
                piece.validate()
            read += 1
        except UnreadableError as error:
            assert error.hint, n
            assert "\n" not in str(error), n
    assert read > 60, "many mutants still are scores"


def test_the_torture_uses_scores_that_are_read_whole(module, tmp_path):
    told = []
    for i, data in enumerate(module("torture", "musicxml_sources").MUSICXML_SCORES):
        path = tmp_path / f"{i}.xml"
        path.write_bytes(data)
        told.append({warning.partition(":")[0] for warning in read_score(path).warnings})
    assert told[0] == told[2]
    assert not (told[0] | told[1]) & {
        "encoding",
        "backups",
        "bad_meter",
        "bad_tempo",
        "no_duration",
        "parts",
        "repeats",
    }


def test_edits_take_out_what_they_say_and_nothing_else(module):
    """Cues become rests, ties go: what musicgen reads of the notes stays as it was."""
    check, edits = module("checks", "musicxml_oracles"), module("checks", "musicxml_edits")
    data = module("torture", "musicxml_sources").MUSICXML_SCORES[0]
    root = ElementTree.fromstring(data)
    whole = check.ours(edits.edited(root, ()), "notes")
    assert whole
    for edit in (edits.without_cues, edits.without_graces, edits.without_ornaments, edits.numbered):
        assert check.ours(edits.edited(root, (edit,)), "notes") == whole
    assert check.ours(edits.edited(root, (edits.without_ties,)), "ties") != check.ours(data, "ties")
    written = check.ours(edits.edited(root, (edits.without_transposition,)), "notes")
    assert {pitch for _, pitch, _ in whole} != {pitch for _, pitch, _ in written}


def test_ties_of_one_voice_stay_where_those_of_two_that_end_at_once_go(module):
    check, edits = module("checks", "musicxml_oracles"), module("checks", "musicxml_edits")
    begin, end = (f'<tie type="{kind}"/>' for kind in ("start", "stop"))
    first = attributes("3/4") + rest() + note("C4", 2, begin) + backup(3) + note("C4", 3, begin)
    second = note("C4", 1, end) + backup(1) + note("C4", 1, end) + note("E4", 2, begin)
    data = score([first, second, note("E4", 3, end)]).encode()
    whole = check.ours(data, "ties")
    assert whole == Counter({(0, 60, 480): 1, (120, 60, 360): 1, (480, 64, 600): 1})
    without = check.ours(edits.edited(ElementTree.fromstring(data), (edits.without_shared_ties,)), "ties")
    assert without == Counter({(0, 60, 360): 1, (120, 60, 240): 1, (360, 60, 120): 1, (480, 64, 600): 1})


def test_differences_are_told_and_rounding_is_none(module):
    check = module("checks", "musicxml_oracles")
    one, near, far = (Counter([(0, 60, 120), (at, 62, 120)]) for at in (240, 241, 250))
    assert check.differs(one, list(near.elements()), "notes") == ""
    assert check.differs(one, None, "notes") == ""
    assert check.differs(one, list(far.elements()), "notes") == (
        "1 notes are musicgen's alone (62 at 2 for 1), 1 the other reader's (62 at 2.08333 for 1)"
    )
    assert check.differs([0, 1, 0, 2], [0, 1, 2], "order") == "measures 1-2 1 3, the other reader 1-3"


def test_a_reader_that_a_file_ends_is_started_anew(module):
    other = module("checks", "musicxml_oracles").Other(sizes)
    assert [other(data, ["notes"]) for data in (b"abc", b"die", b"ab")] == [{"notes": 3}, {}, {"notes": 2}]
    other.close()


def test_without_files_nothing_is_compared_and_nothing_fails():
    script = PIPELINES / "checks" / "musicxml_oracles.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout in ("", "neither partitura nor verovio is installed: nothing was compared\n")
