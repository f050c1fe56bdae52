//! Symbol and timeframe out of a file's name, and file names out of symbols.

use springtide_domain::{SymbolInfo, SymbolKind, Timeframe};

/// What a file's name says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NameGuess {
    /// Exchange, upper case; empty when not named.
    pub exchange: String,
    /// Ticker; none when the name holds nothing else.
    pub ticker: Option<String>,
    /// Bar length.
    pub timeframe: Option<Timeframe>,
}

const EXCHANGES: [&str; 24] = [
    "binance",
    "binanceus",
    "bitstamp",
    "bitfinex",
    "bitmex",
    "bybit",
    "coinbase",
    "deribit",
    "gateio",
    "gemini",
    "huobi",
    "kraken",
    "kucoin",
    "mexc",
    "okex",
    "okx",
    "poloniex",
    "nasdaq",
    "nyse",
    "amex",
    "oanda",
    "fx",
    "cme",
    "index",
];
const FILLER: [&str; 14] = [
    "ohlcv",
    "ohlc",
    "candles",
    "candle",
    "klines",
    "kline",
    "data",
    "prices",
    "bars",
    "history",
    "historical",
    "chart",
    "export",
    "spot",
];
const QUOTES: [&str; 14] =
    ["USDT", "USDC", "BUSD", "FDUSD", "TUSD", "USD", "EUR", "GBP", "JPY", "CHF", "AUD", "CAD", "BTC", "ETH"];
const FIAT: [&str; 12] = ["USD", "EUR", "GBP", "JPY", "CHF", "AUD", "CAD", "NZD", "SEK", "NOK", "CNH", "MXN"];
/// Bare numbers in a name that mean minutes (`XBTUSD_1440.csv`).
const BARE_MINUTES: [u32; 12] = [1, 3, 5, 10, 15, 30, 45, 60, 120, 240, 720, 1440];

/// Reads names like `BTC-USD-15m`, `ETHUSDT_1h`, `ohlcv_ETH-USDT-USDT_15m_x`, `BINANCE_BTCUSDT, 240`,
/// `BTCUSDT-1m-2023-01`, `Bitstamp_BTCUSD_d`. `stem` comes without folder and ending.
pub fn guess(stem: &str) -> NameGuess {
    let mut out = NameGuess::default();
    let mut before: Vec<&str> = Vec::new();
    let parts: Vec<&str> = stem.split(['_', ',', ' ', '(', ')']).filter(|p| !p.is_empty()).collect();
    for (i, part) in parts.iter().enumerate() {
        let (symbol, timeframe) = split_timeframe(part, i > 0);
        if !symbol.is_empty() && out.timeframe.is_none() {
            before.push(symbol);
        }
        if out.timeframe.is_none() {
            out.timeframe = timeframe;
        } else if before.is_empty() {
            before.push(part);
        }
    }
    let is = |list: &[&str], word: &str| list.contains(&word.to_ascii_lowercase().as_str());
    before.retain(|w| !is(&FILLER, w));
    if before.len() > 1 && is(&EXCHANGES, before[0]) {
        out.exchange = before.remove(0).to_ascii_uppercase();
    }
    out.ticker = (!before.is_empty()).then(|| before.join("_").to_ascii_uppercase());
    out
}

/// A word into what stands before its timeframe and the timeframe: `BTC-USD-15m` → (`BTC-USD`, 15 minutes).
fn split_timeframe(part: &str, may_be_bare: bool) -> (&str, Option<Timeframe>) {
    let mut start = 0;
    for piece in part.split('-') {
        let bare = may_be_bare && start == 0 && piece.len() == part.len();
        if let Some(timeframe) = timeframe_word(piece, bare) {
            return (part[..start].trim_end_matches('-'), Some(timeframe));
        }
        start += piece.len() + 1;
    }
    (part, None)
}

fn timeframe_word(word: &str, bare: bool) -> Option<Timeframe> {
    let named = match word.to_ascii_lowercase().as_str() {
        "daily" | "1day" | "day" => Some(Timeframe::Days(1)),
        "weekly" | "1week" | "week" => Some(Timeframe::Weeks(1)),
        "monthly" | "1month" | "1mo" => Some(Timeframe::Months(1)),
        "hourly" | "1hour" | "hour" => Some(Timeframe::Minutes(60)),
        "minute" | "1minute" => Some(Timeframe::Minutes(1)),
        "d" if bare => Some(Timeframe::Days(1)),
        _ => None,
    };
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    if named.is_some() || digits == 0 || digits > 4 {
        return named;
    }
    if digits == word.len() {
        let minutes = word.parse().ok().filter(|n| BARE_MINUTES.contains(n))?;
        return bare.then_some(Timeframe::Minutes(minutes));
    }
    match &word[digits..] {
        "m" | "min" | "h" | "H" | "d" | "D" | "w" | "W" | "M" | "mo" | "s" | "S" => word.parse().ok(),
        "hour" | "hours" => format!("{}h", &word[..digits]).parse().ok(),
        "minute" | "minutes" | "mins" => word[..digits].parse().ok(),
        _ => None,
    }
}

