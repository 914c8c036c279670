"""Build a corpus folder from music files: encode them in worker processes, drop duplicates, split by work.

The result doesn't depend on the number of workers or the order of the listing: pieces are sorted by name. A file that
crashes its worker or takes too long is rejected, and the build continues. Finished work is kept on disk, so that a
killed build can be resumed and no pieces are held in memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from musicgen.corpus import catalog
from musicgen.corpus.encode import Encoder, Rejected, Seen
from musicgen.corpus.frames import FRAME_SUFFIXES, check_reader
from musicgen.corpus.journal import Journal, Kept, key_of, part_of
from musicgen.corpus.scan import MUSIC_SUFFIXES, Found, find_files
from musicgen.corpus.split import assign_splits, merge_works, work_key
from musicgen.corpus.store import Corpus, PieceRecord, check_target, write_corpus
from musicgen.errors import UnreadableError, UsageError, printable
from musicgen.events import Began, Finished, Listener, Progress, Warned, ignore
from musicgen.io.foreign import PROJECTS
from musicgen.io.locks import Hold
from musicgen.io.midi import Limits
from musicgen.schemas import in_range, typed
from musicgen.seeds import MOST_SEED
from musicgen.stopping import Cancel
from musicgen.tokenizers import DEFAULT_TOKENIZER, Tokenizer, load_tokenizer
from musicgen.words import counted
from musicgen.workers import Failure, Pool, cores

__all__ = ["BuildSettings", "build_corpus", "find_sources", "plan_sources", "spec_of"]


@dataclass(frozen=True)
class BuildSettings:
    """How to build. `timeout_s` is for one piece; `valid` and `test` are shares of the works."""

    licence: str = "unknown"  # of files that aren't from a catalogue entry
    min_notes: int = 8
    timeout_s: float = 600.0  # wall-clock time: generous, so that a busy machine doesn't change the corpus
    seed: int = 0
    valid: float = 0.05
    test: float = 0.05
    by_folder: bool = False  # a folder is a work
    overwrite: bool = False
    limits: Limits | None = None  # for each MIDI file; None: the default ones
    fetched: str | None = None  # where `catalog.fetch` put its folders; None: `catalog.default_folder()`

    def __post_init__(self) -> None:
        typed(self, where="build")
        in_range(self, {"min_notes": (0, 2**31), "timeout_s": (0.01, 1e6), "seed": (0, MOST_SEED)}, where="build")


def build_corpus(
    sources: Iterable[str | Path],
    out: str | Path,
    *,
    tokenizer: Tokenizer | dict[str, Any] | str | None = None,
    jobs: int | None = None,
    settings: BuildSettings | None = None,
    licences: Mapping[str, str] | None = None,
    listener: Listener = ignore,
    cancel: Cancel | None = None,
    part: str | Path | None = None,
) -> Corpus:
    """Build a corpus from folders, files and catalogue names, and open it.

    `licences` gives the licence of folders or files for which it isn't `settings.licence`;
    `tokenizer` is a tokenizer or its spec (default `notes`); `jobs` is the number of worker processes (default: one a
    core); `listener` receives progress events, and a warning if a build is resumed (`events.py`); `cancel` ends the
    build with Cancelled (`stopping.py`); `part` is the folder for work in progress, by default beside `out`
    (`journal.py`).
    Raises UsageError for an unusable source or target, or if another process builds there, UnreadableError if no
    file is usable. On any error, on Ctrl-C and when cancelled `out` is left as it was; the same call resumes the work.
    """
    settings = settings or BuildSettings()
    assign_splits((), valid=settings.valid, test=settings.test)  # report bad shares now, not after the work
    spec = spec_of(tokenizer)
    outside: list[Path] = []
    files, entries = plan_sources(sources, spec, settings=settings, licences=licences, outside=outside)
    with Hold(out) as hold:
        if hold.note:
            listener(Warned(hold.note))
        check_target(out, overwrite=settings.overwrite)  # after all checks of the request
        _keep_sources(out, files)
        key = key_of(spec=spec, limits=None if settings.limits is None else asdict(settings.limits))
        with Journal(Path(part) if part else part_of(out), key) as journal:
            _read_all(files, spec, journal, jobs=jobs, settings=settings, listener=listener, cancel=cancel or Cancel())
            _write(out, files, entries=entries, spec=spec, journal=journal, settings=settings, outside=len(outside))
            journal.remove()
        listener(Finished("corpus"))
    return Corpus.open(out)


def _read_all(
    files: list[Found],
    spec: dict[str, Any],
    journal: Journal,
    *,
    jobs: int | None,
    settings: BuildSettings,
    listener: Listener,
    cancel: Cancel,
) -> None:
    """Encode the files that aren't in the journal yet."""
    journal.take_up(files)
    if journal.dropped:
        listener(Warned(f"{journal.folder}: is of a build with other options; begun anew"))
    done = len(journal)
    if done:
        listener(Warned(f"going on with a build that was broken off: {done:,} of {len(files):,} files are done"))
    listener(Began("corpus", "file", len(files)))
    todo = [file for file in files if not journal.has(file)]
    pool = Pool(jobs=jobs or cores(), wall_s=settings.timeout_s, check=cancel.check)
    for file, result in pool.stream(Encoder(load_tokenizer(spec), settings.limits), todo):
        if not isinstance(result, Failure | Seen):
            journal.add(file, result)
            continue
        if isinstance(result, Failure):
            journal.add(file, Rejected(file.name, result.reason))
        journal.done(file, result if isinstance(result, Seen) else None)  # what failed is tried again another time
        done += 1
        listener(Progress(done, len(files), "file", file.name))
        cancel.check()


