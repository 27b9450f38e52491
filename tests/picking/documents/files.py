"""Files of each kind, made by hand or by the libraries that write them: what is in them is known."""

import zipfile

from openpyxl import Workbook
from pptx import Presentation
from pptx.util import Inches
from pypdf import PdfReader, PdfWriter

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def pdf(path, *pages, password=None, owner=None):
    """A PDF with one line of text a page; a page of "" shows a picture only."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    kids = []
    for text in pages:
        if text:
            content = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET"
            used = "/Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >>"
        else:
            content, used = "q 9 0 0 9 0 0 cm BI /W 1 /H 1 /CS /G /BPC 8 /F /AHx ID 00> EI Q", ""
        number = len(objects) + 1
        kids.append(f"{number} 0 R")
        objects += [
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] "
            f"/Resources << {used} >> /Contents {number + 1} 0 R >>",
            f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
        ]
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    data, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(data))
        data += f"{number} 0 obj\n{body}\nendobj\n".encode("cp1252")
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    data += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}".encode()
    data += f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{data.index(b'xref')}\n%%EOF\n".encode()
    path.write_bytes(data)
    if password is not None:
        writer = PdfWriter(clone_from=PdfReader(path))
        writer.encrypt(password, owner, algorithm="AES-256")
        writer.write(path)


def docx(path, *paragraphs):
    body = "".join(f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" for text in paragraphs)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("word/document.xml", f'<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>')


def xlsx(path, **sheets):
    """A workbook of sheets, each a list of rows."""
    book = Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)


def pptx(path, *slides):
    """Slides of a title, a text, a table of one row or None, and a note."""
    show = Presentation()
    for title, text, row, note in slides:
        slide = show.slides.add_slide(show.slide_layouts[1])
        slide.shapes.title.text, slide.placeholders[1].text = title, text
        if row is not None:
            shape = slide.shapes.add_table(1, len(row), Inches(1), Inches(4), Inches(4), Inches(1))
            for cell, value in zip(shape.table.rows[0].cells, row, strict=True):
                cell.text = value
        if note:
            slide.notes_slide.notes_text_frame.text = note
    show.save(path)


def epub(path, *chapters, encrypted=()):
    """A book whose chapters, in HTML, lie in a folder of its own, in another order than they are read."""
    names = [f"part%20{number}.xhtml" for number in range(len(chapters))]
    items = "".join(f'<item id="i{number}" href="{name}"/>' for number, name in enumerate(reversed(names)))
    spine = "".join(f'<itemref idref="i{len(names) - 1 - number}"/>' for number in range(len(names)))
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(
            "META-INF/container.xml",
            '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="OEBPS/content.opf"/></rootfiles></container>',
        )
        file.writestr(
            "OEBPS/content.opf",
            f'<package xmlns="http://www.idpf.org/2007/opf"><manifest>{items}</manifest><spine>{spine}</spine></package>',
        )
        for name, chapter in zip(names, chapters, strict=True):
            file.writestr(f"OEBPS/{name.replace('%20', ' ')}", f"<html><body>{chapter}</body></html>")
        if encrypted:
            found = "".join(f'<e:CipherReference URI="{name}"/>' for name in encrypted)
            file.writestr(
                "META-INF/encryption.xml",
                f'<encryption xmlns:e="http://www.w3.org/2001/04/xmlenc#">{found}</encryption>',
            )
