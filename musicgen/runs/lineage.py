"""The origin of a trained model: its data and their licences, its teachers, the run that it started from.

The data that teachers and a start were trained on have shaped the new weights, too, so their data and licences are
listed with its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from musicgen.corpus.store import Corpus
from musicgen.recipe import DataSettings

__all__ = ["Ancestor", "data_settings", "first_card", "teachers_digest"]


class Ancestor(Protocol):
    """A run that another one starts from, or that is its teacher."""

    @property
    def name(self) -> str: ...

    @property
    def sha256(self) -> str:
        """The digest of its weights."""

    @property
    def card(self) -> dict[str, Any]: ...


def first_card(
    corpus: Corpus, named: str, *, title: str, teachers: Sequence[Ancestor], start: Ancestor | None
) -> dict[str, Any]:
    """The card of a run before it is trained. `named` is the corpus as the user named it.

    `licence` joins the licences of all data with " and "; `data` is a list with an entry for each corpus.
    """
    info = corpus.info()
    own = {
        "corpus": named,
        "pieces": info["pieces"],
        "notes": info["notes"],
        "sha256": corpus.sha256,
        "licences": info["licences"],
    }
    data, licences = [own], set(info["licences"])
    for other in (*teachers, *filter(None, [start])):
        data += [entry for entry in other.card.get("data", []) if entry not in data]
        licences |= set(filter(None, other.card.get("licence", "").split(" and ")))
    card: dict[str, Any] = {"title": title, "licence": " and ".join(sorted(licences)), "data": data}
    if teachers:
        card["teachers"] = [{"name": teacher.name, "sha256": teacher.sha256} for teacher in teachers]
    if start is not None:
        card["started_from"] = {"name": start.name, "sha256": start.sha256}
    return card


def data_settings(corpus: Corpus, named: str, *, teachers: Sequence[Ancestor], start_sha256: str) -> DataSettings:
    """The `[data]` table of the run's recipe: the digests of all that the weights depend on."""
    return DataSettings(named, corpus.sha256, teachers_digest(teachers), start_sha256)


def teachers_digest(teachers: Sequence[Ancestor]) -> str:
    """The digests of the teachers' weights, with spaces between."""
    return " ".join(teacher.sha256 for teacher in teachers)
