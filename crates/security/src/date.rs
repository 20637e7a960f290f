//! Points in time as a person reads them.
//!
//! Invariant: the calendar is Gregorian and the zone is UTC.

use rustls_pki_types::UnixTime;
use std::fmt;

/// Displays a time as `2026-01-31 23:59:59 UTC`.
pub(crate) struct Date(pub(crate) UnixTime);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (year, month, day) = civil(seconds / DAY);
        let rest = seconds % DAY;
        let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC"
        )
    }
}

/// Year, month and day of a day counted from 1970-01-01.
///
/// Years start in March here, so that the leap day is the last day of a year.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// The seconds from 1970-01-01 to a date (year, month, day) and a time of that day; `None` before,
/// or when it is no date.
pub(crate) fn seconds_at(
    (year, month, day): (u64, u64, u64),
    (hour, minute, second): (u64, u64, u64),
) -> Option<u64> {
    let is_clock = hour < 24 && minute < 60 && second < 60;
    if !is_clock || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let march_year = year.checked_sub(u64::from(month <= 2))?;
    let (era, year_of_era) = (march_year / 400, march_year % 400);
    let march_month = (month + 9) % 12;
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
    // A day that its month does not have would be one of the next month.
    let is_date = civil(days) == (year, month, day);
    is_date.then_some(days * DAY + hour * 3600 + minute * 60 + second)
}

const DAY: u64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn shown(seconds: u64) -> String {
        Date(UnixTime::since_unix_epoch(Duration::from_secs(seconds))).to_string()
    }

    #[test]
    fn dates_are_gregorian() {
        assert_eq!(shown(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(shown(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(shown(1_709_251_199), "2024-02-29 23:59:59 UTC");
        assert_eq!(shown(4_107_542_400), "2100-03-01 00:00:00 UTC");
    }

    #[test]
    fn a_date_leads_back_to_its_seconds() {
        for days in (0..60_000).step_by(13) {
            let date = civil(days);
            assert_eq!(
                seconds_at(date, (23, 59, 58)),
                Some(days * DAY + 86_398),
                "{date:?}"
            );
        }
        for no_date in [
            (2023, 2, 29),
            (2024, 4, 31),
            (2024, 0, 1),
            (2024, 13, 1),
            (1969, 12, 31),
        ] {
            assert_eq!(seconds_at(no_date, (0, 0, 0)), None, "{no_date:?}");
        }
        assert_eq!(seconds_at((2024, 1, 1), (24, 0, 0)), None);
    }
}
