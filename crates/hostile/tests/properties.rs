//! The wire codec, over any value of every algorithm's messages and records.

use consensus_core::Audit;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use synod_algorithms::{Algorithm, Visitor};
use synod_hostile::feed::Feed;
use synod_hostile::generate::generate;
use synod_runtime::codec;

/// A value survives the trip, its length is known beforehand, and neither a part of its bytes nor
/// more than them is a value.
fn survives<T>(choices: &[u8]) -> Result<(), TestCaseError>
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let Some(value) = generate::<T>(&mut Feed::new(choices)) else { return Ok(()) };
    let encoded = codec::encode(&value);
    prop_assert_eq!(encoded.len(), codec::encoded_len(&value));
    prop_assert_eq!(&codec::encode(&value), &encoded, "equal values have equal bytes");
    for cut in 0..encoded.len() {
        prop_assert!(codec::decode::<T>(&encoded[..cut]).is_err(), "cut at {}", cut);
    }
    for extra in [0x00, 0xc0, 0xff] {
        let longer = [&encoded[..], &[extra]].concat();
        prop_assert!(codec::decode::<T>(&longer).is_err(), "{:x} follows", extra);
    }
    prop_assert_eq!(codec::decode::<T>(&encoded), Ok(value));
    Ok(())
}

struct Survive<'a>(&'a [u8]);

impl Visitor for Survive<'_> {
    type Output = Result<(), TestCaseError>;

    fn visit<P: Audit>(self) -> Self::Output {
        survives::<P::Message>(self.0)?;
        survives::<P::Record>(self.0)
    }
}

proptest! {
    #[test]
    fn messages_and_records_survive_the_trip(
        choices in proptest::collection::vec(any::<u8>(), 0..300),
        algorithm in 0usize..Algorithm::ALL.len(),
    ) {
        Algorithm::ALL[algorithm].dispatch(Survive(&choices))?;
    }
}
