//! Puts the name of a line next to it, where it covers no line: every place of a coarse grid is
//! tried, and the nearest to the own line that is nearer to it than to any other wins.

use super::axis::Plot;

/// A position in the SVG.
pub(super) type Spot = (f64, f64);

/// Least distance of a name from any line.
const GAP: f64 = 5.0;
/// Height of a line of text.
const HEIGHT: f64 = 14.0;
/// Width of a letter, in the mean.
pub(super) const LETTER: f64 = 7.3;
/// Distance of the points that a line is sampled at, and of the places that are tried.
const STEP: f64 = 4.0;

/// What a name may not cover.
#[derive(Default)]
pub(super) struct Places {
    lines: Vec<Vec<Spot>>,
    taken: Vec<Rect>,
}

#[derive(Clone, Copy)]
struct Rect {
    x: f64,
    y: f64,
    width: f64,
}

impl Rect {
    /// How far a point is from the rectangle; 0 inside.
    fn distance(&self, (x, y): Spot) -> f64 {
        let dx = (self.x - x).max(x - self.x - self.width).max(0.0);
        let dy = (self.y - y).max(y - self.y - HEIGHT).max(0.0);
        dx.hypot(dy)
    }

    fn overlaps(&self, other: &Rect) -> bool {
        self.x < other.x + other.width + GAP
            && other.x < self.x + self.width + GAP
            && (self.y - other.y).abs() < HEIGHT + 2.0
    }
}

impl Places {
    /// Adds a line through these points; the answer is its number.
    pub(super) fn line(&mut self, points: &[Spot]) -> usize {
        let mut dense: Vec<Spot> = points.first().copied().into_iter().collect();
        for pair in points.windows(2) {
            let ((ax, ay), (bx, by)) = (pair[0], pair[1]);
            let steps = ((bx - ax).hypot(by - ay) / STEP).ceil().max(1.0) as usize;
            let at = |i: usize| i as f64 / steps as f64;
            dense.extend((1..=steps).map(|i| (ax + (bx - ax) * at(i), ay + (by - ay) * at(i))));
        }
        self.lines.push(dense);
        self.lines.len() - 1
    }

    /// Where the text of line `own` starts, on its base line; none if there is no room. A point
    /// that lies on a line is nowhere nearer to itself than to the line: then no line is a `rival`.
    pub(super) fn name(
        &mut self,
        own: usize,
        rivals: bool,
        text: &str,
        plot: &Plot,
    ) -> Option<Spot> {
        let width = text.chars().count() as f64 * LETTER;
        let (columns, rows) = (
            ((plot.width - width) / STEP).max(0.0) as usize,
            ((plot.height - HEIGHT) / STEP).max(0.0) as usize,
        );
        let mut best: Option<(f64, Rect)> = None;
        for i in 0..columns * rows {
            let (column, row) = ((i % columns) as f64, (i / columns) as f64);
            let rect = Rect { x: plot.left + column * STEP, y: plot.top + row * STEP, width };
            let to = |line: &Vec<Spot>| {
                line.iter().map(|p| rect.distance(*p)).fold(f64::INFINITY, f64::min)
            };
            if self.taken.iter().any(|taken| taken.overlaps(&rect)) {
                continue;
            }
            let mine = self.lines.get(own).map_or(f64::INFINITY, to);
            // As near as need be is near enough; then what counts is to be far from the others.
            let cost = mine.max(GAP + STEP);
            if mine < GAP || best.as_ref().is_some_and(|(least, _)| *least < cost - 10.0) {
                continue;
            }
            let others = self.lines.iter().enumerate().filter(|(line, _)| *line != own);
            let other = others.map(|(_, line)| to(line)).fold(f64::INFINITY, f64::min);
            let cost = if rivals { cost - other.min(40.0) / 4.0 } else { cost };
            let belongs = if rivals { other > mine + GAP } else { other >= GAP };
            if belongs && best.as_ref().is_none_or(|(least, _)| cost < *least) {
                best = Some((cost, rect));
            }
        }
        let (_, rect) = best?;
        self.taken.push(rect);
        Some((rect.x, rect.y + HEIGHT - 3.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_near_their_line_and_cover_none() {
        let plot = Plot { left: 0.0, top: 0.0, width: 400.0, height: 200.0, most: 1.0 };
        let mut places = Places::default();
        let steep = places.line(&[(0.0, 200.0), (100.0, 200.0), (110.0, 0.0), (400.0, 0.0)]);
        let late = places.line(&[(0.0, 200.0), (250.0, 200.0), (260.0, 0.0), (400.0, 0.0)]);
        for (line, near) in [(steep, 105.0), (late, 255.0)] {
            let (x, y) = places.name(line, true, "measured", &plot).unwrap();
            let width = 8.0 * LETTER;
            let gap = if x > near { x - near } else { near - x - width };
            assert!((0.0..40.0).contains(&gap), "{x} {y} is far from {near}");
        }
        let end = places.line(&[(399.0, 0.0)]);
        let (x, y) = places.name(end, false, "all", &plot).unwrap();
        assert!(x > 360.0 && y > 10.0, "{x} {y} is not below the end");
        let full = "a name as wide as the whole plot, and then some more of it than there is";
        assert_eq!(places.name(steep, true, full, &plot), None);
    }
}
