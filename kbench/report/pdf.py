"""Figures of the page as PDF, for papers: vectors, and text that can be searched, in the font that
they were laid out for.
"""

import io
from functools import cache
from pathlib import Path

FONT = "DejaVu Sans"


def of(drawing: str) -> bytes:
    """Return a PDF document of one page, the size of an SVG document as `svg.standalone` returns
    it; equal drawings make equal bytes.
    """
    from reportlab.graphics import renderPDF
    from reportlab.pdfgen.canvas import Canvas
    from svglib.svglib import svg2rlg

    _register_font()
    lettered = drawing.replace("<svg ", f'<svg font-family="{FONT}" ', 1)
    drawn = svg2rlg(io.BytesIO(lettered.encode()))
    document = io.BytesIO()
    canvas = Canvas(document, pagesize=(drawn.width, drawn.height), invariant=1, pageCompression=1)
    renderPDF.draw(drawn, canvas, 0, 0)
    canvas.save()
    return document.getvalue()


@cache
def _register_font() -> None:
    import matplotlib
    from svglib.svglib import register_font

    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    register_font(FONT, str(path))
