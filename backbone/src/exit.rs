//! Exit codes, as `backbone --help` lists them.

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok,
    /// It failed; the error says why and what to do.
    Failed,
    /// `status`: nothing runs.
    NotRunning,
    /// The command line is wrong.
    Usage,
    /// Something is missing or taken: nothing was started.
    Unavailable,
    /// Ctrl-C.
    Interrupted,
}

impl Exit {
    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::NotRunning => 3,
            Self::Usage => 64,
            Self::Unavailable => 69,
            Self::Interrupted => 130,
        }
    }
}
