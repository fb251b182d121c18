#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| synod_hostile::fuzz("to_replica", bytes));
