//! Figures of several processes as one text.

use std::collections::HashMap;

/// A metric's description and its samples.
#[derive(Default)]
struct Family {
    about: Vec<String>,
    samples: Vec<String>,
}

/// Makes one valid text of several processes' [`Metrics::text`](super::Metrics::text): each metric is described
/// once, and each sample says by `label` which text it is from.
///
/// ```
/// use springtide_runtime::observe::merge_metrics;
///
/// let one = "# TYPE up gauge\nup 1\n# EOF\n";
/// let merged = merge_metrics("pid", [("7", one), ("8", one)]);
/// assert_eq!(merged, "# TYPE up gauge\nup{pid=\"7\"} 1\nup{pid=\"8\"} 1\n# EOF\n");
/// ```
pub fn merge_metrics<'t>(label: &str, texts: impl IntoIterator<Item = (&'t str, &'t str)>) -> String {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut families: Vec<Family> = Vec::new();
    for (value, text) in texts {
        let mark = format!("{label}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
        // What an earlier text has described stays as it is.
        let known = families.len();
        let mut at = None;
        for line in text.lines().filter(|line| !line.is_empty()) {
            let described = line.strip_prefix("# ").and_then(|rest| rest.split_once(' '));
            match described {
                Some(("HELP" | "TYPE" | "UNIT", rest)) => {
                    let name = rest.split(' ').next().unwrap_or_default();
                    let place = *places.entry(name).or_insert_with(|| {
                        families.push(Family::default());
                        families.len() - 1
                    });
                    if place >= known {
                        families[place].about.push(line.to_owned());
                    }
                    at = Some(place);
                }
                _ if line.starts_with('#') => {}
                _ => {
                    if let Some(place) = at {
                        families[place].samples.push(marked(line, &mark));
                    }
                }
            }
        }
    }
    let mut merged = String::new();
    for line in families.iter().flat_map(|family| family.about.iter().chain(&family.samples)) {
        merged.push_str(line);
        merged.push('\n');
    }
    merged + "# EOF\n"
}

/// A sample with a label more: `up 1` or `up{a="b"} 1`.
fn marked(sample: &str, mark: &str) -> String {
    match sample.find(['{', ' ']) {
        Some(at) if sample[at..].starts_with("{}") => {
            format!("{}{{{mark}{}", &sample[..at], &sample[at + 1..])
        }
        Some(at) if sample[at..].starts_with('{') => {
            format!("{}{{{mark},{}", &sample[..at], &sample[at + 1..])
        }
        Some(at) => format!("{}{{{mark}}}{}", &sample[..at], &sample[at..]),
        None => sample.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_described_once_and_its_samples_stand_together() {
        let first =
            "# HELP a A count.\n# TYPE a counter\na_total{of=\"x y\"} 1\n# TYPE b gauge\nb 2\n# EOF\n";
        let second = "# TYPE c gauge\nc{} 3\n# HELP a A count.\n# TYPE a counter\na_total{of=\"{\"} 4 # {t=\"1\"} 1\n# EOF\n";
        let want = "# HELP a A count.\n# TYPE a counter\na_total{pid=\"1\",of=\"x y\"} 1\n\
                    a_total{pid=\"2\",of=\"{\"} 4 # {t=\"1\"} 1\n# TYPE b gauge\nb{pid=\"1\"} 2\n\
                    # TYPE c gauge\nc{pid=\"2\"} 3\n# EOF\n";
        assert_eq!(merge_metrics("pid", [("1", first), ("2", second)]), want);
        assert_eq!(merge_metrics("pid", []), "# EOF\n");
    }
}
