//! How a command ends: a number for scripts, a sentence for people.

use std::process::ExitCode;

/// The exit codes of `synod`; `synod --help` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok = 0,
    /// It ran, and the answer is no: a violation was found, a check failed, a key is not there.
    Failed = 1,
    /// The command line or a file it names makes no sense.
    Usage = 2,
    /// The cluster refused the command; it was surely not applied.
    Refused = 3,
    /// No answer in time: the command may have been applied or may yet be.
    Unknown = 4,
    /// No replica could be reached.
    Unreachable = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command ended early: what was wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The number.
    pub(crate) exit: Exit,
    /// The sentence.
    pub(crate) message: String,
}

impl Failure {
    /// The caller asked for something that makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into() }
    }

    /// It was tried and did not work.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: message.into() }
    }
}

/// What a command gives back to `main`.
pub(crate) type Outcome = Result<Exit, Failure>;
