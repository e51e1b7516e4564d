#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| footfall::fuzzing::check_journal_segment(data));
