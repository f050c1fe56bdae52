//! The reports as one HTML file: style, charts and tables inside, nothing fetched.

use crate::{
    ClaimRow, Figures, Mode, Report, Row,
    statement::{compared, statement},
};
use std::fmt::Write as _;

const BAR_HEIGHT: f64 = 22.0;
const NAME_WIDTH: f64 = 230.0;
/// Longest bar of a chart that has the page's width, and of two side by side.
const WIDE: f64 = 560.0;
const HALF: f64 = 250.0;
const VALUE_WIDTH: f64 = 110.0;

/// A page of one or more reports; `made` says when and by what command.
pub fn html(reports: &[Report], made: &str) -> String {
    let sections: String = reports.iter().map(section).collect();
    let machine = reports.first().map_or_else(String::new, |r| {
        let gb = r.machine.memory as f64 / 1e9;
        format!("{} cores, {gb:.0} GB, {}", r.machine.cores, escape(&r.machine.system))
    });
    include_str!("page.html")
        .replace("{{made}}", &escape(made))
        .replace("{{machine}}", &machine)
        .replace("{{claims}}", &claimed(reports))
        .replace("{{sections}}", &sections)
}

/// The claims of throughput of all reports, together.
fn claimed(reports: &[Report]) -> String {
    let Some(statement) = statement(reports) else { return String::new() };
    let mut out = format!(
        "<section><h2>What has been claimed</h2><p>{}</p><div class=scroll><table><thead><tr><th class=l>throughput<th>claimed, concurrent\
         <th>plain Python here, one by one<th>tide here, concurrent<th class=l>so</tr></thead><tbody>",
        escape(&statement)
    );
    for c in compared(reports) {
        let (word, class) =
            if c.is_below() { ("below plain Python", "down") } else { ("above plain Python", "up") };
        let _ = write!(
            out,
            "<tr><td class=l>{}<td>{}<td>{}<td>{}<td class=\"l {class}\">the claim is {word}</tr>",
            escape(&c.what()),
            number(c.claimed()),
            number(c.plain()),
            c.ours().map_or("–".into(), number)
        );
    }
    out + "</tbody></table></div></section>"
}

fn section(report: &Report) -> String {
    let scale = match report.scale {
        1.0 => String::new(),
        s => format!(" <b>Done at {s} times this size.</b>"),
    };
    let unit = report.unit;
    let mut out = format!(
        "<section id=\"{}\"><h2>{}</h2><p>{}.{scale} Checked: {}.</p>",
        report.scenario,
        escape(report.title),
        escape(report.work),
        escape(report.check)
    );
    out += &bars(report, &format!("Throughput, {unit}/s"), |f| Some(f.per_s), true, WIDE);
    out += "<div class=charts>";
    out += &bars(report, "Latency p50, ms", |f| f.latency.map(|l| l.p50_ms), false, HALF);
    out += &bars(report, "Latency p99, ms", |f| f.latency.map(|l| l.p99_ms), false, HALF);
    out += &bars(report, "Peak memory, MB", |f| Some(f.peak_memory as f64 / 1e6), false, HALF);
    out += &bars(
        report,
        &format!("Processor time per item ({unit}), µs"),
        |f| Some(f.cpu_s / f.items * 1e6),
        false,
        HALF,
    );
    out += "</div>";
    if !report.latency_of.is_empty() {
        let _ = write!(out, "<p class=soft>Latency: the time of {}.</p>", escape(report.latency_of));
    }
    out += &table(report);
    out += &verdicts(report);
    out += &claims(report);
    for skipped in &report.skipped {
        let _ =
            write!(out, "<p class=soft>Not run: {}: {}</p>", escape(&skipped.name), escape(&skipped.reason));
    }
    out + "</section>"
}

