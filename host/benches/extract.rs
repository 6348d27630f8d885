//! What each format costs: the extractor as a component and as native code, on small files as programs write them and on
//! long documents made here.
#![allow(clippy::unwrap_used)]

#[path = "../../plugins/extract/tests/support/mod.rs"]
mod documents;
mod support;

use std::{path::Path, time::Instant};

use support::{
    component, corpus, native,
    report::{Report, median, us},
    sized,
};
use tributary_sandbox::{Blob, Extractor, ExtractorWorker, Sandbox, SandboxOptions};

/// Paragraphs, rows or lines of a long document.
const LONG: usize = 4_000;
/// Each document is read so often, sandboxed and native in turn; the one in the middle counts.
const ROUNDS: usize = 9;

fn main() {
    support::runtime().block_on(run());
}

async fn run() {
    let mut report = Report::new("extract");
    let wasm = component("tributary_plugin_extract");
    report.section("The component");
    report.figure("size", wasm.len() as f64 / 1e6, "MB");
    let code = tempfile::tempdir().unwrap();
    let options = SandboxOptions { cache_dir: Some(code.path().to_owned()), ..SandboxOptions::default() };
    let start = Instant::now();
    let digest = Sandbox::new(options.clone()).unwrap().install(wasm.clone()).await.unwrap().digest;
    report.figure("first start, compiling it", start.elapsed().as_secs_f64(), "s");
    let start = Instant::now();
    let sandbox = Sandbox::new(options).unwrap();
    sandbox.install(wasm).await.unwrap();
    report.figure("later starts, compiled before", us(start.elapsed()) / 1e3, "ms");

    let wasm = sandbox.extractor(digest).unwrap();
    let mut workers: [Box<dyn ExtractorWorker>; 2] = [wasm.worker(), native::NativeExtractor.worker()];
    report.section("Small files, each by an instance that is warm");
    for (name, bytes) in small() {
        measure(&mut report, &mut workers, &name, bytes, false).await;
    }
    report.section("Long documents");
    for (name, bytes) in long(sized(LONG)) {
        measure(&mut report, &mut workers, name, bytes, true).await;
    }
    report.finish();
}

async fn measure(
    report: &mut Report,
    workers: &mut [Box<dyn ExtractorWorker>; 2],
    name: &str,
    bytes: Vec<u8>,
    long: bool,
) {
    let length = bytes.len();
    let blob = Blob::from_bytes(bytes);
    let mut times = [Vec::new(), Vec::new()];
    let mut text_bytes = 0;
    for _ in 0..if long { ROUNDS } else { ROUNDS * 20 } {
        for (worker, times) in workers.iter_mut().zip(&mut times) {
            let start = Instant::now();
            let extracted = worker.extract(&blob, "application/octet-stream", Some(name)).await.unwrap();
            times.push(start.elapsed());
            text_bytes = extracted.sections.iter().map(|section| section.text.len()).sum();
        }
    }
    let [sandboxed, native] = times.each_ref().map(|times| median(times));
    if long {
        let rate = |time: std::time::Duration| text_bytes as f64 / 1e6 / time.as_secs_f64();
        let what = format!("{name}, {} KB holding {} KB of text", length / 1000, text_bytes / 1000);
        report.figure(format!("{what}, sandboxed"), rate(sandboxed), "MB of text/s");
        report.figure(format!("{what}, native"), rate(native), "MB of text/s");
    } else {
        report.figure(format!("{name}, sandboxed"), us(sandboxed), "µs");
        report.figure(format!("{name}, native"), us(native), "µs");
    }
    report.figure(format!("{name}, sandboxed to native"), sandboxed.as_secs_f64() / native.as_secs_f64(), "times");
}

/// What libraries wrote, and notes and pages like those of the other benchmarks.
fn small() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/extract/tests/files");
    let mut files = vec![
        ("2 KB.md".to_owned(), corpus::markdown(1).into_bytes()),
        ("50 KB.html".to_owned(), corpus::html(1).into_bytes()),
    ];
    let names = ["python-docx.docx", "openpyxl.xlsx", "xlwt.xls", "python-pptx.pptx", "odfpy.odt", "odfpy.ods"];
    for name in names.into_iter().chain(["ebooklib.epub", "reportlab.pdf", "python.eml"]) {
        files.push((name.to_owned(), std::fs::read(folder.join(name)).unwrap()));
    }
    files
}

fn long(count: usize) -> Vec<(&'static str, Vec<u8>)> {
    let line = |n: usize| format!("Article {n} is delivered within {} days and costs {}.90 EUR.", n % 9 + 1, n % 200);
    let each = |make: &dyn Fn(usize) -> String| (0..count).map(make).collect::<String>();
    let pages: Vec<String> = (0..count / 40)
        .map(|page| {
            let lines: String = (0..40).map(|n| format!("({}) Tj 0 -14 Td ", line(page * 40 + n))).collect();
            format!("BT /F1 11 Tf 50 800 Td {lines} ET")
        })
        .collect();
    let slides: Vec<String> = (0..count / 40)
        .map(|slide| {
            let lines: String =
                (0..40).map(|n| format!("<a:p><a:r><a:t>{}</a:t></a:r></a:p>", line(slide * 40 + n))).collect();
            format!("<p:sp><p:txBody>{lines}</p:txBody></p:sp>")
        })
        .collect();
    let chapters: Vec<String> = (0..count / 40)
        .map(|chapter| (0..40).map(|n| format!("<p>{}</p>", line(chapter * 40 + n))).collect())
        .collect();
    fn refs(texts: &[String]) -> Vec<&str> {
        texts.iter().map(String::as_str).collect()
    }
    vec![
        ("long.md", each(&|n| format!("{}\n\n", line(n))).into_bytes()),
        ("long.html", each(&|n| format!("<p>{}</p>\n", line(n))).into_bytes()),
        ("long.docx", documents::docx(&each(&|n| format!("<w:p><w:r><w:t>{}</w:t></w:r></w:p>", line(n))))),
        (
            "long.xlsx",
            documents::xlsx(&each(&|n| {
                let row = n + 1;
                format!(
                    "<row r=\"{row}\"><c r=\"A{row}\" t=\"inlineStr\"><is><t>{}</t></is></c><c r=\"B{row}\"><v>{n}.5</v></c></row>",
                    line(n)
                )
            })),
        ),
        ("long.pptx", documents::pptx(&refs(&slides))),
        ("long.odt", documents::odf("text", &each(&|n| format!("<text:p>{}</text:p>", line(n))))),
        ("long.epub", documents::epub(&refs(&chapters))),
        ("long.pdf", documents::pdf(&refs(&pages))),
        ("long.rtf", format!("{{\\rtf1\\ansi {}}}", each(&|n| format!("{}\\par\n", line(n)))).into_bytes()),
        ("long.eml", format!("Subject: x\r\n\r\n{}", each(&|n| format!("{}\r\n", line(n)))).into_bytes()),
    ]
}
