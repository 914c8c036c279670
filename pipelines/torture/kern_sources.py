"""Small kern files that between them use every structure of the notation: what mutants are made of."""

from __future__ import annotations

import re

__all__ = ["KERN_PIECES"]

# Two spaces part the columns here, for reading.
KERN_PIECES = tuple(
    re.sub(r" {2,}", "\t", text).encode()
    for text in (
        """!!!COM: Nobody
!!!OTL: Two voices on one staff
!!!OMD: Allegro [quarter]=96
**kern  **dynam  **kern  **text
*part2  *part2  *part1  *part1
*staff2  *staff2  *staff1  *
*Icello  *  *Ivioln  *
*I"Violoncello  *  *I"Violino I  *
*clefF4  *  *clefG2  *
*k[f#]  *  *k[f#]  *
*G:  *  *G:  *
*M3/4  *  *M3/4  *
*MM96  *  *MM96  *
4r  .  4d  Ah
=1  =1  =1  =1
*  *  *^  *
2.GG  p  4.g  4r  la
.  .  .  4b  .
.  <  8a  .  .
.  .  4b  4dd  li
*  *  *v  *v  *
=2  =2  =2  =2
*  *  *^  *
*  *  *  *^  *
4D 4A  f  [4f#  4a  4dd  lu
4D 4A  .  4f#]  8a  4ee  .
.  .  .  8b  .  .
4D 4A  .  4g  4cc  4ee  .
*  *  *v  *v  *v  *
=3  =3  =3  =3
2G;  .  2g;  la
==  ==  ==  ==
*-  *-  *-  *-
!!!ENC: Nobody
""",
        """**kern  **kern
*Ipiano  *Ipiano
*>[A,A1,A,A2,B]  *>[A,A1,A,A2,B]
*>norep[A,A2,B]  *>norep[A,A2,B]
*M2/4  *M2/4
*met(c|)  *met(c|)
*>A  *>A
=1  =1
8CL  16ccLL
.  16dd
8GJ  12eeLL
.  12ff
.  12ggJJ
4c 4e 4g  qaa
.  4gg
*>A1  *>A1
=2  =2
2C  2ee
*>A2  *>A2
=3:|!  =3:|!
2D  2.ff
*>B  *>B
=4  =4
*tremolo  *
32CLLL  .
32E  .
32C  4cc
32EJJJ  .
*Xtremolo  *
4.C  .
==:|!  ==:|!
*-  *-
""",
        """!!!!SEGMENT: first.krn
**kern
*tb8
*M4/4
=1!|:
c
d
e#
=2:|!
!LO:TX:a:t=Fine
4f
=3
!!LO:TX:b:t=D.C. al Fine.
2.g_
==
*-
!!!!SEGMENT: second.krn
**kern  **mxhm  **kern
*ITrd1c2  *  *clefX
*  *  *I"Snare Drum
*M2+3/8  *  *M2+3/8
=1  =1  =1
4b-  B- major  8x
.  .  8x
4.dd  F dominant/C  4Rr
.  .  8R
=2-  =2-  =2-
*x  *  *x
4%5x  .  4%5cc
*x  *  *x
==  ==  ==
*-  *-  *-
""",
        """**kern  **kern
4c  4e
*+  *
*  **kern  *
4d  4f  4a
*cue  *  *ossia
4d  4f  4a
*Xcue  *  *Xossia
*S/sic  *  *
0c  00E  1%3g
=2  =2  =2
=3  =3  =3
*-  *  *
1C  2c
.  2d
*k[b-e-]  *M999999999/2
3%2C  6c 6e
.  6d
*-  *-
""",
    )
)
