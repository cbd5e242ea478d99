#!/usr/bin/env python3
"""Writes federation/confusables.txt: the characters that a host name can hold and that people take for
letters and digits of ASCII, by the skeletons of Unicode Technical Standard 39 as ICU has them (Debian:
python3-icu). Accents are left out, since people overlook them. Usage: confusables.py > ../confusables.txt"""

import unicodedata

import icu

letters = icu.UnicodeSet("[[:L:][:M:][:N:]]")
folding = icu.Normalizer2.getNFKCCasefoldInstance()
spoof = icu.SpoofChecker()


def bare(text):
    return "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")


looks = {}
for point in range(0x80, 0x110000):
    char = chr(point)
    if 0xD800 <= point < 0xE000 or not letters.contains(char) or folding.normalize(char) != char:
        continue  # no host name holds it
    seen = bare(spoof.getSkeleton(0, char)).lower()
    if seen and seen != bare(char) and all(c in "abcdefghijklmnopqrstuvwxyz0123456789" for c in seen):
        looks.setdefault(seen, []).append(f"{point:04x}")

print(f"# From the confusables of Unicode {icu.UNICODE_VERSION} (ICU {icu.ICU_VERSION}) by testdata/confusables.py.")
print("# What people see, then the characters in which they see it.")
for seen in sorted(looks):
    print(seen, *looks[seen])
