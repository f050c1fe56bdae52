//! Values of a strategy's inputs.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// One input's value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum ParamValue {
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
}

/// Values by input name, in name order, so that equal sets print and hash alike.
pub type Params = BTreeMap<String, ParamValue>;

impl ParamValue {
    /// The value as a number; booleans are 0 and 1, strings none.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Bool(b) => Some(f64::from(*b)),
            Self::Int(i) => Some(*i as f64),
            Self::Float(x) => Some(*x),
            Self::Str(_) => None,
        }
    }

    /// Reads `true`, `12`, `1.5`, and anything else as a string. Quotes force a string.
    pub fn parse(text: &str) -> Self {
        match text {
            "true" => Self::Bool(true),
            "false" => Self::Bool(false),
            _ => {
                if let Some(inner) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
                    Self::Str(inner.to_owned())
                } else if let Ok(i) = text.parse::<i64>() {
                    Self::Int(i)
                } else if let Some(x) = text.parse::<f64>().ok().filter(|x| x.is_finite()) {
                    Self::Float(x)
                } else {
                    Self::Str(text.to_owned())
                }
            }
        }
    }
}

impl fmt::Display for ParamValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(b) => write!(f, "{b}"),
            Self::Int(i) => write!(f, "{i}"),
            Self::Float(x) => write!(f, "{x}"),
            Self::Str(s) => write!(f, "{s}"),
        }
    }
}
