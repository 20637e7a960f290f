//! Instructions of one request at each end by itself.

use super::web::Load;
use crate::counted::this_program;
use crate::tools;

/// Instructions of one request at one end, the other one in a thread that does not count.
///
/// # Errors
/// Why it was not counted.
pub fn count_end(end: &str, load: Load) -> Result<u64, String> {
    let program = this_program();
    let run = |times: usize| {
        let times = times.to_string();
        tools::instructions(&program, &["end", end, &load.name(), &times])
    };
    // The server counts from its start on.
    let (long, short) = (run(ENDS * 3)?, run(ENDS)?);
    Ok(long.saturating_sub(short) / (ENDS * 2) as u64)
}

/// Requests of which one end counts.
const ENDS: usize = 256;
