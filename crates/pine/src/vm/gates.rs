//! Conditions of the market as bit masks, so that whole stretches are skipped at once.

use super::bits::{Mask, order};
use super::build::Gate;
use super::columns::{Data, Operand};
use super::fold::{binary, truthy};
use crate::ir::Bin;
use springtide_domain::BarsView;
use springtide_engine::ta::{ColumnArg, TaFunc, run_column};

/// The masks of a run's gates.
pub(super) fn masks(gates: &[Gate], columns: &[Data<'_>], n: usize) -> Vec<Mask> {
    let mut maker = Maker { columns, n, orders: Vec::new() };
    gates.iter().map(|gate| maker.mask(gate)).collect()
}

struct Maker<'c, 'd> {
    columns: &'c [Data<'d>],
    n: usize,
    /// Pairs of columns compared so far: where the first is above, and below. A script that looks for
    /// crossings one way mostly looks for the others too.
    orders: Vec<(usize, usize, Mask, Mask)>,
}

impl Maker<'_, '_> {
    fn mask(&mut self, gate: &Gate) -> Mask {
        match gate {
            Gate::And(a, b) => self.mask(a).and(&self.mask(b)),
            Gate::Or(a, b) => self.mask(a).or(&self.mask(b)),
            Gate::Not(a) => self.mask(a).not(),
            Gate::Column(c) => Mask::from_column(self.columns[*c].values()),
            Gate::Compare(op, a, b) => self.compare(*op, *a, *b),
            Gate::Crossover(a, b) => self.crossover(*a, *b),
        }
    }

    fn compare(&self, op: Bin, a: Operand, b: Operand) -> Mask {
        // One loop per operator, so that each becomes vector code.
        macro_rules! each {
            ($($op:ident),+) => {
                match op {
                    $(Bin::$op => self.test(a, b, |a, b| truthy(binary(Bin::$op, a, b))),)+
                    other => self.test(a, b, |a, b| truthy(binary(other, a, b))),
                }
            };
        }
        each!(Lt, Le, Gt, Ge)
    }

    fn test(&self, a: Operand, b: Operand, test: impl Fn(f64, f64) -> bool) -> Mask {
        let column = |c: usize| self.columns[c].values();
        match (a, b) {
            (Operand::Col(a), Operand::Col(b)) => Mask::from_pairs(column(a), column(b), test),
            (Operand::Col(a), Operand::Const(b)) => Mask::from_values(column(a), |a| test(a, b)),
            (Operand::Const(a), Operand::Col(b)) => Mask::from_values(column(b), |b| test(a, b)),
            (Operand::Const(a), Operand::Const(b)) => Mask::same(self.n, test(a, b)),
        }
    }

    /// Bars on which `a` comes to lie above `b`. Where both have values on every bar from some bar on: above
    /// now and not above one bar earlier. In columns with holes the indicator's own code decides.
    fn crossover(&mut self, a: usize, b: usize) -> Mask {
        let ((first_a, dense_a), (first_b, dense_b)) = (self.columns[a].extent(), self.columns[b].extent());
        if !(dense_a && dense_b) {
            return crossing(self.columns[a].values(), self.columns[b].values());
        }
        let mut mask = self.above(a, b).rises();
        // The first bar with both values has nothing to come from.
        let first = first_a.max(first_b);
        if first < self.n {
            mask.clear(first);
        }
        mask
    }

    fn above(&mut self, a: usize, b: usize) -> &Mask {
        let known = self.orders.iter().position(|(x, y, ..)| (*x, *y) == (a, b) || (*y, *x) == (a, b));
        let at = known.unwrap_or_else(|| {
            let (above, below) = order(self.columns[a].series(), self.columns[b].series());
            self.orders.push((a, b, above, below));
            self.orders.len() - 1
        });
        let (x, _, above, below) = &self.orders[at];
        if *x == a { above } else { below }
    }
}

fn crossing(a: &[f64], b: &[f64]) -> Mask {
    let view = BarsView { time: &vec![0; a.len()], open: a, high: a, low: a, close: a, volume: a };
    let mut out = vec![Vec::new()];
    run_column(TaFunc::Crossover, &[None, None], &view, &[ColumnArg::Col(a), ColumnArg::Col(b)], &mut out);
    Mask::from_column(&out[0])
}

#[cfg(test)]
mod tests {
    use super::super::columns::Column;
    use super::*;
    use std::sync::Arc;

    #[test]
    fn crossings_equal_the_indicator() {
        let n = 300;
        let wave = |k: f64, lead: usize| {
            (0..n).map(|i| if i < lead { f64::NAN } else { (i as f64 * k).sin().max(-0.5) }).collect()
        };
        for (a, b) in
            [((0.3, 5), (0.17, 5)), ((0.3, 0), (0.17, 0)), ((0.3, 0), (0.17, 70)), ((0.1, 64), (0.1, 3))]
        {
            let series: [Vec<f64>; 2] = [wave(a.0, a.1), wave(b.0, b.1)];
            let columns = series.clone().map(|v| Data::Shared(Arc::new(Column::new(v))));
            let gates = [Gate::Crossover(0, 1), Gate::Crossover(1, 0)];
            let found = masks(&gates, &columns, n);
            assert_eq!(found[0], crossing(&series[0], &series[1]), "{a:?} over {b:?}");
            assert_eq!(found[1], crossing(&series[1], &series[0]), "{a:?} under {b:?}");
        }
    }
}
