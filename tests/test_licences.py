"""What forbids passing on is found in any spelling, and one such licence is enough."""

from __future__ import annotations

import pytest

from musicgen.corpus.catalog import catalogue
from musicgen.licences import Shipping, shipping, shipping_of

FREE = ["MIT", "CC0 1.0", "CC BY 4.0", "public domain", "BSD-3-Clause", "Creative Commons Attribution 3.0"]


def test_free_licences_allow_it():
    assert shipping(FREE) == Shipping(True)
    assert shipping([" and ".join(FREE)]) == Shipping(True)


@pytest.mark.parametrize(
    ("licence", "why"),
    [
        ("GPL-3.0", "must be under the GPL as well"),
        ("AGPL", "must be under the GPL as well"),
        ("CC BY-NC 4.0", "for non-commercial use only"),
        ("CC BY-NC-SA 4.0", "for non-commercial use only"),
        ("CC BY-SA 3.0 DE", "must be under the same licence"),
        ("Creative Commons Attribution-ShareAlike", "must be under the same licence"),
        ("CC BY-ND 4.0", "nothing may be made from it"),
        ("experiments only", "for experiments only"),
        ("free, for study and research", "for experiments only"),
        ("All rights reserved", "all rights are reserved"),
    ],
)
def test_one_that_forbids_it_is_enough(licence, why):
    found = shipping([*FREE, licence])
    assert found.may_ship is False
    assert any(reason.endswith(why) for reason in found.reasons)
    assert shipping([f"CC0 1.0 and {licence}"]).may_ship is False


@pytest.mark.parametrize("licence", ["unknown", "", "mine", "none"])
def test_what_is_not_known_is_left_open(licence):
    found = shipping([*FREE, licence])
    assert found.may_ship is None
    assert found.reasons == (f"{licence or 'unknown'}: what it allows isn't known here",)
    assert (found & Shipping(False, ("x",))).may_ship is False


def test_the_catalogue_agrees():
    """Of its licences; a source may be kept back for other reasons."""
    assert [e.name for e in catalogue() if e.shippable and shipping([e.licence]).may_ship is not True] == []


def test_a_card_from_before_is_judged_by_its_licences():
    assert shipping_of({"licence": "MIT (weights); data: CC BY 4.0, public domain"}) == Shipping(True)
    assert shipping_of({"licence": "MIT and GPL-3.0"}).may_ship is False
    assert shipping_of({}).may_ship is None
    assert shipping_of({"licence": "MIT", "shipping": {"may_ship": False, "reasons": ["why"]}}) == Shipping(
        False, ("why",)
    )
