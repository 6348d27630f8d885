"""Makes the files beside it with the libraries people use. Needs: pip install openpyxl python-docx python-pptx reportlab odfpy
ebooklib xlwt pypdf cryptography msoffcrypto-tool. Call: python make.py FOLDER"""
import sys, os, datetime, zipfile, io
out = sys.argv[1]
os.makedirs(out, exist_ok=True)
p = lambda n: os.path.join(out, n)

import docx
d = docx.Document()
d.core_properties.title = "Returns handbook"
d.core_properties.language = "en-GB"
d.add_heading("Returns handbook", 0)
d.add_heading("Conditions", 1)
d.add_paragraph("Goods can be returned within 30 days.")
d.add_paragraph("Unopened", style="List Bullet")
d.add_paragraph("With receipt", style="List Bullet")
d.add_paragraph("Pack it", style="List Number")
d.add_paragraph("Send it", style="List Number")
d.add_heading("Fees", 2)
t = d.add_table(rows=3, cols=2)
for r, row in enumerate([("Zone", "Fee"), ("Domestic", "4.90 EUR"), ("Europe", "9.90 EUR")]):
    for c, v in enumerate(row): t.cell(r, c).text = v
d.save(p("python-docx.docx"))

import openpyxl
w = openpyxl.Workbook(); s = w.active; s.title = "Prices"
s.append(["SKU", "Name", "Price", "Since", "Active"])
s.append(["WX-1017", "Winter Jacket", 119.9, datetime.date(2026, 1, 15), True])
s.append(["WX-1018", "Rain Coat", 0.1 + 0.2, datetime.datetime(2026, 2, 1, 14, 30), False])
h = w.create_sheet("Stock"); h.append(["SKU", "Stock"]); h.append(["WX-1017", 12])
x = w.create_sheet("Secret"); x.append(["hidden", "text"]); x.sheet_state = "hidden"
w.properties.title = "Price list"
w.save(p("openpyxl.xlsx"))

import xlwt
w = xlwt.Workbook(); s = w.add_sheet("Old prices")
for r, row in enumerate([("SKU", "Price"), ("WX-1", 49.5), ("WX-2", 12)]):
    for c, v in enumerate(row): s.write(r, c, v)
w.save(p("xlwt.xls"))

import pptx
from pptx.util import Inches
pr = pptx.Presentation()
s = pr.slides.add_slide(pr.slide_layouts[0]); s.shapes.title.text = "Spring campaign"; s.placeholders[1].text = "Plans for 2026"
s = pr.slides.add_slide(pr.slide_layouts[1]); s.shapes.title.text = "Budget"
tf = s.placeholders[1].text_frame; tf.text = "Radio 4,000 EUR"; q = tf.add_paragraph(); q.text = "regional stations"; q.level = 1
s.notes_slide.notes_text_frame.text = "Ask for a discount."
s = pr.slides.add_slide(pr.slide_layouts[5]); s.shapes.title.text = "Cities"
t = s.shapes.add_table(2, 2, Inches(1), Inches(2), Inches(4), Inches(1)).table
for r, row in enumerate([("City", "Shops"), ("Graz", "3")]):
    for c, v in enumerate(row): t.cell(r, c).text = v
pr.save(p("python-pptx.pptx"))

from odf.opendocument import OpenDocumentText, OpenDocumentSpreadsheet
from odf import text, table, dc
o = OpenDocumentText()
o.meta.addElement(dc.Title(text="Opening hours"))
o.text.addElement(text.H(outlinelevel=1, text="Opening hours"))
o.text.addElement(text.P(text="We open at nine."))
l = text.List(); 
for v in ("Monday", "Tuesday"):
    i = text.ListItem(); i.addElement(text.P(text=v)); l.addElement(i)
o.text.addElement(l)
o.save(p("odfpy.odt"))
o = OpenDocumentSpreadsheet()
t = table.Table(name="Hours")
for row in [("Day", "Opens"), ("Monday", "9"), ("Sunday", "closed")]:
    r = table.TableRow()
    for v in row:
        c = table.TableCell(valuetype="string"); c.addElement(text.P(text=v)); r.addElement(c)
    t.addElement(r)
o.spreadsheet.addElement(t)
o.save(p("odfpy.ods"))

from reportlab.platypus import SimpleDocTemplate, Paragraph, PageBreak, Table
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.pdfbase import pdfmetrics
st = getSampleStyleSheet()
doc = SimpleDocTemplate(p("reportlab.pdf"), title="Warranty terms", invariant=1)
doc.build([Paragraph("Warranty terms", st["Heading1"]),
  Paragraph("The warranty covers defects of material and workmanship for twenty-four months from the day of delivery, and Größe & Öl are spelled right. It does not cover wear of parts that are meant to be used up.", st["BodyText"]),
  PageBreak(), Paragraph("Contact", st["Heading2"]), Paragraph("Write to service@shop.example.", st["BodyText"]),
  Table([["Country", "Phone"], ["Austria", "+43 1 234"], ["Germany", "+49 30 567"]])])

from pypdf import PdfWriter, PdfReader
wr = PdfWriter(clone_from=p("reportlab.pdf")); wr.encrypt("secret", algorithm="AES-256"); wr.write(p("password.pdf"))
wr = PdfWriter(clone_from=p("reportlab.pdf")); wr.encrypt("", owner_password="owner", algorithm="AES-128"); wr.write(p("owner-password.pdf"))

from ebooklib import epub
b = epub.EpubBook(); b.set_identifier("id1"); b.set_title("The shop's book"); b.set_language("de")
cs = []
for n, (h, body) in enumerate([("Anfang", "Es war ein Laden."), ("Ende", "Er hat geschlossen.")]):
    c = epub.EpubHtml(title=h, file_name=f"c{n}.xhtml", lang="de"); c.content = f"<html><body><h1>{h}</h1><p>{body}</p></body></html>"; b.add_item(c); cs.append(c)
b.toc = cs; b.add_item(epub.EpubNcx()); b.add_item(epub.EpubNav()); b.spine = ["nav"] + cs
epub.write_epub(p("ebooklib.epub"), b)

from email.message import EmailMessage
m = EmailMessage(); m["Subject"] = "Lieferung verspätet"; m["From"] = "Jörg Müller <joerg@shop.example>"; m["To"] = "kunde@example.com"; m["Date"] = "Thu, 15 Jan 2026 10:00:00 +0100"
m.set_content("Die Lieferung kommt am Freitag.\n"); m.add_alternative("<p>Die Lieferung kommt am <b>Freitag</b>.</p>", subtype="html")
m.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="Rechnung 7.pdf")
open(p("python.eml"), "wb").write(m.as_bytes())

import msoffcrypto
from msoffcrypto.format.ooxml import OOXMLFile
f = OOXMLFile(open(p("python-docx.docx"), "rb")); f.encrypt("secret", open(p("password.docx"), "wb"))