def _write(
    out: str | Path,
    files: list[Found],
    *,
    entries: list[catalog.CorpusEntry],
    spec: dict[str, Any],
    journal: Journal,
    settings: BuildSettings,
    outside: int,
) -> None:
    """Choose pieces, split them by work, and write the corpus folder. Raises UnreadableError if there is no piece."""
    works: list[Kept] = []
    kept_licences: list[str] = []
    rejected: list[dict[str, str]] = []
    duplicates: list[dict[str, str]] = []
    seen: dict[str, str] = {}
    for found, result in ((file, result) for file in files for result in journal.results(file)):
        if isinstance(result, Rejected):
            rejected.append({"source": result.source, "reason": result.reason})
        elif result.split is not None:  # published splits are kept complete, with short pieces and duplicates
            works.append(result)
            kept_licences.append(found.licence)
        elif result.notes < settings.min_notes:
            reason = f"too short: {counted(result.notes, 'note')}, at least {settings.min_notes} are needed"
            rejected.append({"source": result.source, "reason": reason})
        else:
            digest = result.content or result.sha256
            if digest in seen:  # the first by name wins
                duplicates.append({"source": result.source, "same_as": seen[digest]})
                continue
            seen[digest] = result.source
            works.append(result)
            kept_licences.append(found.licence)
    if not works:
        journal.remove()
        example = rejected[0]
        what = (
            f"no usable piece in {counted(len(files), 'file')}; the first one, {example['source']}: {example['reason']}"
        )
        raise UnreadableError(what, hint="look at one with musicgen inspect")

    fields = len(load_tokenizer(spec).fields)
    records = _records(works, kept_licences, fields, settings)
    origins = [
        {"name": e.name, "licence": e.licence, "attribution": e.attribution, "shippable": e.shippable} for e in entries
    ]
    about = {"tokenizer": spec, "rejected": rejected, "duplicates": duplicates, "origins": origins, "files": len(files)}
    if outside:
        about["links_left_out"] = outside
    shape = (-1,) if fields == 1 else (-1, fields)
    tokens = (np.frombuffer(journal.ids(work), dtype="<u2").reshape(shape) for work in works)
    write_corpus(out, records, tokens=tokens, about=about, fields=fields, overwrite=settings.overwrite)


def plan_sources(
    sources: Iterable[str | Path],
    spec: Mapping[str, Any],
    *,
    settings: BuildSettings | None = None,
    licences: Mapping[str, str] | None = None,
    outside: list[Path] | None = None,
) -> tuple[list[Found], list[catalog.CorpusEntry]]:
    """`find_sources` for a tokenizer's spec, with the checks that need no reading of the files.

    Raises UnreadableError if there are no music files, ResourceError if a package for reading them is missing.
    """
    # A .json in a folder is rarely music. Project files of other programs are included so that they are reported.
    suffixes = (*MUSIC_SUFFIXES, *FRAME_SUFFIXES) if spec["name"] == "frames" else MUSIC_SUFFIXES
    outside = [] if outside is None else outside
    files, entries = find_sources(
        sources, settings=settings, licences=licences, suffixes=(*suffixes, *PROJECTS), outside=outside
    )
    if not files:
        hint = f"files end in {', '.join(suffixes)}"
        if outside:
            links = counted(len(outside), "link")
            hint = f"not followed out of the folder: {links}, first {outside[0]}; name what it leads to"
        raise UnreadableError("no music files in the sources", hint=hint)
    check_reader(file.path for file in files)
    return files, entries


