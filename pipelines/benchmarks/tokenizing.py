"""Notes a second from MIDI file to piece, to ids and back: ours beside mido, pretty_midi, symusic and MidiTok.

    python pipelines/benchmarks/tokenizing.py --data ../shared/data --files 100 --rounds 7

One core, on the same files, in turns. Every tokenizer of `musicgen.tokenizers` is measured; MidiTok's is REMI with
settings that spell the same music in about as many tokens (see `miditok_remi`). Where a note has no length or
stands twice, readers differ, so the notes of all are counted as ours: it's the same work for each.
"""

from __future__ import annotations

import random
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import mido
import pretty_midi
from generated import write_pieces
from measure import ROOT, Spread, header, interleave, parser, ratio, table, versus

from musicgen.errors import MusicgenError
from musicgen.io.midi import read_midi
from musicgen.tokenizers import load_tokenizer

# Those whose work is arrays; `abc` is text.
NAMES = ("notes", "performance", "remi", "frames")

# How many times faster than the peer in brackets each step is to be.
READ, ENCODE, DECODE, FILE_TO_IDS = 10, 40, 20, 8  # mido, MidiTok, MidiTok, MidiTok


def with_mido(path: str) -> int:
    """Notes of a file by a plain loop over mido's messages, as a user would write it."""
    count, open_notes = 0, {}
    for track in mido.MidiFile(path).tracks:
        tick = 0
        for message in track:
            tick += message.time
            if message.type == "note_on" and message.velocity:
                open_notes.setdefault((message.channel, message.note), []).append(tick)
            elif message.type in ("note_on", "note_off") and open_notes.get((message.channel, message.note)):
                open_notes[message.channel, message.note].pop(0)
                count += 1
    return count


def miditok_remi() -> Any:
    """MidiTok's REMI set up like our `remi`: grid, velocities, tempi, meters, a program token where it changes."""
    from miditok import REMI, TokenizerConfig

    config = TokenizerConfig(
        pitch_range=(0, 127),
        beat_res={(0, 2): 24, (2, 4): 4, (4, 8): 2, (8, 16): 1},
        num_velocities=32,
        special_tokens=["PAD", "BOS", "EOS"],
        encode_ids_split="no",
        use_programs=True,
        program_changes=True,
        use_tempos=True,
        num_tempos=49,
        tempo_range=(20, 320),
        log_tempos=True,
        use_time_signatures=True,
        time_signature_range={denominator: list(range(1, 33)) for denominator in (1, 2, 4, 8, 16, 32)},
        remove_duplicated_notes=True,
        delete_equal_successive_tempo_changes=True,
    )
    return REMI(config)


def choose(data: str, count: int, spare: Path) -> list[str]:
    """A fixed sample of the MIDI files under `data`; made in code and put into `spare` where there are none."""
    files = sorted(str(path) for path in Path(data).rglob("*.mid"))
    if not files:
        print(f"no MIDI files under {data}: measured on generated ones", file=sys.stderr)
        write_pieces(spare, files=count, notes=1000)
        return sorted(str(path) for path in spare.glob("*.mid"))
    return random.Random(0).sample(files, min(count, len(files)))


def readable(files: Sequence[str], readers: Sequence[Callable[[str], Any]]) -> list[str]:
    """The files that every reader takes; the others are counted on stderr."""
    kept = []
    for file in files:
        try:
            for reader in readers:
                reader(file)
        except (MusicgenError, OSError, ValueError, EOFError, KeyError, RuntimeError) as error:
            print(f"left out: {Path(file).name} ({type(error).__name__}: {error})", file=sys.stderr)
        else:
            kept.append(file)
    return kept


def over(function: Callable[[Any], Any], items: Sequence[Any]) -> Callable[[], None]:
    """A way to measure: `function` of each item."""

    def way() -> None:
        for item in items:
            function(item)

    return way


