"""Words whose full stop does not end a sentence, in lower case and without that full stop."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Never the last word before a new sentence, or so seldom that a missed boundary costs less.
_ENGLISH = """
    mr mrs ms messrs dr prof rev hon st mt ft gen col maj capt cpt lt sgt adm cmdr sen rep gov pres supt
    vs cf viz approx al esp resp incl excl dept univ assn bros inc ltd co corp
"""
_GERMAN = "bzw ggf evtl vgl inkl exkl zzgl ca hr dipl ing str geb gest mio mrd tel sog gem zz zzt"
_ROMANCE_AND_DUTCH = "mme mlle mgr env sr sra srta dra ud uds dott sig sigg avv egr spett exmo dhr mevr drs"
ABBREVIATIONS = _words(_ENGLISH) | _words(_GERMAN) | _words(_ROMANCE_AND_DUTCH)

# Abbreviations only where a number follows: "No. 5", but "She said no. He agreed."
BEFORE_A_NUMBER = _words("""
    no nos nr num fig figs eq eqs sec secs sect ch chap vol vols p pp pg par para art tab ref refs v ver
    ex app bd abs kap pos pag pág núm n° jan feb mar apr jun jul aug sep sept oct okt nov dec dez
""")

GERMAN_MONTHS = _words("""
    januar jänner februar märz april mai juni juli august september oktober november dezember
    jan feb apr jun jul aug sep sept okt nov dez
""")

# German words before an ordinal number, which is written with a full stop: "im 19. Jahrhundert"
BEFORE_AN_ORDINAL = _words("am im vom zum zur beim der die das dem den des ab bis seit und jeder jeden jede")