def _keep_sources(out: str | Path, files: list[Found]) -> None:
    folder = os.path.join(os.path.realpath(out), "")
    for file in files:
        if os.path.realpath(file.path).startswith(folder):
            what = f"holds {printable(file.path)}, one of the sources, and is not written over"
            raise UsageError(what, where=out, hint="choose another folder")


def find_sources(
    sources: Iterable[str | Path],
    *,
    settings: BuildSettings | None = None,
    licences: Mapping[str, str] | None = None,
    suffixes: tuple[str, ...] = MUSIC_SUFFIXES,
    outside: list[Path] | None = None,
) -> tuple[list[Found], list[catalog.CorpusEntry]]:
    """The files of all `sources`, sorted by name, each once, and the catalogue entries among the sources.

    `suffixes` are those of the files to take from folders. Links that lead out of their folder are added to `outside`.
    Raises UsageError for a source that is neither a file, a folder nor a catalogue name.
    """
    settings = settings or BuildSettings()
    entries: dict[str, catalog.CorpusEntry] = {}
    found: dict[str, Found] = {}
    for source in sources:
        name = os.fspath(source)
        if os.path.lexists(name) or os.sep in name or name.endswith((*MUSIC_SUFFIXES, *FRAME_SUFFIXES)):
            licence = (licences or {}).get(name, settings.licence)
            files = find_files([name], suffixes=suffixes, licence=licence, outside=outside)
        else:
            try:
                entry = catalog.find_entry(name)
            except UsageError as error:
                raise UsageError(f"no file or folder {name!r}, and {error.what}", hint=error.hint) from None
            entries[entry.name] = entry
            files = _entry_files(entry, settings)
        for file in files:
            real = os.path.realpath(file.path)
            if real not in found or file.name < found[real].name:
                found[real] = file
    by_name = sorted(found.values(), key=lambda f: (f.name, str(f.path)))
    return by_name, [entries[name] for name in sorted(entries)]


def _entry_files(entry: catalog.CorpusEntry, settings: BuildSettings) -> list[Found]:
    source = entry.source
    if source.kind == "package":
        paths = catalog.package_files(entry)
        return [Found(f"{entry.name}/{p.name}", p, entry.licence) for p in paths]
    if not set(source.suffixes) & set(MUSIC_SUFFIXES):
        what = f"{entry.name} holds {', '.join(source.suffixes)} files, which can't be read"
        raise UsageError(what, hint="convert them to MIDI and build from that folder")
    home = Path(settings.fetched or catalog.default_folder()) / entry.name
    folder = home / source.subfolder
    if not folder.is_dir():
        raise UsageError(f"{entry.name} is not here yet", where=folder, hint=f"musicgen corpus fetch {entry.name}")
    catalog.check_cached(entry, home)
    files = find_files(
        [folder], suffixes=source.suffixes, recursive=source.recursive, licence=entry.licence, label=entry.name
    )
    return [file for file in files if source.holds(file.name.removeprefix(f"{entry.name}/"))]


def _records(works: list[Kept], licences: list[str], fields: int, settings: BuildSettings) -> list[PieceRecord]:
    mixed = [w for w in works if w.split is None]
    keys = [work_key(w.source, by_folder=settings.by_folder) for w in mixed]
    merged = merge_works(keys, [w.fingerprint for w in mixed])
    split = assign_splits(merged, seed=settings.seed, valid=settings.valid, test=settings.test)
    key_of = {w.source: key for w, key in zip(mixed, merged, strict=True)}
    records, offset = [], 0
    for work, licence in zip(works, licences, strict=True):
        key = key_of.get(work.source, work.source)
        length = work.size // (2 * fields)
        place = work.split or split[key]
        known = (offset, length, work.notes, work.source, work.sha256, key, place, licence)
        records.append(PieceRecord(*known, said=work.said))
        offset += length
    return records


def spec_of(tokenizer: Tokenizer | dict[str, Any] | str | None) -> dict[str, Any]:
    """The spec of a tokenizer given as an object, a spec, a name, or None for the default.

    Raises UsageError for an unknown tokenizer, or a vocabulary of more than 65,536 ids.
    """
    spec = tokenizer.spec if isinstance(tokenizer, Tokenizer) else tokenizer
    if not isinstance(spec, dict):
        spec = {"name": spec or DEFAULT_TOKENIZER}
    built = load_tokenizer(spec)  # report a bad spec here, not from every worker
    if len(built.vocabulary) > 65536:
        raise UsageError(f"a vocabulary of {len(built.vocabulary):,} doesn't fit a corpus", hint="at most 65,536")
    return built.spec
