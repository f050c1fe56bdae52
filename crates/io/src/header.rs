//! Which column of a table is which, by name.

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Skip,
    /// Date and time of day, or a number counted from 1970.
    Time,
    /// A date whose time of day stands in another column.
    Date,
    /// A time of day whose date stands in another column.
    Clock,
    Open,
    High,
    Low,
    Close,
    Volume,
}

pub(crate) const PRICES: [Role; 4] = [Role::Open, Role::High, Role::Low, Role::Close];

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Skip => "",
            Self::Time => "time",
            Self::Date => "date",
            Self::Clock => "time of day",
            Self::Open => "open",
            Self::High => "high",
            Self::Low => "low",
            Self::Close => "close",
            Self::Volume => "volume",
        }
    }
}

/// Letters and digits of a name in lower case; what stands in brackets behind it (a unit) is dropped.
fn key(name: &str) -> String {
    let name = name.trim().trim_matches(['"', '\'', '<', '>', '\u{feff}']);
    let bare = name.split(['(', '[']).next().unwrap_or(name);
    bare.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// What a name stands for, and how good a match it is (0 is best).
fn role_of(name: &str) -> Option<(Role, u8)> {
    let key = key(name);
    let found = match key.as_str() {
        "time" | "timestamp" | "datetime" | "opentime" | "dateandtime" | "bartime" | "candlebegintime" => {
            (Role::Time, 0)
        }
        "ts" | "t" | "unix" | "unixtime" | "unixtimestamp" | "epoch" | "timestampms" | "timems"
        | "opentimems" | "starttime" | "start" | "begin" | "gmttime" | "localtime" | "timeutc"
        | "dateutc" | "datetimeutc" | "timestamputc" | "utc" | "dt" => (Role::Time, 1),
        "date" | "day" | "tradedate" | "tradingdate" => (Role::Time, 2),
        "month" | "week" | "index" | "indexlevel0" => (Role::Time, 3),
        "timeofday" | "clock" => (Role::Clock, 0),
        "open" | "o" | "openprice" | "priceopen" => (Role::Open, 0),
        "high" | "h" | "highprice" | "pricehigh" | "max" => (Role::High, 0),
        "low" | "l" | "lowprice" | "pricelow" | "min" => (Role::Low, 0),
        "close" | "c" | "closeprice" | "priceclose" => (Role::Close, 0),
        "last" | "price" | "latest" | "closelast" => (Role::Close, 1),
        "volume" | "vol" | "v" | "basevolume" | "volumebase" | "qty" => (Role::Volume, 0),
        "tickvol" | "tickvolume" => (Role::Volume, 4),
        _ => (volume_in(&key)?, if quoted_money(&key) { 3 } else { 2 }),
    };
    Some(found)
}

/// `Volume BTC`, `volumeusd`: a volume with its currency.
fn volume_in(key: &str) -> Option<Role> {
    let currency = key.strip_prefix("volume").or_else(|| key.strip_suffix("volume"))?;
    let short = (1..=6).contains(&currency.len()) && currency.bytes().all(|b| b.is_ascii_alphanumeric());
    short.then_some(Role::Volume)
}

fn quoted_money(key: &str) -> bool {
    ["usd", "usdt", "usdc", "busd", "eur", "gbp", "jpy", "quote"]
        .iter()
        .any(|m| key.ends_with(m) || key.starts_with(m))
}

/// Roles of named columns, best match first and then leftmost. `index` below says where each role was found.
pub(crate) fn assign(names: &[&str]) -> Vec<Role> {
    let matches: Vec<Option<(Role, u8)>> = names.iter().map(|n| role_of(n)).collect();
    let mut roles = vec![Role::Skip; names.len()];
    for role in [Role::Time, Role::Clock, Role::Open, Role::High, Role::Low, Role::Close, Role::Volume] {
        let ranked =
            matches.iter().enumerate().filter_map(|(i, m)| m.filter(|m| m.0 == role).map(|m| (m.1, i)));
        if let Some((_, i)) = ranked.min() {
            roles[i] = role;
        }
    }
    // A table written with its index: the unnamed first column, when nothing else tells the time.
    if !roles.contains(&Role::Time)
        && names.first().is_some_and(|n| key(n).is_empty() || key(n).starts_with("unnamed"))
    {
        roles[0] = Role::Time;
    }
    roles
}

/// The columns `date` and `time` where both are there: candidates for a split time.
pub(crate) fn date_and_clock(names: &[&str]) -> Option<(usize, usize)> {
    let find = |wanted: &[&str]| names.iter().position(|n| wanted.contains(&key(n).as_str()));
    Some((
        find(&["date", "day", "tradedate", "tradingdate"])?,
        find(&["time", "timeofday", "clock", "hour"])?,
    ))
}

/// How many of the four prices are named.
pub(crate) fn price_count(roles: &[Role]) -> usize {
    PRICES.iter().filter(|p| roles.contains(p)).count()
}

/// Names of what a table lacks, `high, low`.
pub(crate) fn missing(roles: &[Role]) -> Option<String> {
    let timed = roles.contains(&Role::Time) || roles.contains(&Role::Date);
    let mut names: Vec<&str> = if timed { vec![] } else { vec!["time"] };
    names.extend(PRICES.iter().filter(|p| !roles.contains(p)).map(|p| p.name()));
    (!names.is_empty()).then(|| names.join(", "))
}

/// (bar column, name in the file) for the report, and the names not used.
pub(crate) fn describe(roles: &[Role], names: &[String]) -> (Vec<(String, String)>, Vec<String>) {
    let order =
        [Role::Time, Role::Date, Role::Clock, Role::Open, Role::High, Role::Low, Role::Close, Role::Volume];
    let found = |role: Role| {
        roles.iter().position(|r| *r == role).map(|i| (role.name().to_owned(), names[i].clone()))
    };
    let used = order.into_iter().filter_map(found).collect();
    let ignored = roles.iter().zip(names).filter(|(r, n)| **r == Role::Skip && !n.is_empty());
    (used, ignored.map(|(_, n)| n.clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_usual_names() {
        use Role::*;
        for (names, want) in [
            (
                vec!["timestamp", "open", "high", "low", "close", "volume"],
                vec![Time, Open, High, Low, Close, Volume],
            ),
            (
                vec![" Date ", "OPEN", "High", "low", "Close", "Adj Close", "Vol."],
                vec![Time, Open, High, Low, Close, Skip, Volume],
            ),
            (
                vec!["unix", "date", "symbol", "open", "high", "low", "close", "Volume BTC", "Volume USD"],
                vec![Time, Skip, Skip, Open, High, Low, Close, Volume, Skip],
            ),
            (vec!["t", "o", "h", "l", "c", "v"], vec![Time, Open, High, Low, Close, Volume]),
            (
                vec![
                    "Open time",
                    "Open",
                    "High",
                    "Low",
                    "Close",
                    "Volume",
                    "Close time",
                    "Quote asset volume",
                ],
                vec![Time, Open, High, Low, Close, Volume, Skip, Skip],
            ),
            (vec!["", "Open", "High", "Low", "Close"], vec![Time, Open, High, Low, Close]),
            (vec!["Date and time", "Price", "Open", "High", "Low"], vec![Time, Close, Open, High, Low]),
            (
                vec!["open", "high", "low", "close", "Volume USD", "time"],
                vec![Open, High, Low, Close, Volume, Time],
            ),
            (
                vec!["<TIME>", "<OPEN>", "<HIGH>", "<LOW>", "<CLOSE>", "<TICKVOL>", "<VOL>"],
                vec![Time, Open, High, Low, Close, Skip, Volume],
            ),
        ] {
            assert_eq!(assign(&names), want, "{names:?}");
        }
    }

    #[test]
    fn says_what_is_missing() {
        assert_eq!(missing(&assign(&["date", "open", "close"])).as_deref(), Some("high, low"));
        assert_eq!(missing(&assign(&["a", "o", "h", "l", "c"])).as_deref(), Some("time"));
        assert_eq!(date_and_clock(&["<DATE>", "<TIME>", "x"]), Some((0, 1)));
    }
}
