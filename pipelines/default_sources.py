"""Which files the default model may learn from, and which of them are for validation and test.

Everything here is known from names and tables, before any music is read, so that a split doesn't depend on what
could be read or in which order. Whole composers are set aside; those who wrote too much for that (more than
MANY files) are split by opus, catalogue number or manuscript. A composition recurs between sources, which
`units` meets by composer and number, and `default_corpus.py` by the notes a piece begins with.
"""

from __future__ import annotations

import csv
import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musicgen.corpus.catalog import find_entry, package_files

__all__ = ["Item", "listing", "shares", "surname"]

MANY = 40  # files; of a composer with more, single works are set aside
# Test pieces wanted of a kind: a share, but enough that those of 17 bars and more are a dozen.
TEST, VALID, FEWEST = 0.04, 0.03, 20
FEWEST_OF = {
    "band": 20,
    "drums": 18,
    "chorale": 56,
    "folk": 28,
    "orchestra": 16,
    "quartet": 16,
    "piano-performance": 14,
    "guitar-choir-other": 38,
}
ALIASES = {"mendelssohnbartholdy": "mendelssohn", "rimskykorsakov": "rimsky", "purcellh": "purcell"}
# Music of these releases that others measure models with is not in the folders; its takes elsewhere aren't learned.
MEASURED = {"mozart k331": "test", "freedoom why": "test"}
UNKNOWN = {"anonim", "anonymous", "traditional", "trad", "", "various"}
# The number under which a work is known, by composer; the first that is found counts.
NUMBERS = {
    "bach": (r"bwv[\s._-]*(?:anh[\s._-]*)?\d+",),
    "mozart": (r"(?<![a-z])kv?[\s._]*\d{1,3}",),
    "schubert": (r"(?<![a-z])d[\s._]*\d{2,3}",),
}
OPUS = (
    r"(?<![a-z])woo?[\s._-]*\d+",
    r"(?<![a-z])op(?:us)?[\s._-]*\d+",
    r"(?<![a-z])o\d+(?![a-z\d])",
    r"hob[\s._:]*[ivx]+[\s._:]*\d+",
)


@dataclass(frozen=True)
class Item:
    """One file. `unit` is what goes into one split together; `played` is a human's timing, `real_bars` is a grid."""

    source: str  # relative to the data folder, POSIX; or 'bach-chorales/NAME'
    path: Path
    kind: str
    composer: str  # a surname in plain letters, or empty
    unit: str
    licence: str
    credit: str = ""
    played: bool = False
    real_bars: bool = True
    weighs: bool = True  # counts towards what is wanted of its kind: groove's fills don't
    split: str = ""  # where the source itself says so


def surname(name: str) -> str:
    """The surname in plain lower-case letters; empty for the unknown.

    >>> [surname(n) for n in ("Beethoven, L. van", "BeethovenLv", "Ludwig_van_Beethoven", "Beethoven,_Ludwig_van")]
    ['beethoven', 'beethoven', 'beethoven', 'beethoven']
    """
    name = name.translate(str.maketrans("łŁøØ", "lLoO")).replace("_", " ").strip()
    name = unicodedata.normalize("NFKD", name)
    name = "".join(c for c in name if not unicodedata.combining(c))
    if "," in name:
        last = name.partition(",")[0]
    elif " " in name:
        last = re.sub(r"[\s,]*\b(Jr|Sr)\.?$|\(.*?\)|\[.*?\]", "", name).split(" ")[-1]
    else:  # BachJS, Mendelssohn-BartholdyF: initials follow the name
        last = re.sub(r"(?<=[a-z])[A-Z][A-Za-z]{0,3}$", "", name)
    plain = re.sub(r"[^a-z]", "", last.lower())
    plain = ALIASES.get(plain, plain)
    return "" if plain in UNKNOWN else plain


def number(composer: str, text: str) -> str:
    """The opus or catalogue number in a name or path, such as 'bwv846' or 'op27'; empty without one.

    >>> number("chopin", "ChopinFF__O28__Chop-28-20") == number("chopin", "preludes op. 28 no 4") == "op28"
    True
    """
    text = unicodedata.normalize("NFKC", text).lower()
    for pattern in (*NUMBERS.get(composer, ()), *OPUS):
        if found := re.search(pattern, text):
            letters, digits = re.match(r"([a-z]+)(.*)", found[0]).groups()  # type: ignore[union-attr]
            letters = {"o": "op", "opus": "op", "kv": "k", "wo": "woo"}.get(letters, letters)
            return letters + re.sub(r"[^a-z\d]|(?<!\d)0+(?=\d)", "", digits)
    return ""


# ---- the sources -----------------------------------------------------------------------------------------


def listing(data: Path) -> list[Item]:
    """All files that may be used: MIDI first, then scores, as reading those takes a hundred times as long."""
    parts = (
        _groove, _freedoom, _giantmidi, _vienna, _mutopia_more, _mutopia, _polish,
        _chorales, _lieder, _quartets, _openewld, _hauptstimme,
    )  # fmt: skip
    return by_work([item for part in parts for item in part(data)])


