"""How text becomes terms for the lexical side: folded, cut into words or CJK bigrams, stemmed.

Chinese, Japanese and Korean write without spaces, or with spaces that don't part words from particles. Their runs
are indexed as single characters and as overlapping pairs, the way Lucene's CJKAnalyzer does, so that any word of
them is found without a dictionary. The same holds for Thai, Lao, Khmer and Burmese.
"""

from __future__ import annotations

import re
import unicodedata

from tantivy import Filter, TextAnalyzer, TextAnalyzerBuilder, Tokenizer

LANGUAGES = (
    "arabic danish dutch english finnish french german greek hungarian italian norwegian portuguese romanian "
    "russian spanish swedish tamil turkish none"
).split()

# Scripts without spaces between words, and Hangul.
_UNSPACED = re.compile(
    "(["
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"  # Kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af"  # Hangul
    "]+)"
)
# Languages that tantivy has a list of stop words for.
_STOPPED = frozenset(
    "danish dutch english finnish french german hungarian italian norwegian portuguese russian spanish swedish".split()
)
# Words that make a question of a sentence, which lists of stop words leave out.
_QUESTION_WORDS = {
    "english": (
        "what when where who whom whose which why how do does did can could should would may might must "
        "has have had was were am been i me my we us our you your he him his she her it its they them"
    ).split(),
    "german": "was wann wo wer wem wen wessen welche welcher welches warum wieso wie kann darf muss soll gibt".split(),
    "french": "que quoi quand où qui quel quelle quels quelles pourquoi comment combien est-ce peut doit".split(),
    "spanish": "qué cuándo dónde quién quiénes cuál cuáles por cómo cuánto cuántos puede debe".split(),
}
_MARKS = re.compile("[\u0300-\u036f]+")
_LONGEST_TERM = 64


def analyzer(language: str, *, question: bool = False) -> TextAnalyzer:
    """What tantivy does with folded text: words, lower case, ASCII for accented Latin, stems of `language`.

    Passages keep every word; of a question, those that only make it one are left out.
    """
    builder = (
        TextAnalyzerBuilder(Tokenizer.simple())
        .filter(Filter.remove_long(_LONGEST_TERM))
        .filter(Filter.lowercase())
        .filter(Filter.ascii_fold())
    )
    if question:
        if language in _STOPPED:
            builder = builder.filter(Filter.stopword(language))
        builder = builder.filter(
            Filter.custom_stopword([fold(word) for word in _QUESTION_WORDS.get(language, [])])
        )
    if language != "none":
        builder = builder.filter(Filter.stemmer(language))
    return builder.build()


def fold(text: str, *, query: bool = False) -> str:
    """Text as it goes into the analyzer: one form for letters that look alike, unspaced scripts cut up.

    Of a run in an unspaced script a passage is given all single characters and all pairs, a query only its pairs
    (a single character where it is no longer than that): a pair says more than its two characters.

    >>> fold("café 東京都", query=True)
    'cafe  東京 京都 '
    """
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKD", text)
    # Only the marks of European scripts are decoration; a Hindi vowel sign or a Japanese dakuten is a letter.
    text = unicodedata.normalize("NFC", _MARKS.sub("", text))

    def grams(run: re.Match[str]) -> str:
        word = run.group()
        pairs = [word[i : i + 2] for i in range(len(word) - 1)]
        singles = list(word) if not query or len(word) == 1 else []
        return f" {' '.join(singles + pairs)} "

    return _UNSPACED.sub(grams, text)
