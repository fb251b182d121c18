#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| synod_hostile::fuzz("chunks", bytes));
