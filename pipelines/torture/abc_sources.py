"""Small ABC files that between them use every structure of the notation: what mutants are made of."""

from __future__ import annotations

__all__ = ["ABC_TUNES"]

ABC_TUNES = tuple(
    text.encode()
    for text in (
        """%abc-2.1
M:6/8
L:1/8
%%MIDI program 73

X:1
T:A jig
R:jig
Q:"Allegro" 3/8=110
K:D
|:A|"D"d2e f2d|"A7"{fg}a>fe (3efd c|[1 "G"B3 "Em"[GBe]3:|[2 "A"A3- A2||
|:g|faf gbg|~f3 !trill!e3|d2c B2A|[M:9/8]d3- d2e f3:|

A text between tunes, not music.

X:2
T:A reel
M:C|
K:Emin
EB{c}BA B2 EB|~B2 AB dBAG|FDAD BDAD|1 FDAD dAFA:|2 FDAD dBAF|]
""",
        """X:1
T:Voices
M:4/4
L:1/4
Q:1/4=96
U:n=!fermata!
m:~g2={a}g{f}g
V:S name="Soprano" clef=treble
V:T name="Tenor" clef=treble-8
V:B name="Bass" clef=bass octave=-1
K:Bb
[V:S]"Bb"B2 F>d|!p!(3cBA nB2|Z|B4|]
[V:T]d2 c2|e2 d2|_e- e =e ^f|d4|]
[V:B]B,2 A,2|F2 B,2 & D4|[B,F]4-|[B,F]4|]
w:la la _ la
""",
        """X:7
T:Parts and jumps
P:A2.(BA)2C
M:3/4
L:1/8
K:G ^c
P:A
|:G2 A2 B2|!segno!d>e d2 c2|[K:Ddor][L:1/16]D4 E4 F4:|
P:B
|::C/D/E/F/ G/A/B/c/ d2::|1-2 e6:|3 f6||
[P:C] c2 !fine!d2 e2|f2 g2 !dacoda!a2|b6 !D.S.alcoda!|!coda!g6!D.C.!|]
""",
        """X:1
T:Odd things
M:(2+3)/8
L:1/16
K:HP
{g}A4{d}B6|(5:4:5ABcde y[ce]4`x2|[r:remark]^^c__d^/e=f z4|(& A4B6 & c4d6 &)|A4B6&&c10|
I:propagate-accidentals octave
I:MIDI=channel 10
%%MIDI drummap ^F, 38
+fg+ .u^F,2v!5!F,2 (AB)(cd)|$
%%begintext
No music
%%endtext
s:"C" * !f!
[1,3 A10:|[2 B10:|[4 !ff!c10|]
""",
    )
)
