"""PowerPoint presentations, slide by slide."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pptx
from pptx.enum.shapes import PP_PLACEHOLDER

from indexer.readers.base import ReadLimits, SourceFile
from indexer.readers.compose import Composer, clean
from indexer.readers.containers import core_properties, open_zip
from indexer.readers.tables import table_lines
from retriever.types import Extract

_TITLES = frozenset({PP_PLACEHOLDER.TITLE, PP_PLACEHOLDER.CENTER_TITLE, PP_PLACEHOLDER.VERTICAL_TITLE})
_FURNITURE = frozenset(
    {PP_PLACEHOLDER.SLIDE_NUMBER, PP_PLACEHOLDER.DATE, PP_PLACEHOLDER.FOOTER, PP_PLACEHOLDER.HEADER}
)
_ROW_HEIGHT = 300_000  # EMU, about a line of text: shapes that start within it stand side by side


class PptxReader:
    """Reads `.pptx`; the pages are its slides."""

    def read(self, file: SourceFile, limits: ReadLimits) -> Iterator[Extract]:
        """Yields the presentation, hidden slides included."""
        with open_zip(file, limits) as archive:
            title, metadata, language = core_properties(archive, limits)
        composer = Composer(limits)
        for number, slide in enumerate(pptx.Presentation(str(file.path)).slides, 1):
            file.progress()
            composer.page(number)
            _write_slide(composer, slide)
        if title.lower() == "powerpoint presentation":  # what PowerPoint calls each of them
            title = ""
        yield composer.extract("pptx", title=title, language=language, metadata=metadata)


def _write_slide(composer: Composer, slide: Any) -> None:
    shapes = sorted(_flat(slide.shapes), key=_place)
    titles = [shape for shape in shapes if _kind(shape) in _TITLES]
    for shape in titles:
        composer.heading(shape.text_frame.text.replace("\v", " "), 1)
    for shape in shapes:
        if shape not in titles and _kind(shape) not in _FURNITURE:
            _write_shape(composer, shape)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        notes = _lines(slide.notes_slide.notes_text_frame)
        if notes:
            composer.block("Notes: " + "\n".join(notes))


def _write_shape(composer: Composer, shape: Any) -> None:
    if getattr(shape, "has_table", False):
        rows = [
            ["" if cell.is_spanned else clean(cell.text) for cell in row.cells] for row in shape.table.rows
        ]
        has_header = shape.table.first_row and len(rows) > 1
        composer.block_lines(table_lines(rows, 1 if has_header else None))
    elif getattr(shape, "has_chart", False):
        composer.block_lines(_chart(shape.chart))
    elif shape.has_text_frame:
        lines = _lines(shape.text_frame)
        is_list = len(lines) > 1 and _kind(shape) in {PP_PLACEHOLDER.BODY, PP_PLACEHOLDER.OBJECT}
        composer.block_lines([f"- {line.lstrip('•·- ')}" if is_list else line for line in lines])


def _chart(chart: Any) -> list[str]:
    """Its title, then each series with its values by category, of whatever type the chart is."""
    space = chart._chartSpace  # python-pptx itself knows flat charts only
    title = space.find("{*}chart/{*}title")
    lines = [clean("".join(text.text or "" for text in title.iter("{*}t")))] if title is not None else []
    for series in space.iter("{*}ser"):
        name, categories, values = (_points(series, tag) for tag in ("tx", "cat", "val"))
        pairs = [f"{categories[key]}: {value}" for key, value in values.items() if key in categories]
        lines.append("; ".join([*name.values(), *pairs]))
    return lines


def _points(series: Any, tag: str) -> dict[str, str]:
    """Cached values by their index."""
    points = series.iterfind(f"{{*}}{tag}//{{*}}pt")
    return {point.get("idx"): clean(point.findtext("{*}v") or "") for point in points}


def _lines(frame: Any) -> list[str]:
    lines = [clean(part) for paragraph in frame.paragraphs for part in paragraph.text.split("\v")]
    return [line for line in lines if line]


def _flat(shapes: Any) -> Iterator[Any]:
    """All shapes, groups opened."""
    stack = list(reversed(list(shapes)))
    while stack:
        shape = stack.pop()
        if hasattr(shape, "shapes"):
            stack.extend(reversed(list(shape.shapes)))
        else:
            yield shape


def _place(shape: Any) -> tuple[int, int]:
    return (shape.top or 0) // _ROW_HEIGHT, shape.left or 0


def _kind(shape: Any) -> Any:
    return shape.placeholder_format.type if shape.is_placeholder else None
