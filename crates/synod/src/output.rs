//! The one place that writes to the terminal. A reader that went away (`synod … | head`) is no
//! error: the rest is dropped.

use std::io::{self, Write};

/// A line (or several) for the reader, on stdout.
pub(crate) fn say(text: impl AsRef<str>) {
    line(&mut io::stdout().lock(), text.as_ref());
}

/// A line about the work, on stderr, so that stdout can be piped on.
pub(crate) fn note(text: impl AsRef<str>) {
    line(&mut io::stderr().lock(), text.as_ref());
}

/// What went wrong, on stderr.
pub(crate) fn complain(text: impl AsRef<str>) {
    note(format!("error: {}", text.as_ref()));
}

fn line(to: &mut dyn Write, text: &str) {
    let written = writeln!(to, "{}", text.trim_end_matches('\n')).and_then(|()| to.flush());
    // Nobody reads any more; there is nobody to tell.
    drop(written);
}
