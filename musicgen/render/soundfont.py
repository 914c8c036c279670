"""A reader of SoundFont 2 files: presets, the regions they are made of, and their sample data.

Conventions
-----------
A *preset* is what a MIDI program selects; it plays *regions*: one sample over a range of keys and velocities,
with the generators of the preset added to those of the instrument. Generator names, numbers and defaults
follow section 8.1 of the SoundFont Technical Specification 2.04, the file layout its sections 3 to 7, and
global zones its sections 7.3 and 7.7. Sample addresses are in frames from the start of the sample data.
Modulators are not read: the player applies the specification's default velocity, volume, expression and pan.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from musicgen.errors import UnreadableError

__all__ = ["Preset", "Region", "Sample", "SoundFont", "find_soundfont"]

SYSTEM_FOLDERS = (
    "/usr/share/sounds/sf2",
    "/usr/share/soundfonts",
    "/usr/local/share/soundfonts",
    "/usr/local/share/sounds/sf2",
    "/opt/homebrew/share/soundfonts",
)
PREFERRED = ("default-GM.sf2", "default.sf2", "FluidR3_GM.sf2", "GeneralUser-GS.sf2", "TimGM6mb.sf2")

# SoundFont 2.04, section 8.1.3: name -> (number, default). Times are in timecents, gains in centibels.
GENERATORS = {
    "startAddrsOffset": (0, 0),
    "endAddrsOffset": (1, 0),
    "startloopAddrsOffset": (2, 0),
    "endloopAddrsOffset": (3, 0),
    "startAddrsCoarseOffset": (4, 0),
    "modLfoToPitch": (5, 0),
    "vibLfoToPitch": (6, 0),
    "modEnvToPitch": (7, 0),
    "initialFilterFc": (8, 13500),
    "initialFilterQ": (9, 0),
    "modLfoToFilterFc": (10, 0),
    "modEnvToFilterFc": (11, 0),
    "endAddrsCoarseOffset": (12, 0),
    "modLfoToVolume": (13, 0),
    "pan": (17, 0),
    "delayModLFO": (21, -12000),
    "freqModLFO": (22, 0),
    "delayVibLFO": (23, -12000),
    "freqVibLFO": (24, 0),
    "delayModEnv": (25, -12000),
    "attackModEnv": (26, -12000),
    "holdModEnv": (27, -12000),
    "decayModEnv": (28, -12000),
    "sustainModEnv": (29, 0),
    "keynumToModEnvHold": (31, 0),
    "keynumToModEnvDecay": (32, 0),
    "delayVolEnv": (33, -12000),
    "attackVolEnv": (34, -12000),
    "holdVolEnv": (35, -12000),
    "decayVolEnv": (36, -12000),
    "sustainVolEnv": (37, 0),
    "releaseVolEnv": (38, -12000),
    "keynumToVolEnvHold": (39, 0),
    "keynumToVolEnvDecay": (40, 0),
    "startloopAddrsCoarseOffset": (45, 0),
    "keynum": (46, -1),
    "velocity": (47, -1),
    "initialAttenuation": (48, 0),
    "endloopAddrsCoarseOffset": (50, 0),
    "coarseTune": (51, 0),
    "fineTune": (52, 0),
    "sampleModes": (54, 0),
    "scaleTuning": (56, 100),
    "exclusiveClass": (57, 0),
    "overridingRootKey": (58, -1),
}
INSTRUMENT, KEY_RANGE, VELOCITY_RANGE, SAMPLE_ID = 41, 43, 44, 53
# Section 8.5: generators of instruments only; in presets they are to be ignored.
INSTRUMENT_ONLY = frozenset((0, 1, 2, 3, 4, 12, 45, 46, 47, 50, 54, 57, 58))
COMPRESSED = 0x10  # sample type bit of the unofficial SF3 format: Ogg Vorbis inside

_PHDR = np.dtype([("name", "S20"), ("program", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("rest", "<u4", 3)])
_INST = np.dtype([("name", "S20"), ("bag", "<u2")])
_BAG = np.dtype([("gen", "<u2"), ("mod", "<u2")])
_GEN = np.dtype([("number", "<u2"), ("amount", "<i2")])
_SHDR = np.dtype(
    [
        ("name", "S20"),
        ("start", "<u4"),
        ("end", "<u4"),
        ("loop_start", "<u4"),
        ("loop_end", "<u4"),
        ("rate", "<u4"),
        ("pitch", "u1"),
        ("correction", "i1"),
        ("link", "<u2"),
        ("type", "<u2"),
    ]
)
_TABLES = {b"phdr": _PHDR, b"pbag": _BAG, b"pgen": _GEN, b"inst": _INST, b"ibag": _BAG, b"igen": _GEN, b"shdr": _SHDR}
_HINT = "give a SoundFont 2 file (.sf2) with `soundfont`"


@dataclass(frozen=True)
class Sample:
    """Where a recording lies in the sample data (frames), its rate in Hz and its pitch (MIDI key, cents)."""

    name: str
    start: int
    end: int
    loop_start: int
    loop_end: int
    rate_hz: int
    pitch: int
    correction: int


@dataclass(frozen=True, eq=False)
class Region:
    """One sample over a range of keys and velocities (both ends included); `region["pan"]` reads a generator."""

    keys: tuple[int, int]
    velocities: tuple[int, int]
    sample: Sample
    generators: dict[int, int]

    def __getitem__(self, name: str) -> int:
        number, default = GENERATORS[name]
        return self.generators.get(number, default)


@dataclass(frozen=True, eq=False)
class Preset:
    """A named set of regions."""

    name: str
    bank: int
    program: int
    regions: tuple[Region, ...]

    def matching(self, key: int, velocity: int) -> list[Region]:
        """The regions which sound for a MIDI key and velocity, in file order."""
        return [
            r for r in self.regions if r.keys[0] <= key <= r.keys[1] and r.velocities[0] <= velocity <= r.velocities[1]
        ]


class SoundFont:
    """An opened SoundFont: `samples` (int16, a memory map of the file) and presets, built on demand.

    Raises UnreadableError when the file isn't a whole SoundFont 2 file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        data = _map(self.path)
        if len(data) < 12 or bytes(data[:4]) != b"RIFF" or bytes(data[8:12]) != b"sfbk":
            raise UnreadableError("not a SoundFont 2 file", where=self.path, hint=_HINT)
        chunks = self._chunks(data)
        tables = {}
        for name in (b"smpl", *_TABLES):
            if name not in chunks:
                raise UnreadableError(f"the SoundFont has no {name.decode()} chunk", where=self.path, hint=_HINT)
        for name, dtype in _TABLES.items():
            start, size = chunks[name]
            if size % dtype.itemsize or size == 0:
                raise UnreadableError(
                    f"the SoundFont's {name.decode()} chunk of {size} bytes is damaged", where=self.path, hint=_HINT
                )
            tables[name] = np.frombuffer(data[start : start + size].tobytes(), dtype)
        start, size = chunks[b"smpl"]
        self.samples = data[start : start + size // 2 * 2].view("<i2")
        self._tables = tables
        self._instruments: dict[int, list[tuple[dict[int, int], Sample]]] = {}
        self._presets: dict[tuple[int, int], Preset] = {}
        if np.any(tables[b"shdr"]["type"][:-1] & COMPRESSED):
            raise UnreadableError(
                "the samples are compressed (SF3), which this player can't read", where=self.path, hint=_HINT
            )
        # The last record of phdr is a terminator; of two presets with the same number the first counts.
        heads = tables[b"phdr"][:-1]
        self._index = {(int(h["bank"]), int(h["program"])): i for i, h in reversed(list(enumerate(heads)))}
        if not self._index:
            raise UnreadableError("the SoundFont has no presets", where=self.path, hint=_HINT)

    @property
    def programs(self) -> list[tuple[int, int]]:
        """The (bank, program) of each preset, sorted."""
        return sorted(self._index)

    def preset(self, program: int, *, bank: int = 0) -> Preset:
        """The preset of a program, else program 0 of the bank, else the bank's first, else the font's first.

        Bank 128 holds the percussion kits, by General MIDI custom.
        """
        found = next(
            (k for k in ((bank, program), (bank, 0)) if k in self._index),
            next((k for k in self.programs if k[0] == bank), self.programs[0]),
        )
        if found not in self._presets:
            self._presets[found] = self._build(self._index[found])
        return self._presets[found]

    # ---- reading -------------------------------------------------------------------------------

    def _chunks(self, data: np.ndarray) -> dict[bytes, tuple[int, int]]:
        """(first byte, size) of each chunk inside the file's LIST chunks."""
        found: dict[bytes, tuple[int, int]] = {}
        stop = 8 + int.from_bytes(data[4:8].tobytes(), "little")
        if stop > len(data):
            raise UnreadableError(
                f"the SoundFont is cut short: {len(data)} bytes of {stop}",
                where=self.path,
                hint="copy or download it again",
            )
        lists = [(12, stop)]
        while lists:
            at, end = lists.pop()
            while at + 8 <= end:
                name, size = data[at : at + 4].tobytes(), int.from_bytes(data[at + 4 : at + 8].tobytes(), "little")
                if at + 8 + size > end:
                    raise UnreadableError(
                        f"the SoundFont is damaged: a chunk at byte {at} runs past its end",
                        where=self.path,
                        hint="copy or download it again",
                    )
                if name == b"LIST" and size >= 4:
                    lists.append((at + 12, at + 8 + size))
                else:
                    found.setdefault(name, (at + 8, size))
                at += 8 + size + size % 2
        return found

    def _zones(self, bags: bytes, gens: bytes, *, first: int, last: int, terminal: int) -> list[dict[int, int]]:
        """The zones of bags first..last-1 as {generator: amount}, with the generators of the global zone as defaults.


        Only zones with the generator `terminal` (a sample or an instrument) sound; the first may be global without it.
        """
        bag, gen = self._tables[bags]["gen"], self._tables[gens]
        zones: list[dict[int, int]] = []
        shared: dict[int, int] = {}
        for n in range(first, min(last, len(bag) - 1)):
            rows = gen[int(bag[n]) : int(bag[n + 1])]
            zone = {int(g): int(a) for g, a in zip(rows["number"], rows["amount"], strict=True)}
            if terminal in zone:
                zones.append(shared | zone)
            elif n == first:
                shared = zone
        return zones

    def _instrument(self, n: int) -> list[tuple[dict[int, int], Sample]]:
        """The zones of instrument `n` with their samples; zones with an invalid sample are left out."""
        if n not in self._instruments:
            bags, heads = self._tables[b"inst"]["bag"], self._tables[b"shdr"]
            zones = []
            for zone in self._zones(b"ibag", b"igen", first=int(bags[n]), last=int(bags[n + 1]), terminal=SAMPLE_ID):
                number = zone[SAMPLE_ID] & 0xFFFF
                if number >= len(heads) - 1:
                    continue
                h = heads[number]
                fields = (int(h[k]) for k in ("start", "end", "loop_start", "loop_end", "rate", "pitch", "correction"))
                sample = Sample(h["name"].decode("latin-1"), *fields)
                if sample.start < sample.end <= len(self.samples) and sample.rate_hz > 0:
                    zones.append((zone, sample))
            self._instruments[n] = zones
        return self._instruments[n]

    def _build(self, n: int) -> Preset:
        head, bags = self._tables[b"phdr"][n], self._tables[b"phdr"]["bag"]
        regions = []
        for outer in self._zones(b"pbag", b"pgen", first=int(bags[n]), last=int(bags[n + 1]), terminal=INSTRUMENT):
            instrument = outer[INSTRUMENT] & 0xFFFF
            if instrument >= len(self._tables[b"inst"]) - 1:
                continue
            for inner, sample in self._instrument(instrument):
                keys, velocities = (_overlap(outer, inner, k) for k in (KEY_RANGE, VELOCITY_RANGE))
                if keys[0] > keys[1] or velocities[0] > velocities[1]:
                    continue
                values = {}
                for number, default in GENERATORS.values():
                    value = inner.get(number, default)
                    values[number] = value if number in INSTRUMENT_ONLY else value + outer.get(number, 0)
                regions.append(Region(keys, velocities, sample, values))
        return Preset(head["name"].decode("latin-1"), int(head["bank"]), int(head["program"]), tuple(regions))


def find_soundfont(path: str | Path | None = None) -> Path:
    """The SoundFont to play with: `path`, else one of the system's, else the small one inside pretty_midi.

    Raises UnreadableError when `path` isn't there, or without a path when no SoundFont is found.
    """
    if path is not None:
        if not Path(path).is_file():
            raise UnreadableError("no such SoundFont file", where=path, hint="check the path after `soundfont`")
        return Path(path)
    for folder in map(Path, SYSTEM_FOLDERS):
        fonts = sorted(p for p in folder.glob("*.sf2") if p.is_file())
        if fonts:
            return next((p for name in PREFERRED for p in fonts if p.name == name), fonts[0])
    spec = find_spec("pretty_midi")  # finds the folder without importing the package
    for place in (spec.submodule_search_locations or ()) if spec else ():
        font = Path(place) / "TimGM6mb.sf2"
        if font.is_file():
            return font
    raise UnreadableError("no SoundFont was found on this machine", hint="pass one with `soundfont` FILE.sf2")


def _map(path: Path) -> np.ndarray:
    """The bytes of a regular file as a read-only memory map."""
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):  # opening a FIFO would wait for ever
            raise UnreadableError("not a file that can be read as a SoundFont", where=path, hint=_HINT)
        if info.st_size == 0:
            raise UnreadableError("the SoundFont is empty", where=path, hint=_HINT)
        return np.memmap(path, np.uint8, "r").view(np.ndarray)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UnreadableError(f"can't read the SoundFont: {reason}", where=path, hint=_HINT) from error


def _overlap(outer: dict[int, int], inner: dict[int, int], which: int) -> tuple[int, int]:
    """The intersection (low, high) of two zones' ranges, which are stored as low byte, high byte (section 8.1.2)."""
    a, b = outer.get(which, 0x7F00) & 0xFFFF, inner.get(which, 0x7F00) & 0xFFFF
    return max(a & 0xFF, b & 0xFF), min(a >> 8, b >> 8)
