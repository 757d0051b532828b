#!/usr/bin/python3
"""Writes glyphs.def from the Unicode data that Python has: glyphs.py > glyphs.def"""
import unicodedata

MARKS = ("Mn", "Me")
INVISIBLE = "Cf"


def width(c):
    kind = unicodedata.category(chr(c))
    if c == 0xAD:
        return 1
    if kind in MARKS or 0x1160 <= c <= 0x11FF or c in (0x200B, 0x200C, 0x200D):
        return 0
    if kind == INVISIBLE:
        return -1
    if kind == "Cn":
        return 2 if 0x20000 <= c <= 0x3FFFD else 1
    return 2 if unicodedata.east_asian_width(chr(c)) in "WF" else 1


def main():
    start, now = 0xA0, 1
    print("/* First, last, columns; all others take one. Written by glyphs.py, of Unicode %s. */"
          % unicodedata.unidata_version)
    for c in range(0xA0, 0x110001):
        w = width(c) if c < 0x110000 else 1
        if w == now:
            continue
        if now != 1:
            print("GLYPHS(0x%04x, 0x%04x, %d)" % (start, c - 1, now))
        start, now = c, w


main()
