//! Strings, as TradingView's own results show them (measured there by PyneCore's authors, or its reference).

use super::*;

/// Each expression gives the text.
fn shows(cases: &[(&str, &str)]) {
    for (expression, want) in cases {
        let source = format!(
            "//@version=6\nstrategy(\"t\")\none = int(close / close)\nstrategy.entry(str.tostring({expression}), strategy.long)"
        );
        let out = execute(&source, &waves(3), ExecOptions::default())
            .unwrap_or_else(|e| panic!("{expression}: {e}"));
        let id = out.simulation.open[0].entry_id;
        assert_eq!(out.names.get(id), *want, "{expression}");
    }
}

#[test]
fn messages_are_read_as_java_reads_them() {
    shows(&[
        (r#"str.format("{0}", one)"#, "1"),
        (r#"str.format("'{'", one)"#, "{"),
        (r#"str.format("'{0}' {0}", one)"#, "{0} 1"),
        (r#"str.format("'{{ticker}}'", one)"#, "{{ticker}}"),
        (r#"str.format("it''s {0}", one)"#, "it's 1"),
        (r#"str.format("'{'''}'", one)"#, "{'}"),
        (r#"str.format("{0} 'unterminated {0}", one)"#, "1 unterminated {0}"),
        (r#"str.format("{0} {2} }", one, 2)"#, "1 {2} }"),
        (r#"str.format("{0,number,#.#} != {0, number, #.#}", one * 1.34)"#, "1.3 !=  1.3"),
        (r#"str.format("{0, number, integer} {1,NUMBER,percent}", one * 1.34, 0.5)"#, "1 50%"),
        (r#"str.format("{0,number,'#'.##}", one * 1.234)"#, "#1.23"),
        (r#"str.format("{0} {1}", "a'b", true)"#, "a'b true"),
        (r#"str.format("{0,number,#.##} {1}", float(na), array.from(1, 2))"#, "NaN [1, 2]"),
        (r#"str.format("{0,date,yyyy-MM-dd} {0,time,HH:mm}", time)"#, "2024-01-01 00:00"),
    ]);
}

#[test]
fn malformed_messages_are_the_scripts_mistake() {
    for template in ["a{", "{{0}}", "{0 ,number,#.#}"] {
        let source = format!(
            "//@version=6\nstrategy(\"t\")\none = close\nstrategy.entry(str.format(\"{template}\", one), strategy.long)"
        );
        let error = execute(&source, &waves(3), ExecOptions::default()).unwrap_err().to_string();
        assert!(error.contains("str.format"), "{template}: {error}");
    }
}

#[test]
fn patterns_match_anywhere() {
    shows(&[
        (r#"str.match("It's time to sell some NASDAQ:AAPL!", "[\\w]+:[\\w]+")"#, "NASDAQ:AAPL"),
        (r#"str.match("macd=long,rsi>50", "rsi>50")"#, "rsi>50"),
        (r#"str.match("abc", "x") + "|""#, "|"),
        (r#"str.match("BTC-123", "\\d{2,}\\Z")"#, "123"),
        (r#"str.match("Abc", "(?i)aBC")"#, "Abc"),
    ]);
    let source =
        "//@version=6\nstrategy(\"t\")\nx = str.match(str.tostring(close), \"(?<=a)b\")\nplot(str.length(x))";
    let error = execute(source, &waves(3), ExecOptions::default()).unwrap_err().to_string();
    assert!(error.contains("look-around"), "{error}");
}

#[test]
fn parts_are_replaced_and_split() {
    shows(&[
        (r#"str.replace("aaa", "aa", "-", 1)"#, "a-"),
        (r#"str.replace("abc", "", "-", 2)"#, "ab-c"),
        (r#"str.replace("abc", "", "-", 4)"#, "abc-"),
        (r#"str.replace("abab", "b", "X")"#, "aXab"),
        (r#"str.replace("abab", "b", "X", 2)"#, "abab"),
        (r#"str.replace_all("abab", "b", "X")"#, "aXaX"),
        (r#"str.split("abc", "").size()"#, "3"),
        (r#"str.split("", "").size()"#, "1"),
        (r#"str.split("a,b,,c", ",").join("|")"#, "a|b||c"),
        (r#"na(str.repeat("x", 0)) ? "none" : "some""#, "none"),
        (r#"str.repeat("x", 3, "-")"#, "x-x-x"),
        (r#"str.substring("abcdef", 2, 4)"#, "cd"),
        (r#"str.tonumber(" 1e3 ")"#, "1000"),
        (r#"str.tonumber("inf")"#, "NaN"),
        (r#"na(str.format_time(int(na), "yyyy")) ? "none" : "some""#, "none"),
        (
            r#"str.format_time(time, "EEE, d MMM yyyy 'at' hh:mm a, 'day' D")"#,
            "Mon, 1 Jan 2024 at 12:00 AM, day 1",
        ),
    ]);
}