/// A bar chart as SVG, lengths by logarithm where the values span more than two orders.
fn bars(
    report: &Report,
    title: &str,
    read: impl Fn(&Figures) -> Option<f64>,
    more: bool,
    longest: f64,
) -> String {
    let rows: Vec<(&Row, f64)> = report
        .rows
        .iter()
        .filter_map(|r| Some((r, read(&r.median)?)))
        .filter(|(_, x)| x.is_finite() && *x > 0.0)
        .collect();
    let most = rows.iter().map(|r| r.1).fold(0.0, f64::max);
    let least = rows.iter().map(|r| r.1).fold(f64::INFINITY, f64::min);
    if rows.is_empty() || most <= 0.0 {
        return String::new();
    }
    let logarithmic = most / least > 100.0;
    let length = |x: f64| match logarithmic {
        true => longest * ((x / least).log10() + 0.3) / ((most / least).log10() + 0.3),
        false => longest * x / most,
    };
    let width = NAME_WIDTH + longest + VALUE_WIDTH;
    let height = rows.len() as f64 * BAR_HEIGHT;
    let scale = if logarithmic { ", logarithmic" } else { "" };
    let better = if more { "longer is better" } else { "shorter is better" };
    let mut svg = format!(
        "<div><h3>{title} <small>{better}{scale}</small></h3>\
         <svg viewBox=\"0 0 {width} {height}\" role=img aria-label=\"{title}\">"
    );
    for (i, (row, value)) in rows.iter().enumerate() {
        let (top, end) = (i as f64 * BAR_HEIGHT, NAME_WIDTH + length(*value));
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{}\" class=\"name{}\">{}</text>\
             <rect x=\"{NAME_WIDTH}\" y=\"{}\" width=\"{:.1}\" height=\"{}\" rx=2 class=\"{}\"/>\
             <text x=\"{:.1}\" y=\"{}\">{}</text>",
            NAME_WIDTH - 8.0,
            top + 15.0,
            if row.ours { " own" } else { "" },
            escape(&shown(row)),
            top + 3.0,
            length(*value),
            BAR_HEIGHT - 6.0,
            class(row),
            end + 6.0,
            top + 15.0,
            number(*value)
        );
    }
    svg + "</svg></div>"
}

fn class(row: &Row) -> &'static str {
    match (row.ours, row.mode) {
        (true, Mode::Concurrent) => "ours",
        (true, _) => "plain",
        (false, Mode::Limit) => "limit",
        (false, _) => "rival",
    }
}

fn shown(row: &Row) -> String {
    if row.ours { format!("tide, {}", row.name) } else { row.name.clone() }
}

fn table(report: &Report) -> String {
    let mut out = format!(
        "<h3>All figures <small>medians of the runs</small></h3><div class=scroll><table><thead><tr><th class=l>contestant<th>{}/s\
         <th>range<th>p50 ms<th>p95 ms<th>p99 ms<th>mean ms<th>CPU %<th>waiting %<th>disk stall %<th>peak MB<th>open at once\
         <th>runs</tr></thead><tbody>",
        report.unit
    );
    for row in &report.rows {
        let f = &row.median;
        let latency = |read: fn(&crate::Latency) -> Option<f64>| {
            f.latency.as_ref().and_then(read).map_or("–".into(), number)
        };
        let _ = write!(
            out,
            "<tr class={}><td class=l>{}<td>{}<td>{} to {}<td>{}<td>{}<td>{}<td>{}<td>{:.0}<td>{:.0}<td>{}<td>{:.1}<td>{}<td>{}</tr>",
            class(row),
            escape(&shown(row)),
            number(f.per_s),
            number(row.range.0),
            number(row.range.1),
            latency(|l| Some(l.p50_ms)),
            latency(|l| Some(l.p95_ms)),
            latency(|l| Some(l.p99_ms)),
            latency(|l| l.mean_ms),
            f.cpu_pct,
            f.waiting_pct,
            f.disk_stall_pct.map_or("–".into(), |x| format!("{x:.0}")),
            f.peak_memory as f64 / 1e6,
            f.connections.map_or("–".into(), |n| n.to_string()),
            row.runs
        );
    }
    out += "</tbody></table></div>";
    let extra: Vec<String> = report
        .rows
        .iter()
        .filter(|r| !r.median.extra.is_empty())
        .map(|r| {
            let pairs: Vec<String> =
                r.median.extra.iter().map(|(k, v)| format!("{} {}", escape(k), number(*v))).collect();
            format!("<li>{}: {}", escape(&shown(r)), pairs.join(", "))
        })
        .collect();
    if !extra.is_empty() {
        let _ = write!(out, "<ul class=soft>{}</ul>", extra.concat());
    }
    out
}

fn verdicts(report: &Report) -> String {
    if report.verdicts.is_empty() {
        return String::new();
    }
    let mut out = String::from("<h3>What had to be reached</h3><div class=scroll><table><tbody>");
    for v in &report.verdicts {
        let (sign, class) = if v.met { ("reached", "up") } else { ("missed", "down") };
        let _ = write!(
            out,
            "<tr><td class=l>{}<td>{} {}<td>at {} {} {}<td class={class}>{sign}</tr>",
            escape(&v.what),
            number(v.found),
            v.unit,
            if v.at_least { "least" } else { "most" },
            number(v.wanted),
            v.unit
        );
    }
    out + "</tbody></table></div>"
}

