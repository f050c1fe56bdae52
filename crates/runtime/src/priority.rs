//! The four classes of work and their weights.

use std::{
    fmt,
    ops::{Index, IndexMut},
    str::FromStr,
};

/// Class of a piece of work, most urgent first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Starts before anything queued, as soon as a worker is free (see [`crate::policy`] for the limit).
    Critical,
    /// Somebody waits for the answer.
    High,
    /// Bulk work.
    #[default]
    Standard,
    /// Work for otherwise idle time; it keeps its share under load all the same.
    Low,
}

impl Priority {
    /// All classes, most urgent first.
    pub const ALL: [Self; 4] = [Self::Critical, Self::High, Self::Standard, Self::Low];

    /// Lower-case name, as [`FromStr`] reads it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Standard => "standard",
            Self::Low => "low",
        }
    }

    /// Position in [`Priority::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no class.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no priority: use critical, high, standard or low")]
pub struct UnknownPriority(
    /// The text.
    pub String,
);

impl FromStr for Priority {
    type Err = UnknownPriority;

    fn from_str(text: &str) -> Result<Self, UnknownPriority> {
        Self::ALL.into_iter().find(|p| p.as_str() == text).ok_or_else(|| UnknownPriority(text.to_owned()))
    }
}

/// One value per class, indexed by [`Priority`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerClass<T>(
    /// Values in the order of [`Priority::ALL`].
    pub [T; 4],
);

impl<T> Index<Priority> for PerClass<T> {
    type Output = T;

    fn index(&self, class: Priority) -> &T {
        &self.0[class.index()]
    }
}

impl<T> IndexMut<Priority> for PerClass<T> {
    fn index_mut(&mut self, class: Priority) -> &mut T {
        &mut self.0[class.index()]
    }
}

/// Relative shares of worker time per class when every class has more work than it gets. Only their
/// ratios count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights(
    /// Weights in the order of [`Priority::ALL`].
    pub [f64; 4],
);

impl Default for Weights {
    /// 0.4, 0.3, 0.2, 0.1.
    fn default() -> Self {
        Self([0.4, 0.3, 0.2, 0.1])
    }
}

/// A weight that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "weight of class `{class}` is {weight}: it must be a finite number above 0, at least a millionth of the sum"
)]
pub struct BadWeight {
    /// Whose weight.
    pub class: Priority,
    /// The weight given.
    pub weight: f64,
}

impl Weights {
    /// Each weight divided by their sum.
    ///
    /// # Errors
    /// When a weight is not finite, not above zero, or below a millionth of the sum: such a class would
    /// starve in practice.
    pub fn shares(&self) -> Result<PerClass<f64>, BadWeight> {
        let sum: f64 = self.0.iter().sum();
        let mut shares = PerClass::default();
        for class in Priority::ALL {
            let weight = self.0[class.index()];
            let share = weight / sum;
            if !weight.is_finite() || weight <= 0.0 || !share.is_finite() || share < 1e-6 {
                return Err(BadWeight { class, weight });
            }
            shares[class] = share;
        }
        Ok(shares)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for class in Priority::ALL {
            assert_eq!(class.as_str().parse(), Ok(class));
            assert_eq!(Priority::ALL[class.index()], class);
        }
        let error = "urgent".parse::<Priority>().unwrap_err();
        assert_eq!(error.to_string(), "`urgent` is no priority: use critical, high, standard or low");
    }

    #[test]
    fn only_ratios_count() {
        let shares = Weights([4.0, 3.0, 2.0, 1.0]).shares().unwrap();
        for (share, expected) in shares.0.iter().zip(Weights::default().0) {
            assert!((share - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn unusable_weights_are_refused() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-9] {
            assert!(Weights([0.4, 0.3, bad, 0.1]).shares().is_err(), "{bad}");
        }
    }
}
