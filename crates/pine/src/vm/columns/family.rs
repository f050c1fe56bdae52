//! Columns that differ in their length alone, several in one pass.
//!
//! A run mostly has two averages of one source, and a sweep goes through their lengths in steps. Several lengths at
//! once take hardly longer than one ([`run_lengths`]), so a pass takes along what else the run needs and, when the
//! lengths asked for so far form a progression, the next ones of that.

use super::{COLUMN_BYTES, Column, ColumnStore, Data, Node, Operand, Recipe, Recipes};
use rustc_hash::FxHashMap;
use springtide_engine::ta::{LANES, Sums, TaFunc, run_lengths};
use std::{collections::BTreeSet, sync::Arc};

/// What such columns have in common: function, the source's number, order of summation.
pub(super) type Family = (TaFunc, u32, Sums);

/// Columns by their number.
pub(super) type Numbered = Vec<(u32, Arc<Column>)>;

/// The lengths asked for until now.
#[derive(Debug, Default)]
pub(super) struct Families(FxHashMap<Family, BTreeSet<u64>>);

impl Families {
    /// Takes `length` in and gives up to `most` lengths that continue the progression it ends, if it does; they count
    /// as asked for.
    pub fn foresee(&mut self, family: Family, length: f64, most: usize) -> Vec<f64> {
        let known = self.0.entry(family).or_default();
        let length = length as u64;
        let step = |neighbour: Option<&u64>| {
            let step = length as i64 - *neighbour? as i64;
            let before = length.checked_add_signed(-2 * step)?;
            known.contains(&before).then_some(step)
        };
        let step = step(known.range(..length).next_back()).or_else(|| step(known.range(length + 1..).next()));
        known.insert(length);
        let ahead = |k: i64| length.checked_add_signed(step? * k).filter(|l| *l > 0);
        let next: Vec<u64> = (1..).map_while(ahead).take(most).filter(|l| !known.contains(l)).collect();
        known.extend(&next);
        next.into_iter().map(|l| l as f64).collect()
    }
}

/// The recipe's source and length, if it belongs to a family.
fn member(recipe: &Recipe) -> Option<(TaFunc, Sums, usize, f64)> {
    let Recipe::Ta(func @ (TaFunc::Sma | TaFunc::Sum), args, _, sums) = recipe else { return None };
    match args.as_slice() {
        [Operand::Col(source), Operand::Const(length)] => Some((*func, *sums, *source, *length)),
        _ => None,
    }
}

/// The column of recipe `at`, and by number those that the run needs later on. What the sweep will need goes to the
/// store. None where the columns cannot be computed together.
pub(super) fn together(
    recipes: &Recipes,
    at: usize,
    store: &ColumnStore,
    done: &[Data<'_>],
) -> Option<(Column, Numbered)> {
    let (func, sums, source, length) = member(&recipes.list[at].1)?;
    let values = done[source].values();
    let (mut ids, mut lengths) = (vec![recipes.id(at)], vec![length]);
    for (id, recipe) in &recipes.list[at + 1..] {
        let sibling = member(recipe).filter(|m| (m.0, m.1, m.2) == (func, sums, source));
        if let Some((.., length)) = sibling
            && lengths.len() < LANES
            && !store.has(*id)
        {
            ids.push(*id);
            lengths.push(length);
        }
    }
    let needed = ids.len();
    let bytes = values.len() * COLUMN_BYTES;
    let family = (func, recipes.id(source), sums);
    let room = LANES - needed;
    let foreseen = store.foresee(family, length, room, bytes);
    lengths[1..].iter().for_each(|l| drop(store.foresee(family, *l, 0, bytes)));
    for next in foreseen.into_iter().filter(|l| *l as usize <= values.len()) {
        let args = vec![family.1, store.id(Node::Const(next.to_bits()))];
        ids.push(store.id(Node::Ta(func, args, (0, sums))));
        lengths.push(next);
    }
    let columns = run_lengths(func, sums, values, &lengths)?;
    let mut columns = columns.into_iter().map(Column::new);
    let first = columns.next()?;
    let others: Numbered = ids.drain(1..).zip(columns.map(Arc::new)).collect();
    others.iter().for_each(|(id, column)| store.keep(*id, bytes, column));
    Some((first, others.into_iter().take(needed - 1).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::BarField;
    use springtide_domain::OwnedBars;

    const NONE: [f64; 0] = [];

    #[test]
    fn progressions_go_on() {
        let mut families = Families::default();
        let mut ask = |source: u32, length: u32, most: usize| {
            families.foresee((TaFunc::Sma, source, Sums::Exact), f64::from(length), most)
        };
        assert_eq!(ask(0, 5, 3), NONE);
        assert_eq!(ask(0, 55, 3), NONE);
        assert_eq!(ask(0, 60, 3), NONE);
        assert_eq!(ask(0, 65, 3), [70.0, 75.0, 80.0]);
        assert_eq!(ask(0, 85, 2), [90.0, 95.0], "what was foreseen counts as asked for");
        assert_eq!(ask(1, 10, 3), NONE, "each source for itself");
        assert_eq!(ask(1, 8, 3), NONE);
        assert_eq!(ask(1, 6, 3), [4.0, 2.0], "downwards, to the last length there is");
    }

    /// What is computed together is what each column is alone, lands where it belongs, and is foreseen in time.
    #[test]
    fn columns_of_a_family_come_together() {
        let mut bars = OwnedBars::default();
        (0..200).for_each(|i| {
            let price = 100.0 + (f64::from(i) * 0.7).sin();
            bars.push(i64::from(i), price, price, price, price, 1.0);
        });
        let store = ColumnStore::new(1 << 20);
        let id = |length: f64| {
            let (close, length) =
                (store.id(Node::Bar(BarField::Close)), store.id(Node::Const(length.to_bits())));
            store.id(Node::Ta(TaFunc::Sma, vec![close, length], (0, Sums::TradingView)))
        };
        let run = |store: &ColumnStore, lengths: [f64; 2]| -> Vec<Vec<f64>> {
            let mut recipes = Recipes::default();
            let close = recipes.add(store.id(Node::Bar(BarField::Close)), Recipe::Bar(BarField::Close));
            for length in lengths {
                let args = vec![Operand::Col(close), Operand::Const(length)];
                recipes.add(id(length), Recipe::Ta(TaFunc::Sma, args, 0, Sums::TradingView));
            }
            let columns = super::super::compute(&recipes, &bars.view(), store, &mut |_| Vec::new());
            columns[1..].iter().map(|c| c.values().to_vec()).collect()
        };
        let bits = |c: &[f64]| c.iter().map(|x| x.to_bits()).collect::<Vec<u64>>();
        for lengths in [[5.0, 50.0], [5.0, 60.0], [5.0, 70.0], [5.0, 80.0], [6.0, 80.0]] {
            let found = run(&store, lengths);
            for (length, found) in lengths.into_iter().zip(found) {
                let alone = run(&ColumnStore::new(0), [length, 1.0]);
                assert_eq!(bits(&found), bits(&alone[0]), "{length}");
            }
        }
        let ahead = |k: usize| store.has(id(70.0 + 10.0 * k as f64));
        assert!((1..LANES).all(ahead) && !ahead(LANES));
    }
}
