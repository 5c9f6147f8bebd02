//! What the CLI prints. The only place that writes to the terminal.

use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

/// A line for the reader. When nobody reads any more the work goes on.
pub fn line(text: impl std::fmt::Display) {
    let _ = try_line(text);
}

/// A line for a reader who is all that this is for.
///
/// # Errors
/// When nobody reads any more, as in `backbone logs -f | head`.
pub fn try_line(text: impl std::fmt::Display) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{text}")?;
    out.flush()
}

/// A line about what is wrong.
pub fn problem(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// True when somebody watches.
#[must_use]
pub fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// `0.8 s`, `12.3 s`.
#[must_use]
pub fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// `45s`, `3m12s`, `2h05m`.
#[must_use]
pub fn clock(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// `170 MB`.
#[must_use]
pub fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

/// Columns as wide as their widest cell, two blanks apart.
#[must_use]
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default();
    let widths: Vec<_> = (0..columns).map(width).collect();
    let render = |row: &Vec<String>| {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(render).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".to_owned(), "b".to_owned()], vec!["long".to_owned(), "c".to_owned()]];
        assert_eq!(table(&rows), "a     b\nlong  c");
    }

    #[test]
    fn durations_and_sizes_are_short() {
        assert_eq!(clock(7500), "2h05m");
        assert_eq!(clock(61), "1m01s");
        assert_eq!(megabytes(1_500_000), "2 MB");
        assert_eq!(seconds(Duration::from_millis(840)), "0.8 s");
    }
}
