"""The origin of a trained model: its data and their licences, its teachers, the run that it started from.

The data that teachers and a start were trained on have shaped the new weights, too, so their data and licences are
listed with its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from musicgen.corpus.store import Corpus
from musicgen.licences import Shipping, shipping, shipping_of
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

    `licence` joins the licences of all data with " and "; `data` is a list with an entry for each corpus. `shipping`
    says whether the weights may be passed on: what forbids it for a teacher or the start forbids it for the new run.
    """
    info = corpus.info()
    own = {
        "corpus": named,
        "pieces": info["pieces"],
        "notes": info["notes"],
        "sha256": corpus.sha256,
        "licences": info["licences"],
    }
    data, licences, ship = [own], set(info["licences"]), _shipping_of_corpus(info)
    for other in (*teachers, *filter(None, [start])):
        data += [entry for entry in other.card.get("data", []) if entry not in data]
        licences |= set(filter(None, other.card.get("licence", "").split(" and ")))
        ship = ship & shipping_of(other.card)
    card: dict[str, Any] = {"title": title, "licence": " and ".join(sorted(licences)), "data": data}
    card["shipping"] = ship.to_dict()
    if teachers:
        card["teachers"] = [{"name": teacher.name, "sha256": teacher.sha256} for teacher in teachers]
    if start is not None:
        card["started_from"] = {"name": start.name, "sha256": start.sha256}
    return card


def _shipping_of_corpus(info: dict[str, Any]) -> Shipping:
    """What the licences of a corpus's pieces allow, and what the catalogue says of where they come from."""
    kept_back = [
        f"{origin['name']}: the catalogue says that models trained on it aren't for passing on"
        for origin in info.get("origins", [])
        if not origin.get("shippable", True)
    ]
    return shipping(sorted(info["licences"])) & Shipping(not kept_back, tuple(kept_back))


def data_settings(corpus: Corpus, named: str, *, teachers: Sequence[Ancestor], start_sha256: str) -> DataSettings:
    """The `[data]` table of the run's recipe: the digests of all that the weights depend on."""
    return DataSettings(named, corpus.sha256, teachers_digest(teachers), start_sha256)


def teachers_digest(teachers: Sequence[Ancestor]) -> str:
    """The digests of the teachers' weights, with spaces between."""
    return " ".join(teacher.sha256 for teacher in teachers)
