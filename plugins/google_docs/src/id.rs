//! Ids of files, folders and drives: taken out of what people paste, and checked before they go into a URL or a query.

use url::Url;

/// Longest id that is taken; Google's have 19 to 44 characters.
const MAX_ID_BYTES: usize = 128;

/// Whether a text is an id, and so harmless in URLs and queries.
pub(crate) fn is_id(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_ID_BYTES
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// The id in an id or a pasted URL: `…/folders/ID`, `…/d/ID/edit`, `…?id=ID`.
pub(crate) fn from_pasted(text: &str) -> Option<String> {
    let text = text.trim();
    if is_id(text) {
        return Some(text.to_owned());
    }
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http"))?;
    let parts: Vec<&str> = url.path_segments()?.collect();
    let after = parts.windows(2).find(|pair| matches!(pair[0], "folders" | "d" | "drives")).map(|pair| pair[1]);
    let id = match after {
        Some(id) => id.to_owned(),
        None => url.query_pairs().find(|(name, _)| name == "id")?.1.into_owned(),
    };
    is_id(&id).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_out_of_pasted_addresses() {
        let id = "1AbC_dEfGhIjKlMnOpQrStUvWxYz-012345";
        for pasted in [
            format!(" {id} "),
            format!("https://drive.google.com/drive/folders/{id}?usp=sharing"),
            format!("https://drive.google.com/drive/u/0/folders/{id}"),
            format!("https://docs.google.com/document/d/{id}/edit#heading=h.1"),
            format!("https://docs.google.com/spreadsheets/d/{id}/edit?gid=0"),
            format!("https://drive.google.com/file/d/{id}/view"),
            format!("https://drive.google.com/open?id={id}"),
        ] {
            assert_eq!(from_pasted(&pasted).as_deref(), Some(id), "{pasted}");
        }
        for bad in
            ["", "my folder", "https://drive.google.com/", "https://drive.google.com/drive/folders/a'b", "x' or 'y"]
        {
            assert_eq!(from_pasted(bad), None, "{bad}");
        }
    }
}
