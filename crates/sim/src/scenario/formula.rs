//! Numbers that depend on the size of the cluster: `4*(n-1)`.

use std::fmt;

/// A number, or a formula in `n`, the number of replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formula {
    text: String,
}

impl Formula {
    /// Reads one.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let formula = Self { text: text.to_owned() };
        formula.value(128).map(|_| formula)
    }

    /// What it is for `n` replicas.
    ///
    /// # Errors
    /// If it falls below zero on the way, or grows out of bounds.
    pub fn value(&self, n: usize) -> Result<u64, String> {
        let mut rest = Rest { letters: self.text.as_bytes(), n: n as u64, depth: 0 };
        match rest.sum() {
            Some(value) if rest.letters.is_empty() => Ok(value),
            _ => Err(format!("expected a number or a formula such as 4*(n-1), found '{self}'")),
        }
    }
}

impl fmt::Display for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Brackets within brackets.
const DEEPEST: u32 = 16;

struct Rest<'a> {
    letters: &'a [u8],
    n: u64,
    depth: u32,
}

impl Rest<'_> {
    fn take(&mut self, letter: u8) -> bool {
        let there = self.letters.first() == Some(&letter);
        if there {
            self.letters = &self.letters[1..];
        }
        there
    }

    fn sum(&mut self) -> Option<u64> {
        let mut value = self.product()?;
        loop {
            if self.take(b'+') {
                value = value.checked_add(self.product()?)?;
            } else if self.take(b'-') {
                value = value.checked_sub(self.product()?)?;
            } else {
                return Some(value);
            }
        }
    }

    fn product(&mut self) -> Option<u64> {
        let mut value = self.factor()?;
        loop {
            if self.take(b'*') {
                value = value.checked_mul(self.factor()?)?;
            } else if self.take(b'/') {
                value = value.checked_div(self.factor()?)?;
            } else {
                return Some(value);
            }
        }
    }

    fn factor(&mut self) -> Option<u64> {
        if self.take(b'n') {
            return Some(self.n);
        }
        if self.take(b'(') {
            self.depth += 1;
            if self.depth > DEEPEST {
                return None;
            }
            let value = self.sum()?;
            self.depth -= 1;
            return self.take(b')').then_some(value);
        }
        let digits = self.letters.iter().take_while(|letter| letter.is_ascii_digit()).count();
        let (number, rest) = self.letters.split_at(digits);
        self.letters = rest;
        std::str::from_utf8(number).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_worked_out_as_usual() {
        for (text, value) in
            [("12", 12), ("n", 5), ("4*(n-1)", 16), ("2*n*(n-1)", 40), ("n/2+1", 3), ("9-4-3", 2)]
        {
            assert_eq!(Formula::parse(text).and_then(|it| it.value(5)), Ok(value), "{text}");
        }
        let deep = "(".repeat(100_000);
        for text in ["", "x", "4*", "(n", "n)", "1-2", "1/0", "99999999999999999999", &deep] {
            assert!(Formula::parse(text).is_err(), "{text}");
        }
    }
}