def main() -> int:
    made = parser(__doc__)
    made.add_argument("--data", default=str(ROOT.parent / "shared" / "data"), help="a folder of MIDI files")
    made.add_argument("--files", type=int, default=100, help="how many of them")
    chosen = made.parse_args()
    rounds = chosen.rounds or (2 if chosen.quick else 7)
    warnings.simplefilter("ignore")
    header("Tokenizing", "numpy", "mido", "pretty_midi", "miditok", "symusic")
    with tempfile.TemporaryDirectory() as folder:
        files = choose(chosen.data, chosen.files, Path(folder, "made"))
        measure_all(files, rounds)
    return 0


def measure_all(files: Sequence[str], rounds: int) -> None:
    """Measure reading, encoding, decoding and both at once on `files`, and print a table of each."""
    from symusic import Score

    files = readable(files, [read_midi, with_mido, pretty_midi.PrettyMIDI, Score])
    pieces, scores = [read_midi(file) for file in files], [Score(file) for file in files]
    notes = sum(piece.n_notes for piece in pieces)
    peer = miditok_remi()
    peer_ids = [peer.encode(score).ids for score in scores]
    print(f"{len(files)} files, {notes:,} notes, {rounds} rounds, CPU time, one process\n")

    reading = {
        "musicgen: file -> Piece": over(read_midi, files),
        "mido: file -> notes": over(with_mido, files),
        "pretty_midi: file -> object": over(pretty_midi.PrettyMIDI, files),
        "symusic (C++): file -> Score": over(Score, files),
    }
    encoding = {"MidiTok REMI: Score -> ids": over(peer.encode, scores)}
    decoding = {"MidiTok REMI: ids -> Score": over(peer.decode, peer_ids)}
    whole = {"MidiTok REMI: file -> ids": over(lambda file: peer.encode(Score(file)), files)}
    sizes = [["MidiTok REMI", f"{sum(map(len, peer_ids)):,}", f"{sum(peer.decode(i).note_num() for i in peer_ids):,}"]]
    for name in NAMES:
        ours = load_tokenizer({"name": name})
        ids = [ours.encode(piece) for piece in pieces]
        encoding[f"{name}: Piece -> ids"] = over(ours.encode, pieces)
        decoding[f"{name}: ids -> Piece"] = over(ours.decode, ids)
        whole[f"{name}: file -> ids"] = over(partial(from_file, ours), files)
        kept = sum(ours.decode(i).n_notes for i in ids)
        sizes.append([f"musicgen {name}", f"{sum(map(len, ids)):,}", f"{kept:,}"])

    report("Reading", reading, notes, rounds=rounds, base="mido: file -> notes", target=READ)
    report("Encoding", encoding, notes, rounds=rounds, base="MidiTok REMI: Score -> ids", target=ENCODE)
    report("Decoding", decoding, notes, rounds=rounds, base="MidiTok REMI: ids -> Score", target=DECODE)
    report("File to ids", whole, notes, rounds=rounds, base="MidiTok REMI: file -> ids", target=FILE_TO_IDS)
    print("### How much they wrote\n")
    table(["tokenizer", "tokens", "notes after decoding"], sizes)


def from_file(tokenizer: Any, file: str) -> Any:
    return tokenizer.encode(read_midi(file))


def report(
    title: str, ways: dict[str, Callable[[], Any]], notes: int, *, rounds: int, base: str, target: float
) -> None:
    """Measure `ways` in turns and print notes a second, and how many times faster than `base` each is."""
    seconds = interleave(ways, rounds=rounds)
    peers = ("mido", "pretty_midi", "symusic", "MidiTok")
    rows = []
    for name, spent in seconds.items():
        speed: Spread = spent.each(lambda s: notes / s)
        times = ratio(seconds[base], spent)
        verdict = f"{times:.1f} x" if name.startswith(peers) else versus(times, target)
        rows.append([name, speed.show(",.0f"), verdict])
    print(f"### {title}\n")
    table(["what", "notes/s", f"against {base.split(':')[0]}"], rows)
    print()


if __name__ == "__main__":
    sys.exit(main())
