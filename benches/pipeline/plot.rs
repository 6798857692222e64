//! A plot as SVG, that reads on white and on black: it has no background of its own, and its colours stand out from both.

use super::Outcome;
use super::growth::{Growth, Series};
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;

const SIZE: (u32, u32) = (720, 400);
const FONT: &str = "sans-serif";
/// Of text and axes. On white and on black its contrast is the same.
const INK: RGBColor = RGBColor(0x76, 0x76, 0x76);
const COLOURS: [RGBColor; 5] = [
    RGBColor(0x1f, 0x83, 0xd6),
    RGBColor(0xd9, 0x6b, 0x0b),
    RGBColor(0x2e, 0x9e, 0x4f),
    RGBColor(0xc2, 0x4f, 0xa8),
    RGBColor(0x8a, 0x7a, 0x1c),
];

/// Draws `series` to `path`, with `below` in small letters at the bottom.
pub(crate) fn draw(path: &Path, growth: &Growth, series: &[Series], below: &str) -> Outcome<()> {
    let ys = || {
        series
            .iter()
            .flat_map(|series| series.points.iter().map(|point| point.1))
    };
    let top = ys().fold(0.0, f64::max) * 1.1;
    if !(top.is_finite() && top > 0.0) {
        return Err("there is nothing to draw".into());
    }
    if growth.y.logarithmic {
        let bottom = ys().filter(|y| *y > 0.0).fold(f64::INFINITY, f64::min) / 1.5;
        draw_on(path, growth, series, below, (bottom..top * 1.5).log_scale())
    } else {
        draw_on(path, growth, series, below, 0.0..top)
    }
}

fn draw_on<Y>(path: &Path, growth: &Growth, series: &[Series], below: &str, y: Y) -> Outcome<()>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    let text = |size: u32| (FONT, size).into_font().color(&INK);
    let (width, height) = (i32::try_from(SIZE.0)?, i32::try_from(SIZE.1)?);
    let foot = text(14).pos(Pos::new(HPos::Right, VPos::Bottom));
    root.draw(&Text::new(below.to_owned(), (width - 16, height - 6), foot))?;
    let mut xs: Vec<f64> = series
        .iter()
        .flat_map(|series| series.points.iter().map(|point| point.0))
        .collect();
    xs.sort_by(f64::total_cmp);
    xs.dedup();
    let (Some(first), Some(last)) = (xs.first(), xs.last()) else {
        return Err("there is nothing to draw".into());
    };
    let x = (*first..*last * 1.02).log_scale().with_key_points(xs);
    let mut chart = ChartBuilder::on(&root)
        .caption(growth.title, text(21))
        .margin(16)
        .margin_bottom(24)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .x_desc(growth.x)
        .y_desc(growth.y.name)
        .axis_desc_style(text(16))
        .label_style(text(15))
        .axis_style(INK)
        .bold_line_style(INK.mix(0.25))
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&|value| short(*value))
        .y_label_formatter(&|value| short(*value))
        .draw()?;
    for (series, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let line = LineSeries::new(series.points.iter().copied(), colour.stroke_width(2)).point_size(3);
        chart
            .draw_series(line)?
            .label(series.name.as_str())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .label_font(text(15))
        .border_style(INK.mix(0.5))
        .position(SeriesLabelPosition::UpperLeft)
        .draw()?;
    root.present()?;
    Ok(())
}

/// Without digits that say nothing.
fn short(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
