//! CSV: the first row names the members of the others.

use csv_core::{ReadRecordResult, ReaderBuilder};

use super::{Decoded, Window};
use crate::json::Json;

/// Columns of a row.
const MAX_COLUMNS: usize = 1_000;

pub(super) fn decode(text: &str, delimiter: Option<char>, window: Window) -> Result<Decoded, String> {
    let mut out = Decoded { records: Vec::new(), total: 0, envelope: Json::Null, found: true };
    let text = text.trim_start_matches('\u{feff}');
    let delimiter = delimiter.and_then(|c| u8::try_from(c).ok()).unwrap_or_else(|| likely_delimiter(text));
    let mut reader = ReaderBuilder::new().delimiter(delimiter).build();
    let (mut cells, mut ends) = (vec![0; 4 * 1024], vec![0; MAX_COLUMNS]);
    let (mut input, mut header) = (text.as_bytes(), None::<Vec<String>>);
    let (mut written, mut ended) = (0, 0);
    loop {
        let (result, read, wrote, ends_wrote) = reader.read_record(input, &mut cells[written..], &mut ends[ended..]);
        input = &input[read..];
        written += wrote;
        ended += ends_wrote;
        match result {
            ReadRecordResult::InputEmpty => {}
            // A row is at most as long as the text.
            ReadRecordResult::OutputFull => cells.resize(cells.len() * 2, 0),
            ReadRecordResult::OutputEndsFull => return Err(format!("it has more than {MAX_COLUMNS} columns")),
            ReadRecordResult::End => return Ok(out),
            ReadRecordResult::Record => {
                let kept = header.is_none() || window.has(out.total);
                let row = if kept { row(&cells, &ends[..ended]) } else { Vec::new() };
                (written, ended) = (0, 0);
                let Some(names) = &header else {
                    header = Some(row.into_iter().map(|name| name.trim().to_owned()).collect());
                    continue;
                };
                if kept {
                    let members = names.iter().cloned().zip(row.into_iter().map(Json::Text)).collect();
                    out.records.push(Json::Object(members));
                }
                out.total += 1;
            }
        }
    }
}

fn row(cells: &[u8], ends: &[usize]) -> Vec<String> {
    let mut start = 0;
    let cell = |end: &usize| {
        let text = String::from_utf8_lossy(&cells[start..*end]).into_owned();
        start = *end;
        text
    };
    ends.iter().map(cell).collect()
}

fn likely_delimiter(text: &str) -> u8 {
    let header = text.lines().next().unwrap_or_default().as_bytes();
    let count = |wanted: u8| header.iter().filter(|byte| **byte == wanted).count();
    b"|\t;,".iter().copied().max_by_key(|one| count(*one)).unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &str) -> Vec<String> {
        let decoded = decode(text, None, Window { skip: 0, take: 100 }).unwrap();
        decoded.records.iter().map(Json::to_string).collect()
    }

    #[test]
    fn rows_are_named_by_the_header_whatever_stands_between_cells() {
        let expected = [r#"{"sku":"A","name":"one, \"two\"\nthree"}"#, r#"{"sku":"B","name":""}"#];
        assert_eq!(records("\u{feff}sku,name\r\nA,\"one, \"\"two\"\"\nthree\"\r\nB,\r\n"), expected);
        assert_eq!(records("sku;name\nA;x\n"), [r#"{"sku":"A","name":"x"}"#]);
        assert_eq!(records("sku\tname\nA\tx, y"), [r#"{"sku":"A","name":"x, y"}"#]);
        assert!(records("").is_empty());
    }

    #[test]
    fn a_long_row_and_a_wide_one_are_bounded() {
        assert_eq!(records(&format!("a\n{}\n", "x".repeat(100_000)))[0].len(), 100_008);
        assert!(decode(&",".repeat(5_000), None, Window { skip: 0, take: 1 }).is_err());
    }

    #[test]
    fn a_window_counts_rows() {
        let decoded = decode("n\n1\n2\n3\n", None, Window { skip: 1, take: 1 }).unwrap();
        assert_eq!((decoded.records[0].to_string().as_str(), decoded.total), (r#"{"n":"2"}"#, 3));
    }
}
