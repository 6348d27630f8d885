use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use tributary_plugin_sdk::{Extracted, Failure, Locator};

use super::extract;

fn read(source: &str) -> Extracted {
    extract(source, true).unwrap()
}

/// Title, then each section as `heading/path #fragment: text`.
fn outline(extracted: &Extracted) -> String {
    let mut out = format!("= {}\n", extracted.title.as_deref().unwrap_or("(none)"));
    for section in &extracted.sections {
        let fragment = match &section.at {
            Some(Locator::Fragment(fragment)) => format!(" #{fragment}"),
            _ => String::new(),
        };
        writeln!(out, "[{}{fragment}] {}", section.heading.join("/"), section.text).unwrap();
    }
    out
}

#[test]
fn the_main_content_is_read_and_the_furniture_left_out() {
    let page = read(
        r#"<!doctype html><html lang="en-GB"><head><title>Shipping | The Shop</title><style>p{}</style></head><body>
        <header><h1>The Shop</h1></header><nav><ul><li><a href="/">Home</a></li></ul></nav>
        <main><h1 id="top">Shipping</h1><p>We ship   to <b>40</b>&nbsp;countries &amp; islands.</p>
        <script>if (a < b) { document.write("<p>no</p>") }</script>
        <h2 id="eu">Europe</h2><p>Two<br>days.</p><ul><li>Paris<li>Rome<ol><li>North</li><li>South</li></ol></ul>
        <div hidden><p>secret</p></div><p style="display: none">gone</p><span aria-hidden="true">*</span>
        <h2><a id="us"></a>America</h2><aside>Related</aside>
        <table><tr><th>Zone</th><th>Price</th></tr><tr><td>1</td><td><p>4.90</p><p>EUR</p></td></tr></table>
        <pre><code>fn main() {
    ship();
}</code></pre></main>
        <footer>(c)</footer></body></html>"#,
    );
    assert_eq!(page.language.as_deref(), Some("en-GB"));
    assert_eq!(
        outline(&page),
        "= Shipping\n\
         [Shipping #top] We ship to 40 countries & islands.\n\
         [Shipping/Europe #eu] Two\ndays.\n\n- Paris\n- Rome\n  1. North\n  2. South\n\
         [Shipping/America #us] Zone | Price\n1 | 4.90 EUR\n\nfn main() {\n    ship();\n}\n"
    );
}

#[test]
fn a_page_without_main_gives_its_body_and_articles_win_over_it() {
    let body = "<title>T</title><header>H</header><div>Text <p>more</div><footer>F</footer>";
    assert_eq!(outline(&read(body)), "= T\n[] Text\n\nmore\n");
    let articles = "<div>teaser</div><article><header><h2>A</h2></header>one</article><article><p>two</article>";
    assert_eq!(outline(&read(articles)), "= (none)\n[A] one\n\ntwo\n");
    // A word in a script is not a region, and a page inside a form is still a page.
    let decoy = "<script>x = '<main>'</script><form><p>Order</p></form>";
    assert_eq!(outline(&read(decoy)), "= (none)\n[] Order\n");
}

#[test]
fn everything_visible_is_kept_when_asked() {
    let source = "<nav>Menu</nav><main><p>Text</main><script>no</script>";
    let page = extract(source, false).unwrap();
    assert_eq!(outline(&page), "= (none)\n[] Menu\n\nText\n");
}

#[test]
fn headings_carry_the_nearest_fragment() {
    let source = "<main><section id=a><h2>One</h2>1</section><section id=b><p>x</p><h2>Two<a class=headerlink href=#two id=two>¶</a></h2>2";
    assert_eq!(outline(&read(source)), "= (none)\n[One #a] 1\n\nx\n[Two] 2\n");
}

#[test]
fn unclosed_elements_do_not_swallow_the_page() {
    assert_eq!(
        outline(&read("<body><h1>A<p>text<table><tr><td hidden>x<tr><td>y</table>z")),
        "= A\n[A] text\n\ny\n\nz\n"
    );
    assert_eq!(outline(&read("<ul><li hidden>x</ul><p>y")), "= (none)\n[] y\n");
}

fn timed(source: String) -> Result<Extracted, Failure> {
    let start = Instant::now();
    let result = extract(&source, true);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?} for {}…", start.elapsed(), &source[..20]);
    result
}

#[test]
fn nesting_ends_quickly() {
    let deep = format!("{}deep{}", "<div>".repeat(100_000), "</div>".repeat(100_000));
    assert_eq!(outline(&timed(deep).unwrap()), "= (none)\n[] deep\n");
    for tag in ["<ul><li>", "<table><tr><td>", "<main>", "<nav>", "<h1>", "<b><p>", "<button>", "<select>", "<svg>"] {
        timed(tag.repeat(50_000)).unwrap();
    }
}

#[test]
fn a_million_attributes_entities_and_comments_end_quickly() {
    let attributes = (0..1_000_000).map(|n| format!(" a{n}=1")).collect::<String>();
    assert_eq!(outline(&timed(format!("<p{attributes}>text")).unwrap()), "= (none)\n[] text\n");
    timed("&notit;&#x10FFFF;&".repeat(100_000)).unwrap();
    timed(format!("<!--{}", "<!-- -".repeat(200_000))).unwrap();
}

#[test]
fn too_much_text_and_too_many_sections_are_refused() {
    assert_eq!(timed("word ".repeat(7 << 19)).unwrap_err().code, "text_too_large");
    assert_eq!(timed("<h2>x</h2>y".repeat(60_000)).unwrap_err().code, "too_many_sections");
}
