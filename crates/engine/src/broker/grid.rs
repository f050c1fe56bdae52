//! Multiples of a step: prices of whole ticks, quantities of whole lots.

/// A grid of multiples of `step`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    step: f64,
    /// Steps per unit where that is a whole number: dividing by it is exact, multiplying by 0.01 is not.
    per_unit: Option<f64>,
}

/// Largest size of number that [`floor`] can take through an integer.
const EXACT: f64 = 4_503_599_627_370_496.0;

/// `f64::floor` without a library call, which it is on processors of the oldest kind that we compile for.
#[inline]
fn floor(x: f64) -> f64 {
    if x.abs() < EXACT {
        let whole = x as i64 as f64;
        if whole > x { whole - 1.0 } else { whole }
    } else {
        x
    }
}

impl Grid {
    pub fn new(step: f64) -> Self {
        let per_unit = (1.0 / step).round();
        Self { step, per_unit: ((per_unit * step - 1.0).abs() < 1e-9).then_some(per_unit) }
    }

    #[inline]
    fn steps(&self, x: f64) -> f64 {
        match self.per_unit {
            Some(per_unit) => x * per_unit,
            None => x / self.step,
        }
    }

    #[inline]
    fn value(&self, steps: f64) -> f64 {
        match self.per_unit {
            Some(per_unit) => steps / per_unit,
            None => steps * self.step,
        }
    }

    /// The multiple at or below. 0.3 is 3 x 0.1 although 0.3 / 0.1 is 2.9999999999999996: a number within
    /// rounding of the grid is on it.
    #[inline]
    pub fn down(&self, x: f64) -> f64 {
        let steps = self.steps(x);
        // Beyond 1e4 steps the slack stays at 1e-5 of one: it forgives rounding, it must not add quantity. TradingView
        // has been seen to take 955,517.99992 steps for 955,517.
        self.value(floor(steps + 1e-9 * steps.abs().clamp(1.0, 1e4)))
    }

    /// The multiple above or below; within 1e-4 of a step counts as on the grid, for a level computed as
    /// price x 0.98 rarely is exactly.
    #[inline]
    pub fn snap(&self, x: f64, up: bool) -> f64 {
        if x.is_nan() {
            return x;
        }
        let steps = self.steps(x);
        let nearest = floor(steps + 0.5);
        if (steps - nearest).abs() <= 1e-4 {
            self.value(nearest)
        } else {
            let below = floor(steps);
            self.value(if up { below + 1.0 } else { below })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lots_are_rounded_down_in_decimal() {
        let tenths = Grid::new(0.1);
        assert_eq!([0.3, 0.35, 0.299, 1e17].map(|x| tenths.down(x)), [0.3, 0.3, 0.2, 1e17]);
        assert_eq!(tenths.down(95_551.799_992_4), 95_551.7);
        assert_eq!(Grid::new(3.0).down(10.0), 9.0);
        assert_eq!(Grid::new(1e-4).down(547.61789), 547.6178);
    }

    #[test]
    fn prices_snap_up_or_down() {
        let cents = Grid::new(0.01);
        assert_eq!((cents.snap(1.234, true), cents.snap(1.234, false)), (1.24, 1.23));
        assert_eq!((cents.snap(1.230_000_5, true), cents.snap(1.229_999_5, false)), (1.23, 1.23));
        assert_eq!((cents.snap(-1.234, true), cents.snap(-1.234, false)), (-1.23, -1.24));
        let quarters = Grid::new(0.25);
        assert_eq!((quarters.snap(10.3, true), quarters.snap(10.3, false)), (10.5, 10.25));
        assert!(cents.snap(f64::NAN, true).is_nan());
    }
}