fn claims(report: &Report) -> String {
    if report.claims.is_empty() {
        return String::new();
    }
    let mut out = String::from(
        "<h3>What has been claimed for such work <small>figures of a description, without machine or method</small></h3>\
         <div class=scroll><table><thead><tr><th class=l>figure<th>claimed, one by one<th>claimed, concurrent<th>plain Python here<th>tide, one by one\
         <th>tide, concurrent<th class=l>so</tr></thead><tbody>",
    );
    for row in &report.claims {
        let value = |x: Option<f64>| x.map_or("–".into(), number);
        let _ = write!(
            out,
            "<tr><td class=l>{} ({})<td>{}<td>{}<td>{}<td>{}<td>{}<td class=l>{}</tr>",
            escape(row.claim.what),
            escape(row.claim.unit),
            number(row.claim.sequential),
            number(row.claim.concurrent),
            value(row.plain.as_ref().map(|p| p.1)),
            value(row.ours_sequential),
            value(row.ours_concurrent),
            escape(&verdict(row))
        );
    }
    out + "</tbody></table></div>"
}

/// What the figures say about a claim, in words.
pub fn verdict(row: &ClaimRow) -> String {
    let claimed = row.claim.concurrent;
    let compare = |x: f64| {
        let (better, ratio) = match row.higher_is_better {
            true => (x >= claimed, x / claimed),
            false => (x <= claimed, claimed / x),
        };
        match (better, row.higher_is_better) {
            (true, true) => format!("{} times the claim", number(ratio)),
            (true, false) if ratio.is_finite() => format!("{} times below the claim", number(ratio)),
            (true, false) => "below the claim".into(),
            (false, true) => format!("{} of the claim", number(ratio)),
            (false, false) => format!("{} times the claim", number(1.0 / ratio)),
        }
    };
    let mut parts = Vec::new();
    if let Some((name, x)) = &row.plain {
        parts.push(format!("{name}: {}", compare(*x)));
    }
    if let Some(x) = row.ours_concurrent {
        parts.push(format!("tide: {}", compare(x)));
    }
    parts.join("; ")
}

/// Three significant digits, thousands in groups.
pub fn number(x: f64) -> String {
    if !x.is_finite() {
        return "–".into();
    }
    let digits = match x.abs() {
        a if a >= 99.95 || a == 0.0 => 0,
        a if a >= 9.995 => 1,
        a if a >= 0.9995 => 2,
        _ => 3,
    };
    let text = format!("{x:.digits$}");
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |t| ("-", t));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut grouped = String::from(sign);
    for (i, c) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(c);
    }
    if fraction.is_empty() { grouped } else { format!("{grouped}.{fraction}") }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits() {
        for (x, text) in [
            (1_234_567.0, "1,234,567"),
            (99.96, "100"),
            (12.345, "12.3"),
            (1.0, "1.00"),
            (0.1234, "0.123"),
            (0.0, "0"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(number(x), text);
        }
    }
    /// A report with a claim, of which plain Python reaches a tenth or ten times.
    fn report(plain: f64) -> Report {
        let about = crate::find("bigdata").unwrap().about();
        let row = |name: &str, ours, mode, per_s| {
            let figures = Figures { work_s: 1.0, items: per_s, per_s, ..Figures::default() };
            Row::of(name.into(), ours, mode, false, vec![figures]).unwrap()
        };
        let rows = vec![
            row("concurrent", true, Mode::Concurrent, 2_000.0),
            row("python, csv module", false, Mode::Sequential, plain),
        ];
        Report::new(about, 1.0, rows, Vec::new())
    }

    #[test]
    fn claims_stand_beside_plain_python() {
        // 15 GB/h are 4.17 MB/s.
        let (slow, quick) = (report(0.4), report(100.0));
        assert!(statement(std::slice::from_ref(&slow)).unwrap().contains("1 claim made elsewhere"));
        let both = statement(&[slow.clone(), quick.clone()]).unwrap();
        assert!(both.starts_with("Of 2 claims") && both.contains("1 are below"), "{both}");
        assert!(both.contains("GB/h: claimed 15.0, Python 360"), "{both}");
        let page = html(&[slow, quick], "now <then>");
        for text in ["the claim is below plain Python", "now &lt;then&gt;", "20.0 ×", "missed", "reached"] {
            assert!(page.contains(text), "{text}: {page}");
        }
        assert!(!page.contains("{{") && statement(&[]).is_none());
    }
}
