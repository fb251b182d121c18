//! The states that were seen: their fingerprints, and how each was first reached.

/// How a state was first reached: from which state, by which of its actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link(u64);

/// Bits of a fingerprint that a link keeps; enough to find the state again, as the walk from the
/// start checks each step.
const PARENT_BITS: u32 = 48;
const PARENT_MASK: u64 = (1 << PARENT_BITS) - 1;

/// Actions of a state that a link can tell apart.
pub(crate) const MAX_ACTIONS: usize = 1 << (64 - PARENT_BITS);

impl Link {
    /// From the state of this fingerprint by its nth action.
    pub(crate) fn new(parent: u128, nth: usize) -> Self {
        assert!(nth < MAX_ACTIONS, "a state has fewer actions");
        Self(((nth as u64) << PARENT_BITS) | (parent as u64 & PARENT_MASK))
    }

    /// As it is kept in a file.
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    fn parent(self) -> u64 {
        self.0 & PARENT_MASK
    }

    fn nth(self) -> usize {
        (self.0 >> PARENT_BITS) as usize
    }
}

/// An open-addressing table of 24 bytes a place. Nothing is ever taken out.
pub(crate) struct Table {
    prints: Vec<u128>,
    links: Vec<Link>,
    len: usize,
}

const FIRST_PLACES: usize = 1 << 12;

impl Table {
    pub(crate) fn new() -> Self {
        Self { prints: vec![0; FIRST_PLACES], links: vec![Link(0); FIRST_PLACES], len: 0 }
    }

    /// 0 marks a free place.
    fn key(print: u128) -> u128 {
        print.max(1)
    }

    fn find(&self, key: u128) -> Result<usize, usize> {
        let mask = self.prints.len() - 1;
        let mut place = key as usize & mask;
        while self.prints[place] != 0 {
            if self.prints[place] == key {
                return Ok(place);
            }
            place = (place + 1) & mask;
        }
        Err(place)
    }

    pub(crate) fn contains(&self, print: u128) -> bool {
        self.find(Self::key(print)).is_ok()
    }

    /// False if the state was seen before; then its first link stays.
    pub(crate) fn insert(&mut self, print: u128, link: Link) -> bool {
        let key = Self::key(print);
        let Err(place) = self.find(key) else { return false };
        self.prints[place] = key;
        self.links[place] = link;
        self.len += 1;
        if self.len * 4 > self.prints.len() * 3 {
            self.grow();
        }
        true
    }

    fn grow(&mut self) {
        let places = self.prints.len() * 2;
        let prints = std::mem::replace(&mut self.prints, vec![0; places]);
        let links = std::mem::replace(&mut self.links, vec![Link(0); places]);
        for (key, link) in prints.into_iter().zip(links).filter(|(key, _)| *key != 0) {
            let place = self.find(key).expect_err("keys are distinct");
            self.prints[place] = key;
            self.links[place] = link;
        }
    }

    /// The numbers of the actions that lead from the root to this state.
    pub(crate) fn path(&self, root: u128, print: u128) -> Vec<usize> {
        let mut path = Vec::new();
        let mut key = Self::key(print);
        while key != Self::key(root) {
            let (parent, nth) = self.origin(key).expect("every state on the way was seen");
            path.push(nth);
            key = parent;
        }
        path.reverse();
        path
    }

    /// From which state this one was first reached, and by which of its actions.
    pub(crate) fn origin(&self, print: u128) -> Option<(u128, usize)> {
        let link = self.links[self.find(Self::key(print)).ok()?];
        Some((self.with_low_bits(link.parent())?, link.nth()))
    }

    /// All states, in no order that means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u128, Link)> {
        let places = self.prints.iter().copied().zip(self.links.iter().copied());
        places.filter(|(print, _)| *print != 0)
    }

    fn with_low_bits(&self, low: u64) -> Option<u128> {
        let mask = self.prints.len() - 1;
        let mut place = low as usize & mask;
        while self.prints[place] != 0 {
            if self.prints[place] as u64 & PARENT_MASK == low {
                return Some(self.prints[place]);
            }
            place = (place + 1) & mask;
        }
        None
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn bytes(&self) -> usize {
        self.prints.len() * (size_of::<u128>() + size_of::<Link>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint;

    /// A chain of states is found back to its root, through every growth of the table.
    #[test]
    fn a_path_leads_from_the_root_through_every_growth() {
        let prints: Vec<u128> = (0..20_000u64).map(|n| fingerprint::of(&n)).collect();
        let mut table = Table::new();
        assert!(table.insert(prints[0], Link::new(0, 0)));
        for (place, pair) in prints.windows(2).enumerate() {
            assert!(table.insert(pair[1], Link::new(pair[0], place % 100)));
            assert!(!table.insert(pair[1], Link::new(pair[1], 7)), "it was seen");
        }
        assert_eq!(table.len(), prints.len());
        assert!(!table.contains(fingerprint::of("never seen")));
        let path = table.path(prints[0], prints[19_999]);
        let expected: Vec<usize> = (0..19_999).map(|place| place % 100).collect();
        assert_eq!(path, expected);
    }
}
