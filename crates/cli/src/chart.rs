//! A curve drawn with Braille dots: two by four dots to a character.

/// Bit of each dot in a Braille character, by column then row from the top.
const DOTS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

/// Draws `values` left to right in `width` x `height` characters, lowest at the bottom. Every stretch
/// of values that falls on one dot column is drawn from its lowest to its highest.
pub fn braille(values: &[f64], width: usize, height: usize) -> Vec<String> {
    let (columns, rows) = (width * 2, height * 4);
    let mut cells = vec![vec![0u8; width]; height];
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if values.is_empty() || !low.is_finite() || !high.is_finite() {
        return vec![String::new(); height];
    }
    let span = if high > low { high - low } else { 1.0 };
    let row = |v: f64| (((high - v) / span) * (rows - 1) as f64).round() as usize;
    let mut last: Option<usize> = None;
    for x in 0..columns {
        let start = x * values.len() / columns;
        let end = ((x + 1) * values.len() / columns).max(start + 1).min(values.len());
        let part = &values[start.min(values.len() - 1)..end];
        let top = row(part.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        let bottom = row(part.iter().copied().fold(f64::INFINITY, f64::min));
        // Joined to the column before, so that a jump is a line and not two islands.
        let (from, to) = last.map_or((top, bottom), |l| (top.min(l), bottom.max(l)));
        for y in from..=to {
            cells[y / 4][x / 2] |= DOTS[x % 2][y % 4];
        }
        last = Some(row(part[part.len() - 1]));
    }
    let character = |bits: u8| char::from_u32(0x2800 + u32::from(bits)).unwrap_or(' ');
    cells.into_iter().map(|line| line.into_iter().map(character).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rising_line_rises() {
        let values: Vec<f64> = (0..8).map(f64::from).collect();
        let lines = braille(&values, 4, 2);
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|l| l.chars().count() == 4));
        assert_eq!(lines[0].chars().next(), Some('\u{2800}'), "nothing at the top left");
        assert_ne!(lines[0].chars().last(), Some('\u{2800}'));
        assert_eq!(braille(&[], 4, 2).len(), 2);
    }
}
