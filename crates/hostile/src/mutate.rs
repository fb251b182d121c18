//! Changes bytes a little: the part of a fuzzer that an ordinary test needs.

use crate::feed::Feed;
use synod_sim::Rng;

/// Numbers at the edges of types, as lengths and indices are tried with.
const EDGES: [u32; 8] = [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_fffe, u32::MAX];

/// Some changed bytes: flipped, set, cut, doubled, moved, or lengths at the edge.
pub fn mutate(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    for _ in 0..rng.between(1, 4) {
        change(&mut changed, rng);
    }
    changed
}

fn change(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let at = rng.place(bytes.len() + 1);
    let rest = bytes.len() - at;
    match rng.below(8) {
        0 if rest > 0 => bytes[at] ^= 1 << rng.below(8),
        1 if rest > 0 => bytes[at] = rng.next_u64() as u8,
        2 => bytes.truncate(at),
        3 => bytes.insert(at, rng.next_u64() as u8),
        4 if rest > 0 => {
            let until = at + 1 + rng.place(rest.min(16));
            bytes.drain(at..until);
        }
        5 if rest >= 4 => {
            let number = rng.pick(&EDGES);
            let number =
                if rng.chance(5_000) { number.to_le_bytes() } else { number.to_be_bytes() };
            bytes[at..at + 4].copy_from_slice(&number);
        }
        6 if rest > 0 => {
            let piece = bytes[at..at + rng.place(rest.min(64)) + 1].to_vec();
            let to = rng.place(bytes.len() + 1);
            bytes.splice(to..to, piece);
        }
        _ => bytes.extend((0..rng.below(12)).map(|_| rng.next_u64() as u8)),
    }
}

/// Other numbers in an encoded (MessagePack) value, by these choices. Mostly it stays a value of
/// its type: a number is replaced by one of the same width.
pub fn scramble(encoded: &[u8], feed: &mut Feed<'_>) -> Vec<u8> {
    let mut bytes = encoded.to_vec();
    for _ in 0..=feed.below(3) {
        let numbers = numbers(&bytes);
        let at = match numbers.len() {
            0 => feed.below(bytes.len()),
            count => numbers[feed.below(count)],
        };
        let Some(marker) = bytes.get(at).copied() else { break };
        let value = feed.number();
        match marker {
            0xcc..=0xcf => {
                let width = 1 << (marker - 0xcc);
                let number = value.to_be_bytes();
                let end = (at + 1 + width).min(bytes.len());
                bytes[at + 1..end].copy_from_slice(&number[8 - (end - at - 1)..]);
            }
            0xc2 | 0xc3 => bytes[at] = marker ^ 1,
            _ => {
                let mut wide = vec![0xcf];
                wide.extend_from_slice(&value.to_be_bytes());
                let narrow = [value as u8 & 0x7f];
                let fits = value < 128 || feed.chance(64);
                bytes.splice(at..=at, if fits { narrow.to_vec() } else { wide });
            }
        }
    }
    bytes
}

/// Where numbers and truth values begin.
fn numbers(bytes: &[u8]) -> Vec<usize> {
    let mut places = Vec::new();
    let mut at = 0;
    while let Some(&marker) = bytes.get(at) {
        let length = |width: usize| {
            let field = bytes.get(at + 1..at + 1 + width).unwrap_or(&[]);
            width + field.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
        };
        if matches!(marker, 0..=0x7f | 0xc2 | 0xc3 | 0xcc..=0xcf) {
            places.push(at);
        }
        at += 1 + match marker {
            0xa0..=0xbf => usize::from(marker & 0x1f),
            0xc4 | 0xd9 => length(1),
            0xc5 | 0xda => length(2),
            0xc6 | 0xdb => length(4),
            0xcc..=0xcf => 1 << (marker - 0xcc),
            0xdc => 2,
            0xdd => 4,
            _ => 0,
        };
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrambled_value_is_mostly_a_value_again() {
        let value = (7u64, 300u32, vec![true, false], bytes::Bytes::from_static(b"abc"));
        let encoded = synod_runtime::codec::encode(&value);
        let mut rng = Rng::new(3);
        let (mut whole, mut changed) = (0, 0);
        for _ in 0..1000 {
            let choices: Vec<u8> = (0..40).map(|_| rng.next_u64() as u8).collect();
            let scrambled = scramble(&encoded, &mut Feed::new(&choices));
            let decoded = synod_runtime::codec::decode::<(u64, u32, Vec<bool>, bytes::Bytes)>;
            whole += u32::from(decoded(&scrambled).is_ok());
            changed += u32::from(scrambled != encoded);
        }
        assert!(whole > 500 && changed > 800, "{whole} whole, {changed} changed");
    }
}
