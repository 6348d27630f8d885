//! `tributary openapi`: the API's document, for client generators.

/// Prints it as JSON.
pub(super) fn run() -> anyhow::Result<()> {
    println!("{}", crate::http::openapi().to_pretty_json()?);
    Ok(())
}
