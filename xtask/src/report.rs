//! What a check found, and how it is printed.

use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    /// File, relative to the repository.
    pub(crate) file: String,
    /// Line, from 1.
    pub(crate) line: usize,
    /// What is wrong.
    pub(crate) what: String,
    /// What to do.
    pub(crate) todo: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n      -> {}", self.file, self.line, self.what, self.todo)
    }
}

/// The outcome of one check.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Name of the check.
    pub(crate) name: &'static str,
    /// What it looked at, e.g. `112 files`.
    pub(crate) looked_at: String,
    /// Worth knowing, no failure.
    pub(crate) notes: Vec<String>,
    /// What is wrong.
    pub(crate) violations: Vec<Violation>,
}

impl Report {
    pub(crate) fn passed(&self) -> bool {
        self.violations.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.passed() { "ok  " } else { "FAIL" };
        write!(f, "{mark} xtask {}: {}", self.name, self.looked_at)?;
        for note in &self.notes {
            write!(f, "\n    note: {note}")?;
        }
        for violation in &self.violations {
            write!(f, "\n    {violation}")?;
        }
        if !self.passed() {
            write!(f, "\n    {} to mend", self.violations.len())?;
        }
        Ok(())
    }
}

#[expect(clippy::print_stdout, reason = "the one place where this tool prints")]
pub(crate) fn print(report: &Report) {
    println!("{report}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_says_where_what_and_what_to_do() {
        let violation = Violation { file: "a.rs".into(), line: 3, what: "too long".into(), todo: "split it".into() };
        let report = Report { name: "sizes", looked_at: "1 file".into(), violations: vec![violation], ..Report::default() };
        assert!(!report.passed());
        assert_eq!(report.to_string(), "FAIL xtask sizes: 1 file\n    a.rs:3: too long\n      -> split it\n    1 to mend");
    }
}
