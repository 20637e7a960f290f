//! Which seeds a randomised test runs with.
//!
//! Invariant: a test that fails has printed its seed, and `PORTWAY_SEED` runs that one alone.

/// As many seeds as the test asks for, printed one by one. In the environment, `PORTWAY_SEED=n`
/// has this one only, `PORTWAY_SEEDS=n` so many, and `PORTWAY_LONG=1` fifty times as many.
///
/// # Panics
/// When one of the variables is not a number.
pub fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let number = |name| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().expect("a number of seeds, or a seed"))
    };
    let factor = match std::env::var_os("PORTWAY_LONG") {
        Some(_) => 50,
        None => 1,
    };
    let range = match number("PORTWAY_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("PORTWAY_SEEDS").unwrap_or(count * factor),
    };
    range.inspect(|seed| println!("seed {seed}"))
}