def by_work(items: list[Item]) -> list[Item]:
    """The units settled: composers with few files whole, the others by work."""
    count = Counter(i.composer for i in items)
    settled = []
    for i in items:
        unit = i.unit
        if i.composer and count[i.composer] <= MANY:
            unit = i.composer
        elif i.composer and (known := number(i.composer, i.source)):
            unit = f"{i.composer} {known}"
        settled.append(Item(**{**i.__dict__, "unit": unit}))
    return settled


def _files(data: Path, folder: str, suffix: str) -> Iterator[tuple[str, Path]]:
    for path in sorted((data / folder).rglob(f"*{suffix}")):
        yield path.relative_to(data).as_posix(), path


def _rows(path: Path, delimiter: str = "\t") -> list[list[str]]:
    return list(csv.reader(path.read_text(encoding="utf-8").splitlines(), delimiter=delimiter, quoting=csv.QUOTE_NONE))


def _groove(data: Path) -> Iterator[Item]:
    about = {row[7]: row for row in _rows(data / "groove_midi" / "info.csv", ",")}
    for source, path in _files(data, "groove_midi", ".mid"):
        row = about[source.removeprefix("groove_midi/")]
        bars = float(row[9]) * float(row[4]) / 240
        split = {"test": "test", "validation": "valid"}.get(row[10], "")
        yield Item(
            source, path, "drums", "", f"groove {row[1]}", "CC BY 4.0", played=True, weighs=bars >= 17, split=split
        )


def _freedoom(data: Path) -> Iterator[Item]:
    """A tune keeps its name from release to release; the credits say what is a remix of what."""
    files = list(_files(data, "freedoom_rock", ".mid"))
    names = {source: re.sub(r"^v[\d.]+_", "", path.stem).lower() for source, path in files}
    said = (data / "freedoom_rock" / "CREDITS-MUSIC").read_text(encoding="utf-8")
    credits = [
        (f"d_{slot.lower()}", text) for slot, text in re.findall(r"^\s*(E\dM\d|MAP\d\d|DM\d\d): (.*)$", said, re.M)
    ]
    titles = {found[1]: slot for slot, text in reversed(credits) if (found := re.match(r'"([^"]+)"', text))}
    group = {tune: tune for tune in (*names.values(), *(slot for slot, _ in credits))}
    for slot, text in credits:
        related = [name.lower() for name in re.findall(r"([\w-]+)\.mid", text)]
        for title in re.findall(r'"([^"]+)"', text)[1:]:
            related += [titles.get(title, ""), re.sub(r"[^a-z\d]", "", title.lower())]
        for tune in related:
            if tune in group:
                old, new = group[slot], group[tune]
                group.update({member: new for member, own in group.items() if own == old})
    for source, path in files:
        unit = group[names[source]]
        # A tune whose remix was taken out to measure with is not for training.
        away = any(own == unit and member not in names.values() for member, own in group.items())
        yield Item(source, path, "band", "", f"freedoom {unit}", "BSD-3-Clause", split="test" if away else "")


def _giantmidi(data: Path) -> Iterator[Item]:
    for source, path in _files(data, "giantmidi_piano", ".mid"):
        composer = surname(re.split(r"[_,]", path.stem)[0])
        yield _work(source, path, "piano-performance", composer, "CC BY 4.0", played=True, real_bars=False)


def _vienna(data: Path) -> Iterator[Item]:
    for source, path in _files(data, "vienna4x22", ".mid"):
        composer = surname(path.stem.partition("_")[0])
        # Twenty-two takes of an excerpt are no test set.
        yield _work(
            source, path, "piano-performance", composer, "CC BY 4.0", played=True, real_bars=False, split="train"
        )


def _mutopia_more(data: Path) -> Iterator[Item]:
    about = {row[0]: row for row in _rows(data / "mutopia_more" / "index.tsv")[1:]}
    for source, path in _files(data, "mutopia_more", ".mid"):
        row = [*about[source.removeprefix("mutopia_more/")], *[""] * 8]
        licence = "public domain" if row[2] == "PD" else row[3]
        yield _mutopia_item(source, path, row[4], row[5], row[6], licence, row[7] if row[2] != "PD" else "")


def _mutopia(data: Path) -> Iterator[Item]:
    about = {row[0].removesuffix("i"): row for row in _rows(data / "mutopia_pd" / "index.tsv")}
    for source, path in _files(data, "mutopia_pd", ".mid"):
        row = [*about.get(path.name, []), *[""] * 4]
        yield _mutopia_item(source, path, row[3], "", path.stem.partition("__")[0], "public domain", "")


