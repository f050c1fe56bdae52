//! "Did you mean": the known name nearest to an unknown one.

/// The candidate with the smallest edit distance, if it is near enough to be a slip.
pub fn nearest<'c>(name: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let limit = (name.len() / 3).clamp(1, 3);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        if candidate.len().abs_diff(name.len()) > limit {
            continue;
        }
        let d = distance(name, candidate);
        if d <= limit && best.is_none_or(|(b, text)| (d, candidate) < (b, text)) {
            best = Some((d, candidate));
        }
    }
    best.map(|(_, text)| text)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`, case ignored.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<u8>, Vec<u8>) = (lower(a), lower(b));
    let mut rows = vec![vec![0; b.len() + 1]; 3];
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let (at, before, two_before) = (i % 3, (i + 2) % 3, (i + 1) % 3);
        rows[at][0] = i;
        for j in 1..=b.len() {
            let swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            let replaced = rows[before][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut d = replaced.min(rows[before][j] + 1).min(rows[at][j - 1] + 1);
            if swap {
                d = d.min(rows[two_before][j - 2] + 1);
            }
            rows[at][j] = d;
        }
    }
    rows[a.len() % 3][b.len()]
}

fn lower(text: &str) -> Vec<u8> {
    text.bytes().map(|b| b.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips() {
        let names = ["ta.sma", "ta.ema", "ta.crossover", "strategy.entry"];
        assert_eq!(nearest("ta.crossovr", names.into_iter()), Some("ta.crossover"));
        assert_eq!(nearest("strategy.enrty", names.into_iter()), Some("strategy.entry"));
        assert_eq!(nearest("ta.smma", names.into_iter()), Some("ta.sma"));
        assert_eq!(nearest("something.else", names.into_iter()), None);
    }

    #[test]
    fn counts_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("Close", "close"), 0);
    }
}
