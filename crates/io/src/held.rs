//! Bars kept in memory while they are read, hashed as they come.

use crate::{
    bar_file::{ColumnHashes, content_hash},
    collect::Sink,
};
use springtide_domain::{BarsView, ContentHash, OwnedBars, Timeframe};
use std::{io, ops::Range};

/// Bars and the hashes of their columns.
#[derive(Debug, Default)]
pub(crate) struct HeldBars {
    bars: OwnedBars,
    /// None once the order has changed.
    hashes: Option<ColumnHashes>,
}

impl HeldBars {
    /// With room for so many bars.
    pub(crate) fn with_capacity(rows: u64) -> Self {
        let mut bars = OwnedBars::default();
        let rows = usize::try_from(rows).unwrap_or(0);
        bars.time.reserve(rows);
        for column in [&mut bars.open, &mut bars.high, &mut bars.low, &mut bars.close, &mut bars.volume] {
            column.reserve(rows);
        }
        Self { bars, hashes: Some(ColumnHashes::default()) }
    }

    /// The bars, and their content hash.
    pub(crate) fn finish(self, timeframe: Timeframe) -> (OwnedBars, ContentHash) {
        let hash = match &self.hashes {
            Some(hashes) => hashes.combine(self.rows(), timeframe),
            None => content_hash(&self.bars.view(), timeframe),
        };
        (self.bars, hash)
    }
}

impl Sink for HeldBars {
    fn append(&mut self, bars: &BarsView<'_>) -> io::Result<()> {
        if let Some(hashes) = &mut self.hashes {
            hashes.update(bars);
        }
        self.bars.append(bars)
    }

    fn reverse(&mut self) -> io::Result<()> {
        self.hashes = None;
        self.bars.reverse()
    }

    fn rows(&self) -> u64 {
        self.bars.rows()
    }

    fn times(&mut self, range: Range<u64>) -> io::Result<Vec<i64>> {
        self.bars.times(range)
    }

    fn block(&mut self, range: Range<u64>) -> io::Result<OwnedBars> {
        self.bars.block(range)
    }

    fn take(&mut self) -> io::Result<OwnedBars> {
        self.hashes = Some(ColumnHashes::default());
        self.bars.take()
    }
}
