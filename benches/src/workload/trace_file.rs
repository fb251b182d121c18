//! Trace files: a workload of one's own, as text.

use super::random::Random;
use bytes::Bytes;
use std::fmt;
use synod_kv::{KvCommand, MAX_KEY, MAX_VALUE};

/// A line of a trace file that is no operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceError {
    /// Which line; the first is 1.
    pub line: usize,
    /// What is wrong with it, and what was expected.
    pub wrong: String,
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.wrong)
    }
}

impl std::error::Error for TraceError {}

/// Reads a trace file: what fills the store first, and what is measured.
///
/// One operation a line; empty lines and lines that start with `#` are skipped:
///
/// ```text
/// put KEY SIZE          write SIZE bytes, made from the number of the line
/// put KEY "VALUE"       write this text; \" \\ \n \t and \xHH are known
/// get KEY
/// del KEY
/// cas KEY OLD NEW       write NEW if the key holds OLD; each a SIZE or a "VALUE",
///                       and OLD may be - for a key that holds nothing
/// ---                   at most once: the lines above it fill the store and are not measured
/// ```
///
/// A key is a word without spaces, or a quoted text.
///
/// # Errors
/// At the first line that is none of these.
pub fn parse_trace(text: &str) -> Result<(Vec<KvCommand>, Vec<KvCommand>), TraceError> {
    let mut load = None;
    let mut commands = Vec::new();
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line.trim())) {
        let at = |wrong: String| TraceError { line: number, wrong };
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line == "---" {
            if load.is_some() {
                return Err(at("a second ---; one ends the load phase".into()));
            }
            load = Some(std::mem::take(&mut commands));
            continue;
        }
        commands.push(operation(line, number).map_err(at)?);
    }
    Ok((load.unwrap_or_default(), commands))
}

fn operation(line: &str, number: usize) -> Result<KvCommand, String> {
    let words = words(line)?;
    let verb = match &words[0] {
        Word::Plain(verb) => *verb,
        Word::Quoted(_) => return Err("expected put, get, del or cas before the key".into()),
    };
    let expected = match verb {
        "put" => "put KEY SIZE or put KEY \"VALUE\"",
        "get" => "get KEY",
        "del" => "del KEY",
        "cas" => "cas KEY OLD NEW",
        _ => return Err(format!("unknown operation '{verb}'; expected put, get, del or cas")),
    };
    let value = |word: &Word<'_>| value(word, number);
    match (verb, &words[1..]) {
        ("put", [key, new]) => Ok(KvCommand::Put { key: self::key(key)?, value: value(new)? }),
        ("get", [key]) => Ok(KvCommand::Get { key: self::key(key)? }),
        ("del", [key]) => Ok(KvCommand::Delete { key: self::key(key)? }),
        ("cas", [key, old, new]) => {
            let expected = match old {
                Word::Plain("-") => None,
                old => Some(value(old)?),
            };
            Ok(KvCommand::Cas { key: self::key(key)?, expected, new: value(new)? })
        }
        (_, words) => Err(format!("expected {expected}, got {} words after {verb}", words.len())),
    }
}

enum Word<'a> {
    Plain(&'a str),
    Quoted(Vec<u8>),
}

/// Splits a line into words; never empty, since an empty line is no operation.
fn words(line: &str) -> Result<Vec<Word<'_>>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (text, after) = unquote(quoted)?;
            if !after.is_empty() && !after.starts_with(char::is_whitespace) {
                return Err("expected a space after the closing quote".into());
            }
            words.push(Word::Quoted(text));
            rest = after.trim_start();
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            words.push(Word::Plain(&rest[..end]));
            rest = rest[end..].trim_start();
        }
    }
    Ok(words)
}

