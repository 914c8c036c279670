"""A run's card as README.md in the form of the Hugging Face Hub: YAML front matter, then a page to read.

Made from card.json, tokenizer.json and recipe.toml alone, so the same run gives the same bytes.

Source: https://huggingface.co/docs/hub/model-cards, and `model-index` as `huggingface_hub.repocard_data` reads it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from musicgen.errors import printable
from musicgen.licences import shipping_of
from musicgen.words import counted

__all__ = ["LIBRARY", "model_card"]

LIBRARY = "musicgen-symbolic"
# Licences by the identifiers of the Hub; any other is "other", with its name beside it.
LICENCES = {
    "mit": "mit", "cc0": "cc0-1.0", "cc0 1.0": "cc0-1.0", "cc by 4.0": "cc-by-4.0", "cc by 3.0": "cc-by-3.0",
    "cc by-sa 4.0": "cc-by-sa-4.0", "cc by-nc 4.0": "cc-by-nc-4.0", "cc by-nc-sa 4.0": "cc-by-nc-sa-4.0",
    "apache 2.0": "apache-2.0", "bsd-3-clause": "bsd-3-clause",
}  # fmt: skip
DATASET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")  # no path of somebody's disk
Yaml = Mapping[str, Any] | list[Any] | str | float | int


def model_card(card: Mapping[str, Any], *, name: str, tokenizer: str) -> str:
    """The text of README.md for a run with this card, called `name`, whose ids come from `tokenizer`.

    >>> print(model_card({"title": "Tunes", "licence": "CC0", "family": "lstm"}, name="tunes", tokenizer="abc")[:43])
    ---
    license: "cc0-1.0"
    library_name: "music
    """
    front = "\n".join(_yaml(_front(card, name=name, tokenizer=tokenizer)))
    return f"---\n{front}\n---\n\n{_page(card, name=name, tokenizer=tokenizer)}"


def _front(card: Mapping[str, Any], *, name: str, tokenizer: str) -> dict[str, Yaml]:
    """The front matter: what a list of models filters by."""
    licence = _line(card.get("licence")) or "unknown"
    known = LICENCES.get(licence.lower())
    found: dict[str, Yaml] = {"license": known or "other"}
    if not known:
        found["license_name"] = licence
    found["library_name"] = LIBRARY
    tags = ["symbolic-music", "music-generation", "midi", card.get("family"), tokenizer]
    found["tags"] = list(dict.fromkeys(_line(tag) for tag in tags if tag))
    names = (_line(entry.get("name") or entry.get("corpus")) for entry in card.get("data") or ())
    if datasets := sorted({each for each in names if DATASET.fullmatch(each)}):
        found["datasets"] = list(datasets)
    if metrics := list(_metrics(card)):
        found["metrics"] = list(dict.fromkeys(str(each["type"]) for each in metrics))
        results = [
            {
                "task": {"type": "other", "name": _line(card.get("task")) or "next-note prediction"},
                "dataset": {
                    "type": "other",
                    "name": f"{', '.join(datasets) or 'the corpus of the run'}, {split} split",
                },
                "metrics": [
                    {k: v for k, v in each.items() if k != "split"} for each in metrics if each["split"] == split
                ],
            }
            for split in dict.fromkeys(str(each["split"]) for each in metrics)
        ]
        found["model-index"] = [{"name": _line(card.get("title")) or name, "results": results}]
    return found


def _metrics(card: Mapping[str, Any]) -> Iterator[dict[str, str | float]]:
    """Figures as the Hub lists them: by split the nats and perplexity a token, and the nats a note where measured."""
    figures = card.get("figures")
    splits = dict(figures) if isinstance(figures, Mapping) else {}
    if "valid" not in splits and isinstance(valid := card.get("valid_nats_per_token"), float):
        splits["valid"] = {"nats_per_token": valid, "perplexity": math.exp(min(valid, 700.0))}
    kinds = {"nats_per_token": "nats a token", "perplexity": "perplexity of a token", "nats_per_note": "nats a note"}
    for split, found in splits.items():
        for kind, title in kinds.items():
            if isinstance(found, Mapping) and isinstance(value := found.get(kind), float) and math.isfinite(value):
                yield {"split": _line(split), "type": kind, "name": title, "value": round(value, 5)}


def _page(card: Mapping[str, Any], *, name: str, tokenizer: str) -> str:
    """What people read."""
    title, family = _line(card.get("title")) or name, _line(card.get("family")) or "sequence"
    may = shipping_of(card)
    passed_on = {True: "may be passed on", False: "may not be passed on", None: "may be passed on if the data allow it"}
    lines = [
        f"# {title}",
        "",
        f"A model of notes for [{LIBRARY}](https://pypi.org/project/{LIBRARY}/): {family}, "
        f"{counted(int(card.get('parameters') or 0), 'parameter')}, tokenizer `{tokenizer}`.",
        "",
        "```sh",
        f"pip install '{LIBRARY}[hub]'",
        f"musicgen models pull hf://OWNER/{name}",
        *([] if card.get("task") else [f"musicgen continue piece.mid -m {name}"]),
        "```",
        "",
        "## Training data",
        "",
    ]
    for entry in card.get("data") or ():
        licences = entry.get("licences") or {}
        licence = entry.get("licence") or (", ".join(licences) if isinstance(licences, Mapping) else "")
        what = entry.get("title") or entry.get("name") or entry.get("corpus") or "a corpus"
        pieces = f", {counted(entry['pieces'], 'piece')}" if isinstance(entry.get("pieces"), int) else ""
        lines.append(f"- {_line(what)}{pieces}: {_line(licence) or 'licence unknown'}")
    lines += ["", f"Licence: {_line(card.get('licence')) or 'unknown'}. The weights {passed_on[may.may_ship]}."]
    lines += [f"- {_line(reason)}" for reason in may.reasons]
    if metrics := list(_metrics(card)):
        lines += ["", "## Figures", "", "| split | what | value |", "|---|---|---|"]
        lines += [f"| {each['split']} | {each['name']} | {each['value']} |" for each in metrics]
    steps = f"{counted(card['steps'], 'step')}" if isinstance(card.get("steps"), int) else "Steps unknown"
    tokens = card.get("tokens_seen")
    seen = f" over {counted(tokens, 'token')}" if isinstance(tokens, int) else ""
    lines += ["", "## Training", "", f"{steps}{seen}; all settings are in `recipe.toml`, losses in `log.csv`."]
    for key, words in (("started_from", "Fine-tuned from"), ("teachers", "Distilled from")):
        named = card.get(key)
        entries = named if isinstance(named, list) else [named] if named else []
        if names := ", ".join(_line(each.get("name")) for each in entries):
            lines.append(f"{words} {names}.")
    return "\n".join(lines) + "\n"


def _line(value: object) -> str:
    """A value as one printable line."""
    return " ".join(printable(" ".join(str(value).split())).split()) if value not in (None, "") else ""


def _yaml(value: Yaml, indent: str = "") -> Iterator[str]:
    """Lines of YAML: mappings and lists in blocks, texts as in JSON, which YAML has in common with it.

    >>> list(_yaml({"tags": ["midi"], "model-index": [{"name": "a: b", "value": 1.5}]}))
    ['tags:', '- "midi"', 'model-index:', '- name: "a: b"', '  value: 1.5']
    """
    pairs = value.items() if isinstance(value, Mapping) else ((None, each) for each in value)  # type: ignore[union-attr]
    for key, each in pairs:
        start = f"{indent}{key}:" if key is not None else f"{indent}-"
        if not isinstance(each, Mapping | list):
            yield f"{start} {json.dumps(each, ensure_ascii=False)}"
        elif key is not None:
            yield start
            yield from _yaml(each, indent + ("  " if isinstance(each, Mapping) else ""))
        else:
            first, *rest = _yaml(each, indent + "  ")
            yield f"{start} {first.lstrip()}"
            yield from rest
