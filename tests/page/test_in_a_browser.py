"""The page as a browser shows it: nothing is asked for, nothing complains, and keys and clicks do what they say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, Browser

from musicgen.page import write_page
from musicgen.page.heard import heard_of
from musicgen.piece import METER, TEMPO, Piece, Track, notes_array

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium or Chrome is on the PATH to show the page with")

FACTS = {"source": "song.mid", "ticks_per_quarter": 480, "cut_tick": 8 * 960, "notes_kept": 16, "notes_added": 8}
TIME = "player.time"


def song(*, tempo: int = 500_000) -> Piece:
    """Twelve bars of 2/4, a second each at the usual tempo; the last four are new."""
    lead = Track("Lead", 73, notes=notes_array([(480 * k, 240, 67 + k % 5, 80) for k in range(24)]))
    kit = Track("Kit", 0, True, notes_array([(480 * k, 60, 36 + 2 * (k % 2), 80) for k in range(24)]))
    return Piece(480, (lead, kit), np.array([(0, tempo)], TEMPO), np.array([(0, 2, 4)], METER))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """Two takes, the second at half the speed, with sound and without."""
    folder = tmp_path_factory.mktemp("pages")
    heard = [heard_of(song(tempo=t), name=f"song.{n}", facts=FACTS) for n, t in ((1, 500_000), (2, 1_000_000))]
    made = {"heard": True, "silent": False}
    for name, sound in made.items():
        assert write_page(heard, folder / f"{name}.html", sound=sound).warnings == ()
    return {name: folder / f"{name}.html" for name in made}


@pytest.fixture(params=["heard", "silent"])
def shown(request, browser, pages) -> Browser:
    """A page just opened; what it asked for and complained of is looked at when the test is over."""
    browser.open(pages[request.param])
    if request.param == "heard":
        browser.wait("voices.every((voice) => voice.readyState >= 3)")
    assert browser.value(TIME) == pytest.approx(6000, abs=5), "it opens two bars before what is new"
    browser.press("Home")
    yield browser
    asked = [url for url in browser.requests if not url.startswith("data:")]
    assert asked == [pages[request.param].as_uri()]
    assert browser.complaints == []


def test_space_plays_and_pauses(shown):
    shown.press(" ")
    shown.wait(f"{TIME} > 300")
    assert shown.value("at('play').textContent") == "Pause"
    shown.press(" ")
    assert shown.value("at('play').textContent") == "Play"
    stood = shown.value(TIME)
    assert shown.value(f"new Promise((done) => setTimeout(() => done({TIME}), 150))") == stood


def test_arrows_and_clicks_go_to_a_place(shown):
    for key, expected in [("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("s", 8), ("Home", 0)]:
        shown.press(key)
        assert shown.value(TIME) == pytest.approx(1000 * expected, abs=5)
    shown.press("ArrowRight", shift=True)
    assert shown.value(TIME) == pytest.approx(1000, abs=5)
    left, top, scale = shown.value(
        "(() => { const r = at('roll').getBoundingClientRect(); return [r.x, r.y, roll.scale]; })()"
    )
    shown.click(left + 5500 * scale, top + 60)
    assert shown.value(TIME) == pytest.approx(5500, abs=30)
    assert shown.value("at('place').textContent").startswith("bar 6 of 12 · 0:05 / ")
    assert shown.value("at('seek').getAttribute('aria-valuetext')").startswith("bar 6 of 12, 0:05 of ")


def test_another_take_goes_on_at_the_same_place(shown):
    shown.press("ArrowRight")
    shown.press("ArrowRight")
    shown.press("2")
    assert shown.value(TIME) == pytest.approx(4000, abs=5)  # bar 3 at half the speed
    assert shown.value("[...at('takes').children].map((b) => b.getAttribute('aria-pressed'))") == ["false", "true"]
    assert shown.value("[at('take-1').hidden, at('take-2').hidden]") == [True, False]
    shown.press(" ")
    shown.wait(f"{TIME} > 4200")
    shown.press("1")
    assert 2050 < shown.value(TIME) < 3500
    assert shown.value("player.playing")
    shown.wait(f"{TIME} > 2400")
    assert shown.value("player.voices[1].paused"), "one take at a time"
    shown.press(" ")


def test_the_seam_is_looped_until_it_is_left(shown):
    begin, end = shown.value("player.take.loop")
    assert [begin, end] == [6000, 10000]
    shown.press("l")
    assert shown.value("at('loop').getAttribute('aria-pressed')") == "true"
    shown.wait(f"{TIME} > {begin}")
    shown.value(f"player.seek({end - 250})")
    shown.wait(f"{TIME} < {begin + 1500}")
    assert shown.value("player.playing && player.looping")
    shown.press("Home")
    assert not shown.value("player.looping")
    shown.press(" ")


def test_the_end_stops_and_the_next_space_begins_anew(shown):
    shown.value("player.seek(player.take.end - 200)")
    shown.press(" ")
    shown.wait("!player.playing")
    shown.press(" ")
    shown.wait(f"{TIME} < 3000 && player.playing")
    shown.press(" ")


def test_every_control_is_reached_by_tab_is_seen_and_has_a_name(shown):
    seen = []
    for _ in range(40):
        shown.press("Tab")
        about = shown.value(
            "(() => { const e = document.activeElement; return e === document.body ? null : [e.id || e.tagName,"
            " getComputedStyle(e).outlineStyle, e.getAttribute('aria-label') || e.textContent"
            " || (e.labels && e.labels[0] && e.labels[0].textContent) || '']; })()"
        )
        if about is None:
            break
        seen.append(about)
    names = [name for name, _, _ in seen]
    for name in ("play", "loop", "closer", "wider", "fit", "scroll", "seek", "INPUT", "A", "SUMMARY"):
        assert name in names, name
    assert [name for name, outline, _ in seen if outline == "none"] == []
    assert [name for name, _, label in seen if not label.strip()] == []


def test_space_on_a_control_is_the_controls_own_but_after_a_click_the_players(shown):
    shown.value("document.querySelector('#parts input').focus()")
    shown.press(" ")
    assert not shown.value("document.querySelector('#parts input').checked")
    assert shown.value("[...roll.hidden]") == [0]
    assert not shown.value("player.playing")
    shown.click_on("#parts input")
    shown.press(" ")
    assert shown.value("player.playing && document.querySelector('#parts input').checked")
    shown.press(" ")


@pytest.mark.parametrize(("width", "dark"), [(390, False), (390, True), (1100, True)])
def test_a_phone_and_a_dark_room_see_all_of_it(browser, pages, width, dark):
    browser.open(pages["silent"], width=width, dark=dark)
    assert browser.value("document.documentElement.scrollWidth") <= width
    paper, ink = browser.value(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        ".map((colour) => colour.match(/\\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0))"
    )
    assert (paper < ink) == dark
    # The roll is drawn: the first note stands out from the ground beside it.
    colours = json.loads(
        browser.value(
            "(() => { const c = roll.context, y = roll.yOf(67) + roll.row / 2, x = roll.xOf(120);"
            " return JSON.stringify([y, roll.yOf(72)].map((y) => [...c.getImageData(x, y, 1, 1).data])); })()"
        )
    )
    assert colours[0] != colours[1]


def test_a_hole_has_two_seams_and_new_parts_a_badge(browser, tmp_path):
    facts = {**FACTS, "cut_tick": 4 * 960, "end_tick": 8 * 960, "parts_written": ["Kit"]}
    heard = heard_of(replace(song()), name="song", facts=facts)
    write_page(heard, tmp_path / "hole.html", sound=False)
    browser.open(tmp_path / "hole.html")
    assert browser.value("at('loop').textContent") == "Loop the new bars"
    assert browser.value("player.take.loop") == [2000, 10000]
    assert browser.value("roll.given(player.take)") == [[0, 4000], [8000, 11750]]
    browser.open(tmp_path / "hole.html", width=390)
    edges = browser.value("player.take.span.map((time) => roll.xOf(time) / roll.width)")
    assert 0 < edges[0] < edges[1] < 1, "both edges are seen on a phone, too"
    assert browser.value("[...document.querySelectorAll('#parts em')].map((badge) => badge.hidden)") == [True, False]
    assert browser.complaints == []
