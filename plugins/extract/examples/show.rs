//! Prints what the extractor makes of files: `cargo run -p tributary-plugin-extract --example show -- FILE…`

use std::{env, fs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in env::args().skip(1) {
        match tributary_plugin_extract::extract_bytes(fs::read(&path)?, "application/octet-stream", Some(&path)) {
            Ok(extracted) => {
                println!("{path}\n  title: {:?}, language: {:?}", extracted.title, extracted.language);
                for section in extracted.sections {
                    println!("--- {:?} {:?}\n{}", section.heading, section.at, section.text);
                }
            }
            Err(failure) => println!("{path}\n  {failure}"),
        }
    }
    Ok(())
}