/// The text up to the closing quote, and what follows it.
fn unquote(text: &str) -> Result<(Vec<u8>, &str), String> {
    let mut out = Vec::new();
    let mut chars = text.char_indices();
    while let Some((at, character)) = chars.next() {
        match character {
            '"' => return Ok((out, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, '"')) => out.push(b'"'),
                Some((_, '\\')) => out.push(b'\\'),
                Some((_, 'n')) => out.push(b'\n'),
                Some((_, 't')) => out.push(b'\t'),
                Some((at, 'x')) => {
                    let digits = text.get(at + 1..at + 3).unwrap_or("+");
                    let byte = u8::from_str_radix(digits, 16).ok();
                    let byte = byte.filter(|_| !digits.starts_with('+'));
                    out.push(byte.ok_or("\\x wants two hexadecimal digits")?);
                    chars.nth(1);
                }
                _ => return Err("unknown escape; known are \\\" \\\\ \\n \\t \\xHH".into()),
            },
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Err("the closing quote is missing".into())
}

fn key(word: &Word<'_>) -> Result<Bytes, String> {
    let key = match word {
        Word::Plain(key) => Bytes::copy_from_slice(key.as_bytes()),
        Word::Quoted(key) => Bytes::copy_from_slice(key),
    };
    match key.len() {
        0 => Err("the key is empty".into()),
        length if length > MAX_KEY => Err(format!("the key is longer than {MAX_KEY} bytes")),
        _ => Ok(key),
    }
}

fn value(word: &Word<'_>, number: usize) -> Result<Bytes, String> {
    let length = match word {
        Word::Plain(size) => size
            .parse()
            .map_err(|_| format!("expected a size in bytes or a \"VALUE\", got {size}"))?,
        Word::Quoted(text) => text.len(),
    };
    if length > MAX_VALUE {
        return Err(format!("the value is larger than {MAX_VALUE} bytes"));
    }
    match word {
        Word::Plain(_) => Ok(Random::new(number as u64).bytes(length).into()),
        Word::Quoted(text) => Ok(Bytes::copy_from_slice(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_operations_are_read_and_the_load_phase_is_kept_apart() {
        let text = "# fills the store\nput a 3\n\nput \"a b\" \"x\\\"\\\\\\n\\t\\x00ü\"\n---\n\
                    get a\ndel \"a b\"\ncas a - 2\ncas a \"old\" \"new\"\n";
        let (load, commands) = parse_trace(text).expect("a trace");
        let bytes = |text: &'static [u8]| Bytes::from_static(text);
        assert_eq!(load.len(), 2);
        assert_eq!(
            load[1],
            KvCommand::Put { key: bytes(b"a b"), value: bytes(b"x\"\\\n\t\0\xc3\xbc") }
        );
        assert_eq!(commands[0], KvCommand::Get { key: bytes(b"a") });
        assert_eq!(commands[1], KvCommand::Delete { key: bytes(b"a b") });
        let KvCommand::Cas { expected: None, new, .. } = &commands[2] else { panic!("not a cas") };
        assert_eq!(new.len(), 2);
        assert_eq!(
            commands[3],
            KvCommand::Cas { key: bytes(b"a"), expected: Some(bytes(b"old")), new: bytes(b"new") }
        );
    }

    #[test]
    fn a_wrong_line_is_named_with_its_number_and_what_was_expected() {
        for (line, hint) in [
            ("gett a", "unknown operation 'gett'"),
            ("\"put\" a 1", "before the key"),
            ("put a", "put KEY SIZE"),
            ("put a big", "a size in bytes"),
            ("put a 9999999", "larger than 1048576"),
            ("put a \"open", "closing quote"),
            ("put a \"x\"y", "space after"),
            ("put a \"\\q\"", "unknown escape"),
            ("put a \"\\xé1\"", "two hexadecimal digits"),
            ("put \"\" 1", "key is empty"),
            ("cas a 1", "cas KEY OLD NEW"),
            ("get a b", "get KEY"),
        ] {
            let error = parse_trace(&format!("get a\n\n{line}\n")).expect_err(line);
            assert_eq!(error.line, 3, "{line}");
            assert!(error.to_string().contains(hint), "{line}: {error}");
        }
        assert!(parse_trace("---\n---\n").unwrap_err().wrong.contains("second ---"));
    }
}
