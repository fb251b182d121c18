//! The service that checked runs replicate: a few registers, whose results show every difference
//! of order.

use bytes::Bytes;
use consensus_core::{RestoreError, StateMachine};
use std::collections::BTreeMap;

/// Registers that hold numbers. A register that was never set holds 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    values: BTreeMap<u8, u64>,
}

/// What to do with a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Read it.
    Get(u8),
    /// Set it; the result is what it held before.
    Put(u8, u64),
    /// Set it to the second number if it holds the first; the result is what it held before.
    Cas(u8, u64, u64),
    /// Work a number into it such that the order of all appends shows; the result is the new value.
    Append(u8, u64),
}

impl Operation {
    /// The operation as a command's payload.
    pub fn encode(self) -> Bytes {
        let (code, key, a, b) = match self {
            Self::Get(key) => (0, key, 0, 0),
            Self::Put(key, value) => (1, key, value, 0),
            Self::Cas(key, old, new) => (2, key, old, new),
            Self::Append(key, value) => (3, key, value, 0),
        };
        let mut bytes = [0; 18];
        bytes[0] = code;
        bytes[1] = key;
        bytes[2..10].copy_from_slice(&u64::to_le_bytes(a));
        bytes[10..].copy_from_slice(&u64::to_le_bytes(b));
        Bytes::copy_from_slice(&bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 18] = bytes.try_into().ok()?;
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let (key, a, b) = (bytes[1], word(2), word(10));
        match bytes[0] {
            0 => Some(Self::Get(key)),
            1 => Some(Self::Put(key, a)),
            2 => Some(Self::Cas(key, a, b)),
            3 => Some(Self::Append(key, a)),
            _ => None,
        }
    }
}

impl StateMachine for Registers {
    fn apply(&mut self, command: &Bytes) -> Bytes {
        let Some(operation) = Operation::decode(command) else {
            return Bytes::from_static(b"no operation");
        };
        let held = |values: &BTreeMap<u8, u64>, key| values.get(&key).copied().unwrap_or(0);
        let result = match operation {
            Operation::Get(key) => held(&self.values, key),
            Operation::Put(key, value) => self.values.insert(key, value).unwrap_or(0),
            Operation::Cas(key, old, new) => {
                let before = held(&self.values, key);
                if before == old {
                    self.values.insert(key, new);
                }
                before
            }
            Operation::Append(key, value) => {
                let after = held(&self.values, key).wrapping_mul(31).wrapping_add(value);
                self.values.insert(key, after);
                after
            }
        };
        Bytes::copy_from_slice(&result.to_le_bytes())
    }

    fn query(&self, question: &Bytes) -> Bytes {
        let key = question.first().copied().unwrap_or(0);
        Bytes::copy_from_slice(&self.values.get(&key).copied().unwrap_or(0).to_le_bytes())
    }

    fn snapshot(&self) -> Vec<u8> {
        let row = |(key, value): (&u8, &u64)| std::iter::once(*key).chain(value.to_le_bytes());
        self.values.iter().flat_map(row).collect()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        let (rows, rest) = snapshot.as_chunks::<9>();
        if !rest.is_empty() {
            return Err(RestoreError("a register takes 9 bytes".into()));
        }
        let value = |row: &[u8; 9]| u64::from_le_bytes(std::array::from_fn(|i| row[i + 1]));
        self.values = rows.iter().map(|row| (row[0], value(row))).collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(machine: &mut Registers, operation: Operation) -> u64 {
        let result = machine.apply(&operation.encode());
        u64::from_le_bytes(result[..].try_into().expect("a number"))
    }

    #[test]
    fn results_tell_the_order() {
        let (mut one, mut two) = (Registers::default(), Registers::default());
        run(&mut one, Operation::Append(1, 5));
        run(&mut two, Operation::Append(1, 6));
        assert_ne!(run(&mut one, Operation::Append(1, 6)), run(&mut two, Operation::Append(1, 5)));
        assert_eq!(run(&mut one, Operation::Cas(2, 0, 9)), 0);
        assert_eq!(run(&mut one, Operation::Cas(2, 0, 8)), 9, "a failed swap changes nothing");
        assert_eq!(run(&mut one, Operation::Put(2, 3)), 9);
        assert_eq!(run(&mut one, Operation::Get(2)), 3);
    }

    #[test]
    fn a_snapshot_restores_and_bad_ones_are_refused() {
        let mut machine = Registers::default();
        run(&mut machine, Operation::Put(7, 70));
        let mut copy = Registers::default();
        copy.restore(&machine.snapshot()).expect("a snapshot");
        assert_eq!(copy, machine);
        assert!(copy.restore(&[1, 2, 3]).is_err());
        assert_eq!(copy, machine, "a refused snapshot changes nothing");
    }
}
