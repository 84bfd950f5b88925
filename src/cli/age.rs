//! Ages as kubectl prints them.

use jiff::Timestamp;

/// `3d`, `2h`, `5m`, `12s`: the largest unit, as kubectl shows ages.
pub(super) fn format_age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}
