//! Pages: `MaxItems` and `Marker`. As in AWS, a page may have fewer items than requested even if more exist.

use super::account::Iam;
use super::error::ApiError;

/// `Marker` and `MaxItems` of a list call; the default is the first page of 100.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    /// Marker of the previous page.
    pub marker: Option<String>,
    /// 1–1000.
    pub max_items: Option<u32>,
}

impl PageRequest {
    /// The page after `marker`.
    pub fn after(marker: Option<String>) -> Self {
        Self { marker, max_items: None }
    }

    /// The first page of at most this many items.
    pub fn of(max_items: u32) -> Self {
        Self { marker: None, max_items: Some(max_items) }
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Marker of the next page; `None` on the last one (`IsTruncated` is true if it is present).
    pub marker: Option<String>,
}

/// Start and maximum length of a page.
pub(super) struct Cut {
    /// The key of the previous page's last item; empty at the start.
    pub(super) after: String,
    limit: usize,
}

impl Cut {
    /// Takes items from pairs of key and item, which are in ascending order and start after [`Cut::after`].
    pub(super) fn take<T>(self, items: impl Iterator<Item = (String, T)>) -> Page<T> {
        let mut page = Page { items: Vec::new(), marker: None };
        let mut last = self.after;
        for (key, item) in items {
            if page.items.len() == self.limit {
                page.marker = Some(encode_marker(&last));
                return page;
            }
            page.items.push(item);
            last = key;
        }
        page
    }

    /// [`Cut::take`] for short lists: skips the items up to [`Cut::after`].
    pub(super) fn take_from_start<T>(self, items: impl Iterator<Item = (String, T)>) -> Page<T> {
        let after = self.after.clone();
        self.take(items.skip_while(move |(key, _)| !after.is_empty() && *key <= after))
    }
}

impl Iam {
    /// Checks the request and chooses the length of the page.
    pub(super) fn cut(&mut self, request: &PageRequest) -> Result<Cut, ApiError> {
        let after = match &request.marker {
            Some(marker) => {
                decode_marker(marker).ok_or_else(|| ApiError::validation(format!("Invalid Marker: {marker}")))?
            }
            None => String::new(),
        };
        let asked = request.max_items.unwrap_or(100);
        if !(1..=1000).contains(&asked) {
            return Err(ApiError::validation(format!(
                "1 validation error detected: Value '{asked}' at 'maxItems' failed to satisfy constraint: Member must \
                 have value between 1 and 1000"
            )));
        }
        let asked = usize::try_from(asked).unwrap_or(100);
        let mut limit = self.settings.page_cap.map_or(asked, |cap| asked.min(cap.max(1)));
        if self.settings.short_page_probability > 0.0 && self.page_rng.chance(self.settings.short_page_probability) {
            // A page may be empty, but not always: the full length stays possible.
            let bound = u64::try_from(limit).unwrap_or(100) + 1;
            limit = usize::try_from(self.page_rng.below(bound)).unwrap_or(0);
        }
        Ok(Cut { after, limit })
    }
}

/// Opaque to callers: hexadecimal, so that no caller parses it.
fn encode_marker(key: &str) -> String {
    use std::fmt::Write;
    key.bytes().fold(String::from("m"), |mut marker, byte| {
        let _ = write!(marker, "{byte:02x}");
        marker
    })
}

fn decode_marker(marker: &str) -> Option<String> {
    let digits = marker.strip_prefix('m')?.as_bytes();
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let bytes = pairs.iter().map(|pair| {
        let text = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(text, 16).ok()
    });
    String::from_utf8(bytes.collect::<Option<Vec<_>>>()?).ok()
}
