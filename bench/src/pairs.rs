//! Paired measurements: the median of the ratios and its interval.
//!
//! Invariant: the two members of a pair ran one after the other, in an order that alternates, so
//! that what else the machine does weighs on both.

use serde::{Deserialize, Serialize};

/// What one comparison measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Comparison {
    /// What was done.
    pub name: String,
    /// What the two numbers count.
    pub unit: String,
    /// The median of portway.
    pub portway: f64,
    /// The median of what it is compared with.
    pub other: f64,
    /// The median of the pairs' ratios.
    pub ratio: f64,
    /// The lower end of its 95 % interval.
    pub low: f64,
    /// The upper end of its 95 % interval.
    pub high: f64,
    /// How many pairs there were.
    pub pairs: usize,
}

impl Comparison {
    /// Compares pairs of (portway, other).
    pub fn of(name: impl Into<String>, unit: impl Into<String>, pairs: &[(f64, f64)]) -> Self {
        let mut ratios: Vec<f64> = pairs.iter().map(|(ours, theirs)| ours / theirs).collect();
        ratios.sort_by(f64::total_cmp);
        let (low, high) = interval(ratios.len());
        Comparison {
            name: name.into(),
            unit: unit.into(),
            portway: median(pairs.iter().map(|pair| pair.0).collect()),
            other: median(pairs.iter().map(|pair| pair.1).collect()),
            ratio: median(ratios.clone()),
            low: ratios[low],
            high: ratios[high],
            pairs: pairs.len(),
        }
    }
}

/// The median.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}

/// The places in `count` sorted values between which the true median lies with a probability of
/// at least 95 %, whatever the distribution.
pub fn interval(count: usize) -> (usize, usize) {
    // The number of values below the median is binomial with one half.
    let mut probability = 0.5f64.powi(count as i32);
    let (mut tail, mut low) = (0.0, 0);
    for below in 0..count / 2 {
        tail += probability;
        if tail > 0.025 {
            break;
        }
        low = below + 1;
        probability *= (count - below) as f64 / (below + 1) as f64;
    }
    let low = low.saturating_sub(1);
    (low, count - 1 - low)
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// portway.
    Portway,
    /// What it is compared with.
    Other,
}

/// Measures `count` pairs after one that warms up; whose turn comes first alternates.
pub async fn alternate(count: usize, mut measure: impl AsyncFnMut(Side) -> f64) -> Vec<(f64, f64)> {
    let mut pairs = Vec::with_capacity(count);
    for index in 0..=count {
        let pair = if index % 2 == 0 {
            let ours = measure(Side::Portway).await;
            (ours, measure(Side::Other).await)
        } else {
            let theirs = measure(Side::Other).await;
            (measure(Side::Portway).await, theirs)
        };
        if index > 0 {
            pairs.push(pair);
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_the_tables() {
        // The 95 % ranks of the sign test, counted from zero.
        assert_eq!(interval(20), (5, 14));
        assert_eq!(interval(41), (13, 27));
        assert_eq!(interval(5), (0, 4));
    }

    #[test]
    fn equal_pairs_have_the_ratio_one() {
        let comparison = Comparison::of("same", "ns", &[(2.0, 2.0), (3.0, 3.0), (5.0, 5.0)]);
        assert_eq!((comparison.ratio, comparison.high), (1.0, 1.0));
        assert_eq!(comparison.portway, 3.0);
    }
}
