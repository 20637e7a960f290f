//! What the output of test binaries says: how many passed, and which could not run.
//!
//! Invariant: nothing is taken from a line that the test harness or a skipped test did not write.

use super::record::Tests;

/// The sums of all `test result:` lines.
pub(super) fn tests(output: &str) -> Option<Tests> {
    let mut totals = None;
    for line in output.lines() {
        let Some((_, counts)) = line.split_once("test result: ") else {
            continue;
        };
        let sums: &mut Tests = totals.get_or_insert_default();
        let count = |word: &str| {
            let parts = counts.split([';', '.']);
            let mut numbers = parts.filter_map(|part| part.trim().strip_suffix(word));
            numbers.find_map(|number| number.trim().parse::<u64>().ok())
        };
        sums.passed += count("passed").unwrap_or(0);
        sums.failed += count("failed").unwrap_or(0);
        sums.ignored += count("ignored").unwrap_or(0);
    }
    totals
}

/// The tests that could not run say `skipped: name: reason` on a line of their own.
pub(super) fn unable(output: &str) -> Vec<String> {
    let mut skipped: Vec<String> = output
        .lines()
        .filter_map(|line| line.split_once("skipped: "))
        .map(|(_, what)| what.trim().to_owned())
        .collect();
    skipped.sort();
    skipped.dedup();
    skipped
}

#[cfg(test)]
mod cases {
    use super::*;

    #[test]
    fn totals_are_summed_over_all_binaries() {
        let output = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
                      noise\n\
                      test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured\n";
        let totals = Tests {
            passed: 7,
            failed: 2,
            ignored: 1,
        };
        assert_eq!(tests(output), Some(totals));
        assert_eq!(tests("noise"), None);
    }

    #[test]
    fn a_test_that_cannot_run_is_listed_once() {
        let output =
            "skipped: socat_client: no socat\ntest x ... skipped: socat_client: no socat\n";
        assert_eq!(unable(output), ["socat_client: no socat"]);
    }
}
