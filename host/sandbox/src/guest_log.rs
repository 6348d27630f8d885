//! What a guest says, on its way into the server's log: bounded in lines and length, escaped, marked with who said it.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::text::printable;

const MAX_LINE_BYTES: usize = 2048;
const MAX_FIELDS: usize = 16;
const MAX_FIELD_BYTES: usize = 256;

/// How serious a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For connector authors.
    Debug,
    /// Normal.
    Info,
    /// Worth a look.
    Warn,
    /// Something failed.
    Error,
}

/// Lines of one call. Past its limit they are counted, not written.
#[derive(Debug)]
pub struct GuestLog {
    source: String,
    lines: AtomicU32,
    max_lines: u32,
}

impl GuestLog {
    /// Lines a call may write.
    pub const MAX_LINES: u32 = 200;

    /// `source` names who speaks in the server's log: the source, or the component when there is none.
    pub fn new(source: impl Into<String>) -> Self {
        Self { source: source.into(), lines: AtomicU32::new(0), max_lines: Self::MAX_LINES }
    }

    /// Writes one line, unless the call has written too many.
    pub fn write(&self, level: Level, message: &str, fields: &[(String, String)]) {
        let line = self.lines.fetch_add(1, Relaxed);
        if line > self.max_lines {
            self.lines.store(self.max_lines + 1, Relaxed);
            return;
        }
        let source = self.source.as_str();
        if line == self.max_lines {
            tracing::warn!(target: "tributary::guest", source, "the connector logs too much; the rest of this call's lines are dropped");
            return;
        }
        let message = printable(message, MAX_LINE_BYTES);
        let fields = fields
            .iter()
            .take(MAX_FIELDS)
            .map(|(name, value)| format!("{}={}", printable(name, 64), printable(value, MAX_FIELD_BYTES)))
            .collect::<Vec<_>>()
            .join(" ");
        match level {
            Level::Debug => tracing::debug!(target: "tributary::guest", source, fields, "{message}"),
            Level::Info => tracing::info!(target: "tributary::guest", source, fields, "{message}"),
            Level::Warn => tracing::warn!(target: "tributary::guest", source, fields, "{message}"),
            Level::Error => tracing::error!(target: "tributary::guest", source, fields, "{message}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_flood_is_cut_off_and_says_so() {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let log = GuestLog::new("shop");
            for _ in 0..10_000 {
                log.write(Level::Error, &"\u{1b}[2J\n".repeat(10_000), &[("k".into(), "v".repeat(10_000))]);
            }
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), GuestLog::MAX_LINES as usize + 1);
        assert!(lines.iter().all(|line| line.len() < 3000 && line.contains("shop") && !line.contains('\u{1b}')));
        assert!(lines.last().unwrap().contains("logs too much"));
    }
}
