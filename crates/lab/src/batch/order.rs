//! In which order a batch takes its pairs of strategy and market. Python scripts take from milliseconds to minutes:
//! the longest go first, so that a batch does not end with one of them on one worker and nothing on the others.

use super::{Market, Plan};
use crate::{LabError, Ledger, dataset::DataSet, ledger::Durations, strategy::StrategySource};
use std::time::Duration;

/// What is known of the time that a script takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Expected {
    /// It has run before.
    Took(Duration),
    /// It has not.
    Unknown,
    /// It has not, and it tries out many combinations: it may take all the time that there is.
    Search,
}

/// Scripts by their places, the longest first. Those that search without anybody knowing how long come before all
/// others. Any other unknown script is taken for as long as nine in ten of the known ones: it must not be
/// the last to start, and seldom is the longest. Equal ones keep their order.
pub(super) fn longest_first(expected: &[Expected]) -> Vec<usize> {
    let took = |e: &Expected| if let Expected::Took(time) = e { Some(*time) } else { None };
    let mut known: Vec<Duration> = expected.iter().filter_map(took).collect();
    known.sort_unstable();
    let unknown = known.get(known.len().saturating_sub(1) * 9 / 10).copied().unwrap_or_default();
    let length = |place: &usize| match expected[*place] {
        Expected::Took(time) => time,
        Expected::Unknown => unknown,
        Expected::Search => Duration::MAX,
    };
    let mut places: Vec<usize> = (0..expected.len()).collect();
    places.sort_by_key(|place| std::cmp::Reverse(length(place)));
    places
}

/// Strategy and market of each pair: those in Python first, the longest foremost; the others as the plan has them.
pub(super) fn pairs(plan: &Plan, ledger: &Ledger) -> Result<Vec<(usize, usize)>, LabError> {
    let all = (0..plan.strategies.len()).flat_map(|s| (0..plan.markets.len()).map(move |m| (s, m)));
    let Some(python) = &plan.python else { return Ok(all.collect()) };
    let (scripts, others): (Vec<_>, Vec<_>) =
        all.partition(|(s, _)| plan.strategies[*s].0.python().is_some());
    let sources = plan.strategies.iter().filter(|(s, _)| s.python().is_some()).map(|(s, _)| &s.source);
    let known = ledger.durations(sources.map(|source| source.hash), &python.engines[0].name)?;
    let expected: Vec<Expected> = scripts
        .iter()
        .map(|(s, m)| match &plan.markets[*m] {
            Market::Ready(data) => expected(&plan.strategies[*s].0.source, data, &known),
            Market::Broken { .. } => Expected::Took(Duration::ZERO),
        })
        .collect();
    let ordered = longest_first(&expected).into_iter().map(|place| scripts[place]);
    Ok(ordered.chain(others).collect())
}

fn expected(source: &StrategySource, data: &DataSet, known: &Durations) -> Expected {
    match known.of(&source.hash.to_string(), &data.hash.to_string(), data.bars.len() as u64) {
        Some(time) => Expected::Took(time),
        None if source.text.contains(".optimize(") => Expected::Search,
        None => Expected::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Expected::{self, Search, Unknown},
        longest_first,
    };
    use std::time::Duration;

    fn took(seconds: u64) -> Expected {
        Expected::Took(Duration::from_secs(seconds))
    }

    #[test]
    fn the_longest_come_first_and_equal_ones_keep_their_order() {
        assert_eq!(longest_first(&[]), Vec::<usize>::new());
        assert_eq!(longest_first(&[Unknown, Unknown, Unknown]), [0, 1, 2]);
        assert_eq!(longest_first(&[took(1), took(5), took(3), took(5)]), [1, 3, 2, 0]);
    }

    #[test]
    fn unknown_scripts_begin_before_most_known_ones_but_not_before_the_longest() {
        let mut all: Vec<Expected> = (1..=20).map(took).collect();
        all.extend([Unknown, Search]);
        let order = longest_first(&all);
        // 21 searches; 19 and 18 took 20 and 19 seconds; the unknown one is taken for 18.
        assert_eq!(order[..5], [21, 19, 18, 17, 20]);
        assert_eq!(order.last(), Some(&0));
        assert_eq!(
            longest_first(&[took(1), Unknown, took(60)]),
            [2, 0, 1],
            "of two the shorter is nine in ten"
        );
    }

    /// What it is for: two workers, many short scripts and one long.
    #[test]
    fn the_tail_is_short() {
        let lengths = [vec![1; 30], vec![20]].concat();
        let expected: Vec<Expected> = lengths.iter().map(|s| took(*s)).collect();
        let makespan = |order: &[usize]| {
            let mut workers = [0, 0];
            for place in order {
                *workers.iter_mut().min().expect("two") += lengths[*place];
            }
            workers[0].max(workers[1])
        };
        let as_given: Vec<usize> = (0..lengths.len()).collect();
        assert_eq!((makespan(&as_given), makespan(&longest_first(&expected))), (35, 25));
    }
}
