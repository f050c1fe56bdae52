//! The text of a strategy's file: Pine is UTF-8; Python reads its sources by their own word (PEP 263).

use crate::strategy::StrategyKind;
use encoding_rs::Encoding;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// The text of a file, or why there is none.
pub(crate) fn decode(bytes: Vec<u8>, kind: StrategyKind) -> Result<String, String> {
    if kind == StrategyKind::Pine {
        return utf8(bytes, "");
    }
    if let Some(rest) = bytes.strip_prefix(BOM) {
        return utf8(rest.to_vec(), "");
    }
    let Some(name) = cookie(&bytes) else {
        return utf8(bytes, ", or name its encoding in the first line: `# -*- coding: latin-1 -*-`");
    };
    match name.to_ascii_lowercase().replace('_', "-").as_str() {
        "utf-8" | "utf8" | "utf-8-sig" | "u8" | "ascii" | "us-ascii" => utf8(bytes, ""),
        "latin-1" | "latin1" | "l1" | "iso-8859-1" | "iso8859-1" | "iso-latin-1" => {
            Ok(bytes.into_iter().map(char::from).collect())
        }
        label => {
            let encoding = Encoding::for_label(label.as_bytes()).filter(|found| found.is_ascii_compatible());
            let encoding = encoding.ok_or_else(|| {
                format!("it says that it is in `{name}`, which is not read here; save it as UTF-8")
            })?;
            let text = encoding.decode_without_bom_handling_and_without_replacement(&bytes);
            text.map(Into::into)
                .ok_or_else(|| format!("it says that it is in `{name}`, and is not; save it as UTF-8"))
        }
    }
}

fn utf8(bytes: Vec<u8>, or: &str) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|error| {
        format!("no UTF-8 text at byte {}; save it as UTF-8{or}", error.utf8_error().valid_up_to())
    })
}

/// The encoding that one of the first two lines names, the second only below a line without code.
fn cookie(bytes: &[u8]) -> Option<&str> {
    for line in bytes.split(|b| *b == b'\n').take(2) {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let comment = line.strip_prefix(b"#")?;
        if let Some(name) = named(comment) {
            return Some(name);
        }
    }
    None
}

/// `coding: NAME` or `coding=NAME` in a comment.
fn named(comment: &[u8]) -> Option<&str> {
    const WORD: &[u8] = b"coding";
    let places = comment.windows(WORD.len()).enumerate().filter(|(_, part)| *part == WORD);
    places.map(|(at, _)| &comment[at + WORD.len()..]).find_map(|rest| {
        let rest = rest.strip_prefix(b":").or_else(|| rest.strip_prefix(b"="))?.trim_ascii_start();
        let is_name = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
        let length = rest.iter().take_while(|b| is_name(b)).count();
        std::str::from_utf8(&rest[..length]).ok().filter(|name| !name.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python(bytes: &[u8]) -> Result<String, String> {
        decode(bytes.to_vec(), StrategyKind::Python)
    }

    #[test]
    fn sources_are_read_by_their_own_word() {
        for (bytes, text) in [
            (&b"x = 1\n"[..], "x = 1\n"),
            (b"\xef\xbb\xbfx = 1\n", "x = 1\n"),
            ("# \u{e9}\n".as_bytes(), "# \u{e9}\n"),
            (b"# -*- coding: latin-1 -*-\n# \xe9\n", "# -*- coding: latin-1 -*-\n# \u{e9}\n"),
            (
                b"#!/usr/bin/python\n# vim: set fileencoding=iso_8859_1 :\n'\xe9'",
                "#!/usr/bin/python\n# vim: set fileencoding=iso_8859_1 :\n'\u{e9}'",
            ),
            (b"\n# coding=cp1252\n'\x80'", "\n# coding=cp1252\n'\u{20ac}'"),
            (b"# coding: koi8-r\n'\xc1'", "# coding: koi8-r\n'\u{430}'"),
            (b"# coding: gbk\n'\xd6\xd0'", "# coding: gbk\n'\u{4e2d}'"),
            (b"# coding: utf-8\n'\xc3\xa9'", "# coding: utf-8\n'\u{e9}'"),
        ] {
            assert_eq!(python(bytes).as_deref(), Ok(text));
        }
        for (bytes, why) in [
            (&b"'\xe9'\n"[..], "at byte 1"),
            (b"import os\n# coding: latin-1\n'\xe9'", "at byte 29"),
            (b"\n\n# coding: latin-1\n'\xe9'", "at byte 21"),
            (b"# coding: nonsense\n'\xc1'", "`nonsense`, which is not read here"),
            (b"# coding: utf-16le\n'\xc1'", "`utf-16le`, which is not read here"),
            (b"# coding: euc-jp\n'\xff'", "`euc-jp`, and is not"),
            (b"\xef\xbb\xbf'\xe9'", "at byte 1"),
        ] {
            let told = python(bytes).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
        assert!(decode(b"# coding: latin-1\n\xe9".to_vec(), StrategyKind::Pine).is_err());
    }
}
