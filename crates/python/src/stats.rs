//! The statistics of a library, in the order in which it gives them.

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;
use std::{fmt, ops::Index};

/// Values by name, in the order of their library; written as a map.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats(Vec<(String, Value)>);

impl Stats {
    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    /// Names and values, in the library's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Index<&str> for Stats {
    type Output = Value;

    /// The value of that name; null where there is none.
    fn index(&self, name: &str) -> &Value {
        self.get(name).unwrap_or(&Value::Null)
    }
}

impl<N: Into<String>> FromIterator<(N, Value)> for Stats {
    fn from_iter<I: IntoIterator<Item = (N, Value)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

impl Serialize for Stats {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Stats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Stats;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of statistics")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Stats, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Stats(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_outlives_writing_and_reading() {
        let text = r##"{"Start":"x","Return [%]":1.5,"# Trades":3}"##;
        let stats: Stats = serde_json::from_str(text).unwrap();
        assert_eq!(
            stats.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            ["Start", "Return [%]", "# Trades"]
        );
        assert_eq!(serde_json::to_string(&stats).unwrap(), text);
        assert_eq!((&stats["# Trades"], &stats["none"]), (&3.into(), &Value::Null));
    }
}
