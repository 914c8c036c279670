"""A page to hear pieces by: one HTML file with piano roll, sound, the account of each take and its MIDI file."""

from musicgen.page.heard import Heard, Playable, heard_of, read_heard, stem_of
from musicgen.page.writing import MOST_TAKES, Page, page_html, write_page

__all__ = ["MOST_TAKES", "Heard", "Page", "Playable", "heard_of", "page_html", "read_heard", "stem_of", "write_page"]