def _mutopia_item(source: str, path: Path, forces: str, style: str, name: str, licence: str, credit: str) -> Item:
    forces, composer = forces.lower(), surname(name)
    keys = r"[\s,/]*(?:(?:piano|harpsichord|clavichord|organ|harmonium|accordion)[\s,/]*)+"
    kind = "guitar-choir-other"
    if name == "Traditional" or "folk" in style.lower():
        kind = "folk"
    elif re.fullmatch(keys, forces):
        kind = "piano-score"
    elif re.match(r"(voice|song).*piano|harpsichord, voice", forces) or (not forces and "song" in style.lower()):
        kind = "song"
    elif "orchestra" in forces:
        kind = "orchestra"
    elif "string quartet" in forces:
        kind = "quartet"
    # The folder below the composer is a work or an opus: movements and parts of it stay together.
    work = path.stem.split("__")[1 if composer else 0 : 2]
    unit = f"mutopia {composer} {re.sub(r'[-_.][0-9]+$', '', ' '.join(work).lower())}"
    return Item(source, path, kind, composer, unit, licence, credit)


def _polish(data: Path) -> Iterator[Item]:
    about = {row[0]: row for row in _rows(data / "polish_scores" / "index.tsv")[1:]}
    for source, path in _files(data, "polish_scores", ".mid"):
        row = about[source.removeprefix("polish_scores/")]
        # pl-sa--9-a-i-9--001-002_...: shelf mark, item, movement. An item is a work, or a collection of small ones.
        item = re.match(r"(pl-[a-z]+--[^_]+?)(?:(?<=--\d{3})-\d+)?(?:--pc\d+)?_", path.name)
        kind = "ensemble" if row[4] == "small_ensemble" else "piano-score"
        yield Item(source, path, kind, surname(row[3]), item[1] if item else path.stem, "CC BY 4.0")


def _chorales(data: Path) -> Iterator[Item]:
    for path in package_files(find_entry("bach-chorales")):
        yield _work(f"bach-chorales/{path.name}", path, "chorale", "bach", "public domain")


def _lieder(data: Path) -> Iterator[Item]:
    for source, path in _files(data, "openscore_lieder", ".mxl"):
        yield _work(source, path, "song", surname(source.split("/")[2]), "CC0 1.0")


def _quartets(data: Path) -> Iterator[Item]:
    for source, path in _files(data, "openscore_stringquartets", ".mxl"):
        yield _work(source, path, "quartet", surname(source.split("/")[2]), "CC0 1.0")


def _openewld(data: Path) -> Iterator[Item]:
    for source, path in _files(data, "openewld_pd", ".mxl"):
        authors, _, title = path.stem.partition("__")
        names = [surname(a.replace(",", "")) for a in authors.split("-")]
        yield Item(source, path, "folk", names[-1], f"song {title.lower()}", "public domain")


def _hauptstimme(data: Path) -> Iterator[Item]:
    for source, path in _files(data, "hauptstimme", ".mxl"):
        yield _work(source, path, "orchestra", surname(source.split("/")[2]), "CC0 1.0")


def _work(source: str, path: Path, kind: str, composer: str, licence: str, **more: Any) -> Item:
    """An item whose folder is its work where it has one of its own, else its name without the movement."""
    folder = source.rpartition("/")[0] if source.count("/") > 3 else re.sub(r"[_-]p?\d+$", "", path.stem)
    return Item(source, path, kind, composer, f"{composer} {folder.lower()}", licence, **more)


# ---- shares ----------------------------------------------------------------------------------------------


def shares(items: Iterable[Item], *, seed: int = 0) -> dict[str, str]:
    """Unit -> split. Kind after kind, units in the order of a hash go to test, then to valid, while there is room.

    A unit that would overfill a kind goes to train, and so does one of which a source says so. Where a source says that
    a file is for validation, `default_corpus.py` follows it, unless the unit is in test.
    """
    items = list(items)
    members: dict[str, Counter[str]] = defaultdict(Counter)
    for i in items:
        members[i.unit][i.kind] += i.weighs
    total = Counter(i.kind for i in items)
    split = {i.unit: "train" for i in items if i.split == "train"}
    order = sorted(members, key=lambda unit: hashlib.sha256(f"{seed}\0{unit}".encode()).digest())
    for name, share in (("test", TEST), ("valid", VALID)):
        least = {kind: FEWEST_OF.get(kind, FEWEST) * (1.0 if name == "test" else 0.5) for kind in total}
        want = {kind: max(share * total[kind], least[kind]) for kind in total}
        have: Counter[str] = Counter()
        for kind in sorted(total, key=lambda k: total[k]):
            for unit in order:
                if unit in split or not members[unit][kind] or have[kind] >= want[kind]:
                    continue
                # No unit is to be most of a test set; beyond that, half as much again as wanted is let in.
                fits = (n <= max(0.3 * want[k], 6) and have[k] + n <= 1.5 * want[k] for k, n in members[unit].items())
                if all(fits):
                    split[unit] = name
                    have.update(members[unit])
    split |= {unit: MEASURED[unit] for unit in MEASURED if unit in members}
    return {unit: split.get(unit, "train") for unit in order}
