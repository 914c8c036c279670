"""What musicgen makes of fixed inputs: models of every kind after twenty steps, takes, figures; as digests.

    python tests/golden/made.py            print them as JSON
    python tests/golden/made.py --write    and keep them in golden.json as what is right

Everything goes through the commands, so that the program behind them can be moved about. Numbers come from the
instructions of a CPU without AVX-512 and from one thread; where the machine's arithmetic is another one all the same
(`arithmetic` tells), digests of what was computed with floats can't be compared, but losses can.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KEPT = HERE / "golden.json"
PLAIN = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
SMALL = {"train.batch": 2, "train.length": 48, "train.evaluate_every": 10, "model.width": 16, "model.layers": 2}
# Corpora: name -> options of `corpus build`; sources are the same duets, but for `abc`, which has tunes.
CORPORA: dict[str, tuple[str, ...]] = {
    "notes": (),
    "parts": ("--tokenizer", "parts"),
    "remi": ("--tokenizer", "remi"),
    "performance": ("--tokenizer", "performance", "--pedal"),
    "sets": ("--tokenizer", "frames", "--frames-per-quarter", "2"),
    "voices": ("--tokenizer", "frames", "--frames-per-quarter", "2", "--voices", "4"),
    "abc": ("--tokenizer", "abc"),
}
# Runs: name -> (corpus, family, settings, more options of `train`).
RUNS: dict[str, tuple[str, str, dict[str, Any], tuple[str, ...]]] = {
    "window": ("notes", "window", {"model.context": 8}, ()),
    "cnn": ("notes", "cnn", {}, ()),
    "rnn": ("notes", "rnn", {"train.carry": "true"}, ()),
    "gru": ("notes", "gru", {"train.carry": "true", "model.horizon": 3}, ()),
    "lstm": ("notes", "lstm", {"train.optimizer": "adamw"}, ()),
    "cnn-lstm": ("notes", "cnn-lstm", {}, ()),
    "transformer": ("notes", "transformer", {"model.heads": 2, "model.context": 64, "model.horizon": 2}, ()),
    "one-hot": ("remi", "lstm", {}, ("--embedding", "one-hot")),
    "remi": ("remi", "transformer", {"model.heads": 2, "model.context": 64}, ()),
    "performance": ("performance", "cnn-lstm", {"model.horizon": 2}, ()),
    "parts": ("parts", "transformer", {"model.heads": 2, "model.context": 64}, ()),
    "parts, tasks": ("parts", "lstm", {"augment.infill": 0.3, "augment.accompany": 0.3, "augment.programs": 0.5}, ()),
    "by frame": ("sets", "lstm", {"model.by_frame": "true"}, ()),
    "by pitch": ("sets", "lstm", {"model.by_frame": "true", "model.by_pitch": "true"}, ()),
    "by frame, voices": ("voices", "transformer", {"model.by_frame": "true", "model.heads": 2}, ()),
    "by pitch, voices": ("voices", "gru", {"model.by_frame": "true", "model.by_pitch": "true"}, ()),
    "abc": ("abc", "lstm", {"train.carry": "true"}, ()),
    "taught": ("notes", "lstm", {"train.taught": 0.5}, ("--teacher", "runs/gru")),
}
# What takes of some runs are asked for, beside the bars: run -> options of `continue`.
HELD = ("--from", "4", "--tracks", "1", "--key", "G", "--pitch-range", "C4-C6", "--max-polyphony", "2")
ASKED: dict[str, tuple[str, ...]] = {
    "gru": HELD,
    "transformer": ("--tracks", "2,3", "--key", "Dm", "--max-polyphony", "3"),
    "remi": HELD,
    "performance": HELD,
    "parts": HELD,
    "parts, tasks": ("--tracks", "1,2", "--pitch-range", "50-90", "--seconds", "3", "--played", "no"),
    "by frame": HELD,
    "by frame, voices": HELD,
    "abc": ("--max-polyphony", "1"),
}
DEFAULT: dict[str, tuple[str, ...]] = {
    "continue": ("continue", "duet3.mid", "--bars", "2", "-n", "2"),
    "continue, asked": (
        "continue", "duet3.mid", "--bars", "1", "--from", "5", "--tracks", "1", "--key", "C", "--pitch-range", "C4-C6",
        "--max-polyphony", "1", "--study-whole", "--field-temperature", "pitch=1.1",
    ),
    "only new": ("continue", "duet2.mid", "--seconds", "2", "--only-new", "--study", "0", "--played", "yes"),
    "a tune": ("continue", "tune1.abc", "--bars", "1"),
    "a score": ("continue", "score.musicxml", "--bars", "1"),
    "kern": ("continue", "score.krn", "--bars", "1", "--study", "0"),
    "generate": ("generate", "--bars", "2", "--tracks", "violin,cello", "--meter", "3/4", "--tempo", "90", "--key", "Dm"),
    "generate, studied": ("generate", "--bars", "1", "--study-also", "duet1.mid"),
}  # fmt: skip


# ---- inputs ----------------------------------------------------------------------------------------------


def make_inputs(folder: Path) -> None:
    """Duets as MIDI, tunes as ABC, a score."""
    import numpy as np

    from musicgen.io import write
    from musicgen.piece import METER, TEMPO, Piece, Track, notes_array
    from musicgen.tokenizers import Remi  # noqa: F401  (imported once, before any command)

    (folder / "duets").mkdir()
    (folder / "tunes").mkdir()
    for n in range(10):
        high = [(i * 240, 240, 72 + (i * n + i // 5) % 12, 60 + (7 * i) % 50) for i in range(64 + n)]
        low = [(i * 960 + 5 * n, 900, 48 + (i * n) % 7 + 4 * k, 64) for i in range(16) for k in range(2)]
        kit = [(i * 480, 120, (36, 42, 38, 42)[i % 4], 90) for i in range(32)]
        tracks = [Track("Flute", 73, notes=notes_array(high)), Track("Piano", 0, notes=notes_array(low))]
        if n % 2:
            tracks.append(Track("Drums", 0, True, notes_array(kit)))
        tempos = np.array([(0, 500_000), (3840, 450_000)], TEMPO)
        piece = Piece(480, tuple(tracks), tempos, np.array([(0, 4, 4)], METER))
        write(piece, folder / "duets" / f"duet{n}.mid")
        body = "|".join("".join("CDEFGABc"[(i * n + j * (n + 2) + i // 3) % 8] for j in range(6)) for i in range(8))
        tune = f"X:1\nT:Tune {n}\nM:6/8\nL:1/8\nK:{'CGDFA'[n % 5]}\n|:{body}:|\n"
        (folder / "tunes" / f"tune{n}.abc").write_text(tune, encoding="utf-8")
    for name in ("duet1.mid", "duet2.mid", "duet3.mid"):
        (folder / name).write_bytes((folder / "duets" / name).read_bytes())
    (folder / "tune1.abc").write_bytes((folder / "tunes" / "tune1.abc").read_bytes())
    (folder / "score.krn").write_text(kern(), encoding="utf-8")
    (folder / "score.musicxml").write_text(musicxml(), encoding="utf-8")


def kern() -> str:
    rows = ["**kern\t**kern", "*Icello\t*Iviolin", "*M3/4\t*M3/4", "*k[b-]\t*k[b-]"]
    for bar in range(8):
        rows.append(f"={bar + 1}\t={bar + 1}")
        rows += [f"4{'FGABc'[(bar + k) % 5]}\t8{'fgab'[(bar * k) % 4]}" for k in range(1)]
        rows.append(f".\t8{'aceg'[bar % 4]}")
        rows += [f"4{'CDEF'[(bar + k) % 4]}\t4{'ccdd'[(bar + k) % 4] * 2}" for k in range(2)]
    return "\n".join([*rows, "==\t==", "*-\t*-"]) + "\n"


def musicxml() -> str:
    measures = ""
    for bar in range(8):
        head = "<attributes><divisions>2</divisions><time><beats>4</beats><beat-type>4</beat-type></time></attributes>"
        notes = "".join(
            f"<note><pitch><step>{'CDEFGAB'[(bar * 2 + k) % 7]}</step><octave>{4 + k % 2}</octave></pitch>"
            f"<duration>{2}</duration><voice>1</voice></note>"
            for k in range(4)
        )
        measures += f'<measure number="{bar + 1}">{head if not bar else ""}{notes}</measure>'
    listing = '<part-list><score-part id="P1"><part-name>Oboe</part-name></score-part></part-list>'
    return f'<?xml version="1.0"?><score-partwise>{listing}<part id="P1">{measures}</part></score-partwise>'


# ---- what is made ----------------------------------------------------------------------------------------


def arithmetic() -> str:
    """A digest that tells machines apart whose floats differ: of the operations that models are made of."""
    import torch
    from torch.nn import functional as F

    g = torch.Generator().manual_seed(0)
    x, w = torch.randn(37, 48, generator=g), torch.randn(64, 48, generator=g)
    lstm = torch.nn.LSTM(48, 16, batch_first=True)
    with torch.no_grad():
        for weight in lstm.parameters():
            weight.copy_(torch.randn(weight.shape, generator=g) * 0.3)
        y = F.linear(x, w)
        found = [y, y.exp(), F.gelu(y), y.softmax(-1), F.layer_norm(y, (64,)), y.logsumexp(-1), y.tanh(), y.sigmoid()]
        found += [
            lstm(x[None])[0],
            (y @ y.T),
            F.conv1d(x.T[None], torch.randn(5, 48, 3, generator=g)),
            y.sum(),
            y.cos(),
        ]
        q = torch.randn(2, 2, 9, 8, generator=g)
        found.append(F.scaled_dot_product_attention(q, q, q, is_causal=True))
    told = hashlib.sha256(torch.__version__.partition("+")[0].encode())
    for tensor in found:
        told.update(tensor.contiguous().numpy().tobytes())
    return told.hexdigest()[:16]


def digest(*data: bytes | str) -> str:
    found = hashlib.sha256()
    for each in data:
        found.update(each.encode() if isinstance(each, str) else each)
    return found.hexdigest()[:16]


def timeless(text: str) -> list[dict[str, str]]:
    """The rows of a log but for their seconds."""
    rows = csv.DictReader(io.StringIO(text))
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def facts_of(path: Path) -> str:
    """A sidecar as text."""
    return json.dumps(json.loads(path.read_text(encoding="utf-8")), sort_keys=True)


class Golden:
    """Calls of the commands in a scratch folder, and what came of them."""

    def __init__(self) -> None:
        from click.testing import CliRunner

        from musicgen.cli.main import cli

        self.cli, self.runner = cli, CliRunner()
        self.exact: dict[str, str] = {}  # without floats: the same on every machine
        self.computed: dict[str, str] = {}
        self.losses: dict[str, list[float]] = {}

    def call(self, *arguments: object) -> str:
        """What a command prints to stdout. Broken takes of a model that has learned nothing are takes, too."""
        result = self.runner.invoke(self.cli, [str(a) for a in arguments], catch_exceptions=False)
        if result.exit_code not in (0, 4):
            raise RuntimeError(f"{arguments} ended with {result.exit_code}: {result.stderr}")
        return str(result.stdout)

    def corpora(self) -> None:
        for name, options in CORPORA.items():
            self.call(
                "corpus", "build", "tunes" if name == "abc" else "duets", "-o", f"corpora/{name}", "--jobs", 1, *options
            )
            parts = (Path("corpora", name, part).read_bytes() for part in ("tokens.npy", "pieces.jsonl", "corpus.json"))
            self.exact[f"corpus {name}"] = digest(*parts)

    def runs(self) -> None:
        for name, (corpus, family, settings, more) in RUNS.items():
            corpus, folder = f"corpora/{corpus}", f"runs/{name}"
            sets = [f"--set={key}={value}" for key, value in {**SMALL, **settings}.items()]
            self.call("train", corpus, "-o", folder, "--model", family, "--steps", 20, "--device", "cpu",
                      "--precision", "float32", *sets, *more)  # fmt: skip
            run = Path(folder)
            rows = timeless((run / "log.csv").read_text(encoding="utf-8"))
            self.losses[name] = [float(row[f"{kind}_nats_per_token"]) for row in rows for kind in ("train", "valid")]
            self.computed[f"run {name}"] = digest((run / "model.safetensors").read_bytes(), json.dumps(rows))
            self.exact[f"recipe {name}"] = digest(
                (run / "recipe.toml").read_bytes(), (run / "tokenizer.json").read_bytes()
            )
            figures = json.loads(self.call("evaluate", folder, corpus, "--json", "--baseline"))
            self.computed[f"evaluate {name}"] = digest(json.dumps(figures, sort_keys=True))
            source = "tune1.abc" if corpus.endswith("abc") else "duet3.mid"
            self.take(f"take of {name}", "continue", source, "-m", folder, "--bars", 2)
            self.take(f"new by {name}", "generate", "-m", folder, "--bars", 2)
            if name in ASKED:
                bars = () if "--seconds" in ASKED[name] else ("--bars", 1)
                self.take(f"asked of {name}", "continue", source, "-m", folder, *bars, *ASKED[name])
            if corpus.endswith("abc"):
                self.take("text", "continue", source, "-m", folder, "--bars", 2, "-f", "abc")

    def takes(self) -> None:
        for name, arguments in DEFAULT.items():
            self.take(name, *arguments)

    def take(self, name: str, *arguments: object) -> None:
        folder = Path("takes", name.replace(" ", "-"))
        self.call(*arguments, "--seed", 3, "-o", f"{folder}/")
        made = sorted(path for path in folder.iterdir())
        music, facts = [p for p in made if p.suffix != ".json"], [p for p in made if p.suffix == ".json"]
        self.computed[name] = digest(*(path.name for path in music), *(path.read_bytes() for path in music))
        self.computed[f"{name}: facts"] = digest(*map(facts_of, facts))


def made() -> dict[str, Any]:
    """All of it, in a scratch folder."""
    import torch
    from walks import walks  # beside this script

    torch.set_num_threads(1)
    golden = Golden()
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        try:
            make_inputs(Path(scratch))
            golden.exact |= walks()
            golden.corpora()
            golden.runs()
            golden.takes()
        finally:
            os.chdir(home)
    return {"arithmetic": arithmetic(), "exact": golden.exact, "losses": golden.losses, "computed": golden.computed}


def main() -> None:
    if any(os.environ.get(key) != value for key, value in PLAIN.items()):
        os.environ |= PLAIN
        os.execv(sys.executable, [sys.executable, *sys.argv])
    found = made()
    if "--write" not in sys.argv:
        sys.stdout.write(json.dumps(found, indent=1))
        return
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {"computed": {}}
    kept["computed"][found["arithmetic"]] = found["computed"]
    kept |= {"exact": found["exact"], "losses": found["losses"]}
    KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