/// What a ticker tells: `EXCHANGE:TICKER` is split, currencies and the kind of instrument follow from its ending
/// (`BTC-USD`, `ETHUSDT.P`, `EURUSD`; a word without a currency is a stock).
pub fn symbol_info(text: &str, exchange: &str) -> SymbolInfo {
    let (exchange, ticker) = text.split_once(':').map_or((exchange, text), |(e, t)| (e, t));
    let mut symbol =
        SymbolInfo { ticker: ticker.to_owned(), exchange: exchange.to_owned(), ..SymbolInfo::default() };
    match currencies(ticker) {
        Some((base, quote)) => {
            let forex = FIAT.contains(&base.as_str()) && FIAT.contains(&quote.as_str());
            symbol.kind = if forex { SymbolKind::Forex } else { SymbolKind::Crypto };
            (symbol.base_currency, symbol.currency) = (base, quote);
        }
        None => symbol.kind = SymbolKind::Stock,
    }
    symbol
}

fn currencies(ticker: &str) -> Option<(String, String)> {
    let upper = ticker.to_ascii_uppercase();
    let bare = upper.split_once('.').map_or(upper.as_str(), |(t, _)| t);
    let mut pieces = bare.split(['-', '/', '_']);
    if let (Some(base), Some(quote)) = (pieces.next(), pieces.next()) {
        let known = QUOTES.contains(&quote) || FIAT.contains(&quote);
        return (known && !base.is_empty()).then(|| (base.to_owned(), quote.to_owned()));
    }
    let quotes = QUOTES.iter().chain(&FIAT);
    let base_of =
        |q: &&str| bare.strip_suffix(*q).filter(|b| b.len() >= 2).map(|b| (b.to_owned(), (*q).to_owned()));
    quotes.filter_map(base_of).next()
}

/// A symbol as a folder's name: letters, digits, `.`, `-`, `_`; all else becomes `_`. Never hidden, never empty.
pub fn safe_name(symbol: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
    let name: String = symbol.chars().map(keep).take(100).collect();
    if name.is_empty() || name.starts_with('.') { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_that_people_and_exchanges_give() {
        for (stem, exchange, ticker, timeframe) in [
            ("BTC-USD-15m", "", "BTC-USD", "15"),
            ("ETHUSDT_1h", "", "ETHUSDT", "60"),
            ("ohlcv_ETH-USDT-USDT_15m_warmup6m", "", "ETH-USDT-USDT", "15"),
            ("ohlcv_ETH-USDT-USDT_15m", "", "ETH-USDT-USDT", "15"),
            ("BINANCE_BTCUSDT, 240", "BINANCE", "BTCUSDT", "240"),
            ("BITSTAMP_BTCUSD, 1D_a1b2c", "BITSTAMP", "BTCUSD", "1D"),
            ("BTCUSDT-1m-2023-01", "", "BTCUSDT", "1"),
            ("Bitstamp_BTCUSD_d", "BITSTAMP", "BTCUSD", "1D"),
            ("Binance_BTCUSDT_1h", "BINANCE", "BTCUSDT", "60"),
            ("XBTUSD_1440", "", "XBTUSD", "1440"),
            ("eurusd_daily", "", "EURUSD", "1D"),
            ("15m_BTCUSD", "", "BTCUSD", "15"),
            ("BTC_USDT_4h", "", "BTC_USDT", "240"),
            ("SPY_1M", "", "SPY", "1M"),
        ] {
            let got = guess(stem);
            let want = (exchange, Some(ticker.to_owned()), Some(timeframe.parse().unwrap()));
            assert_eq!((got.exchange.as_str(), got.ticker, got.timeframe), want, "{stem}");
        }
        assert_eq!(guess("AAPL"), NameGuess { ticker: Some("AAPL".into()), ..NameGuess::default() });
        assert_eq!(guess("1h").ticker, None);
        assert_eq!(guess("").ticker, None);
    }

    #[test]
    fn tickers_tell_currencies_and_kind() {
        use SymbolKind::{Crypto, Forex, Stock};
        for (text, base, currency, kind) in [
            ("BTC-USD", "BTC", "USD", Crypto),
            ("BINANCE:ETHUSDT.P", "ETH", "USDT", Crypto),
            ("EURUSD", "EUR", "USD", Forex),
            ("AAPL", "", "USD", Stock),
            ("ETH-USDT-USDT", "ETH", "USDT", Crypto),
            ("USDJPY", "USD", "JPY", Forex),
        ] {
            let symbol = symbol_info(text, "");
            assert_eq!(
                (symbol.base_currency.as_str(), symbol.currency.as_str(), symbol.kind),
                (base, currency, kind),
                "{text}"
            );
        }
        assert_eq!(symbol_info("NYSE:IBM", "X").exchange, "NYSE");
    }

    #[test]
    fn folder_names_are_harmless() {
        assert_eq!(safe_name("BINANCE:ETHUSDT.P"), "BINANCE_ETHUSDT.P");
        assert_eq!(safe_name("../../etc"), "_.._.._etc");
        assert_eq!(safe_name(""), "_");
    }
}
