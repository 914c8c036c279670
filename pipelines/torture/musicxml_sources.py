"""Small MusicXML files of our own that hold what the reader looks at, to be damaged; real ones are unpacked beside."""

from __future__ import annotations

import io
import zipfile

__all__ = ["MUSICXML_SCORES", "unpacked"]

SONG = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" "http://www.musicxml.org/dtds/partwise.dtd">
<score-partwise version="4.0">
 <part-list>
  <score-part id="P1"><part-name>Clarinet in B&#9837; &amp; Voice</part-name>
   <score-instrument id="P1-I1"><instrument-name>Clarinet</instrument-name></score-instrument>
   <midi-instrument id="P1-I1"><midi-channel>1</midi-channel><midi-program>72</midi-program></midi-instrument>
  </score-part>
  <score-part id="P2"><part-name>Kit</part-name>
   <score-instrument id="P2-I1"/><score-instrument id="P2-I2"/>
   <midi-instrument id="P2-I1"><midi-channel>10</midi-channel><midi-unpitched>37</midi-unpitched></midi-instrument>
   <midi-instrument id="P2-I2"><midi-channel>2</midi-channel><midi-program>13</midi-program></midi-instrument>
  </score-part>
 </part-list>
 <part id="P1">
  <measure number="0" implicit="yes">
   <attributes><divisions>6</divisions><key><fifths>2</fifths><mode>major</mode></key>
    <time><beats>3+2</beats><beat-type>8</beat-type></time>
    <transpose><diatonic>-1</diatonic><chromatic>-2</chromatic></transpose></attributes>
   <direction><direction-type><metronome><beat-unit>quarter</beat-unit><beat-unit-dot/><per-minute>c. 72</per-minute>
    </metronome></direction-type><offset sound="yes">1</offset><sound tempo="108"/></direction>
   <note default-x="9"><pitch><step>G</step><octave>4</octave></pitch><duration>3</duration><voice>1</voice></note>
  </measure>
  <measure number="1">
   <barline location="left"><repeat direction="forward"/></barline>
   <direction><direction-type><segno/></direction-type><sound segno="s"/></direction>
   <harmony><root><root-step>B</root-step><root-alter>-1</root-alter></root><kind text="m7">minor-seventh</kind>
    <bass><bass-step>F</bass-step></bass><degree><degree-value>9</degree-value><degree-alter>-1</degree-alter>
    <degree-type>add</degree-type></degree><offset>2</offset></harmony>
   <direction><direction-type><dynamics><mf/></dynamics></direction-type><sound dynamics="88.89"/></direction>
   <note dynamics="50" time-only="1,2"><pitch><step>C</step><alter>1</alter><octave>5</octave></pitch>
    <duration>2</duration><voice>1</voice><type>eighth</type><time-modification><actual-notes>3</actual-notes>
    <normal-notes>2</normal-notes></time-modification><staff>1</staff><beam number="1">begin</beam></note>
   <note><grace/><pitch><step>D</step><octave>5</octave></pitch><voice>1</voice></note>
   <note><chord/><pitch><step>E</step><alter>0.5</alter><octave>5</octave></pitch><duration>2</duration></note>
   <note><cue/><pitch><step>E</step><octave>5</octave></pitch><duration>1</duration></note>
   <note><pitch><step>E</step><octave>5</octave></pitch><duration>12</duration>
    <tie type="start"/><voice>1</voice><notations><tied type="start"/><dynamics><p/></dynamics></notations></note>
   <backup><duration>15</duration></backup>
   <note><rest measure="yes"/><duration>15</duration><voice>2</voice></note>
   <sound tocoda="c"/>
  </measure>
  <measure number="2">
   <barline location="left"><ending number="1, 2" type="start">1.2.</ending></barline>
   <attributes><divisions>4</divisions><measure-style><measure-repeat type="start">1</measure-repeat></measure-style>
   </attributes>
   <note><pitch><step>E</step><octave>5</octave></pitch><duration>5</duration><tie type="stop"/></note>
   <barline location="middle"><bar-style>dashed</bar-style></barline>
   <forward><duration>5</duration></forward>
   <barline location="right"><ending number="1, 2" type="stop"/><repeat direction="backward" times="3"/></barline>
  </measure>
  <measure number="3">
   <barline location="left"><ending number="3" type="start"/></barline>
   <note><pitch><step>A</step><octave>4</octave></pitch><duration>10</duration></note>
   <direction><direction-type><words>D.S. al Coda</words></direction-type><sound dalsegno="s"/></direction>
   <barline location="right"><ending number="3" type="discontinue"/></barline>
  </measure>
  <measure number="1">
   <direction><direction-type><coda/></direction-type><sound coda="c"/></direction>
   <attributes><time><beats>2</beats><beat-type>4</beat-type></time></attributes>
   <direction><direction-type><metronome><beat-unit>quarter</beat-unit><beat-unit>eighth</beat-unit></metronome>
    </direction-type></direction>
   <note><pitch><step>A</step><octave>4</octave></pitch><duration>8</duration></note>
  </measure>
 </part>
 <part id="P2">
  <measure number="0" implicit="yes">
   <attributes><divisions>2</divisions><time><beats>6</beats><beat-type>8</beat-type></time></attributes>
   <note><rest/><duration>1</duration></note></measure>
  <measure number="1"><note><unpitched/><duration>5</duration><instrument id="P2-I1"/></note></measure>
  <measure number="2"><note><pitch><step>C</step><octave>6</octave></pitch><duration>5</duration>
   <instrument id="P2-I2"/></note></measure>
  <measure number="3"/>
 </part>
</score-partwise>
"""
TIMEWISE = """<score-timewise><part-list><score-part id="A"><part-name>U</part-name></score-part><score-part id="B"/>
</part-list><measure number="1"><part id="A"><attributes><divisions>1</divisions>
<time><beats>2</beats><beat-type>4</beat-type></time></attributes>
<note><pitch><step>C</step><octave>4</octave></pitch><duration>2</duration></note></part>
<part id="B"><note><pitch><step>C</step><octave>3</octave></pitch><duration>2</duration></note></part></measure>
<measure number="2">
<part id="B"><note><pitch><step>D</step><octave>3</octave></pitch><duration>2</duration></note></part>
<part id="A"><note><rest/><duration>1</duration></note><note><pitch><step>E</step><octave>4</octave></pitch>
<duration>1</duration></note><sound dacapo="yes"/></part></measure></score-timewise>
"""
MUSICXML_SCORES = (SONG.encode(), TIMEWISE.encode(), SONG.replace("UTF-8", "UTF-16").encode("utf-16"))


def unpacked(data: bytes) -> bytes:
    """The score in a .mxl archive, which would else only be tried as an archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        name = next(n for n in archive.namelist() if n.endswith((".xml", ".musicxml")) and not n.startswith("META"))
        return archive.read(name)
