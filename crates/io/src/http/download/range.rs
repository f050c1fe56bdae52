//! What answers say of ranges, and what proves that bytes belong together.

use super::{
    super::{client::FailedAttempt, error::Cause, exchange::Opened},
    part::Part,
};
use hyper::{
    HeaderMap, StatusCode,
    header::{self, HeaderName},
};

/// Where the body belongs in the file, and the file's length where it is known.
pub(super) fn place(opened: &Opened, part: &Part) -> Result<(u64, Option<u64>), String> {
    if opened.status != StatusCode::PARTIAL_CONTENT {
        return Ok((0, opened.reader.length()));
    }
    if let Some(coding) = text(&opened.headers, &header::CONTENT_ENCODING).filter(|c| *c != "identity") {
        return Err(format!("the server sent a range of a packed body (`{coding}`)"));
    }
    // Some servers take no notice of `If-Range`.
    let then = part.note.validator.as_deref().filter(|then| then.starts_with('"'));
    if let (Some(then), Some(now)) = (then, text(&opened.headers, &header::ETAG))
        && then != now
    {
        return Err(format!("it was version {then} and is {now} now"));
    }
    let range = text(&opened.headers, &header::CONTENT_RANGE).unwrap_or_default();
    let (first, last, length) =
        content_range(range).ok_or_else(|| format!("the server sent the range `{range}`"))?;
    if first != part.bytes {
        return Err(format!("asked for bytes from {}, the server sent them from {first}", part.bytes));
    }
    if let (Some(then), Some(now)) = (part.note.length, length)
        && then != now
    {
        return Err(format!("it was {then} bytes long and is {now} now"));
    }
    Ok((first, length.or(Some(last + 1))))
}

/// `bytes 0-499/1234` or `bytes 0-499/*`.
fn content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (span, length) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = span.split_once('-')?;
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let length = if length == "*" { None } else { Some(length.parse().ok()?) };
    (first <= last && length.is_none_or(|length| last < length)).then_some((first, last, length))
}

/// What proves that a part belongs to the same file: a strong entity tag or a date.
pub(super) fn validator(headers: &HeaderMap) -> Option<String> {
    let etag = text(headers, &header::ETAG).filter(|etag| !etag.starts_with("W/"));
    etag.or_else(|| text(headers, &header::LAST_MODIFIED)).map(str::to_owned)
}

pub(super) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The server has nothing beyond what is there, and that is all of it.
pub(super) fn whole_already(failed: &FailedAttempt, part: &Part) -> bool {
    is_beyond(failed) && part.bytes > 0 && {
        let range = failed.headers.as_ref().and_then(|headers| text(headers, &header::CONTENT_RANGE));
        let length = range.and_then(|range| range.trim().strip_prefix("bytes */")?.parse::<u64>().ok());
        length.or(part.note.length) == Some(part.bytes)
    }
}

pub(super) fn is_beyond(failed: &FailedAttempt) -> bool {
    matches!(&failed.cause, Cause::Status { status, .. } if *status == StatusCode::RANGE_NOT_SATISFIABLE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn ranges_are_read() {
        assert_eq!(content_range("bytes 0-499/1234"), Some((0, 499, Some(1_234))));
        assert_eq!(content_range("bytes 500-1233/*"), Some((500, 1_233, None)));
        for wrong in ["", "bytes */12", "bytes 5-4/9", "bytes 0-9/9", "0-1/2", "bytes a-b/c"] {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_strong_validators_prove_anything() {
        let headers = |pairs: &[(HeaderName, &'static str)]| -> HeaderMap {
            pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
        };
        let date = (header::LAST_MODIFIED, "Wed, 01 Jan 2025 00:00:00 GMT");
        assert_eq!(validator(&headers(&[(header::ETAG, "\"a\""), date.clone()])).as_deref(), Some("\"a\""));
        assert_eq!(validator(&headers(&[(header::ETAG, "W/\"a\""), date.clone()])).as_deref(), Some(date.1));
        assert_eq!(validator(&headers(&[(header::ETAG, "W/\"a\"")])), None);
    }
}
