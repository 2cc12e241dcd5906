//! Shapes as SVG and as pixels, by plotters.

use std::fmt::Display;
use std::sync::OnceLock;

use anyhow::{Result, anyhow, bail};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{RgbImage as Picture, imageops};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Anchor, Figure, Lettering, PAPER, Place, Shape};

/// plotters' coordinates are whole numbers: this many of them are a point.
const FINENESS: f64 = 4.0;
/// Pixels of a PNG for a point: those of a screen with a high resolution.
const PNG_SCALE: u32 = 2;
/// What plotters calls the size of a font is this many times its em.
const EM: f64 = 1.24;
/// plotters sets the middle of a line of text higher in a bitmap than viewers do in an SVG, by this part of its size.
const LOWER: f64 = 0.16;
/// Sides of images that no viewer shows any more, in points.
const LONGEST_SIDE: f64 = 16_000.0;

/// The fonts of PNGs, a subset of DejaVu Sans 2.35 (`fonts/README.md`).
const FONTS: [(FontStyle, &[u8]); 2] = [
    (FontStyle::Normal, include_bytes!("../../fonts/DejaVuSans.ttf")),
    (FontStyle::Bold, include_bytes!("../../fonts/DejaVuSans-Bold.ttf")),
];
/// The family that both SVGs and PNGs ask for.
const FAMILY: FontFamily = FontFamily::SansSerif;

type Area<'a, D> = DrawingArea<D, Shift>;

impl Figure {
    /// The figure as SVG.
    ///
    /// # Errors
    /// It is larger than an image can be.
    pub fn svg(&self) -> Result<String> {
        let [width, height] = self.size()?;
        let mut svg = String::new();
        self.draw(&SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area(), 0.0)?;
        // The coordinates are finer than points; the size is in points.
        let fine = format!(r#"width="{width}" height="{height}""#);
        let [width, height] = [width, height].map(|side| f64::from(side) / FINENESS);
        Ok(svg.replacen(&fine, &format!(r#"width="{width}" height="{height}""#), 1))
    }

    /// The figure as PNG, two pixels a point.
    ///
    /// # Errors
    /// It is larger than an image can be.
    pub fn png(&self) -> Result<Vec<u8>> {
        png(&self.pixels()?)
    }

    /// The figure as pixels, two a point.
    pub(crate) fn pixels(&self) -> Result<Picture> {
        register_fonts()?;
        let [width, height] = self.size()?;
        let mut fine = Picture::new(width, height);
        self.draw(&BitMapBackend::with_buffer(fine.as_mut(), (width, height)).into_drawing_area(), LOWER)?;
        // What is drawn is not antialiased; the mean of the finer pixels is.
        let scaled = |side: u32| (side * PNG_SCALE).div_ceil(FINENESS as u32);
        Ok(imageops::thumbnail(&fine, scaled(width), scaled(height)))
    }

    fn size(&self) -> Result<[u32; 2]> {
        let sides = [self.width, self.height];
        if !sides.iter().all(|side| (1.0..=LONGEST_SIDE).contains(side)) {
            bail!(
                "a figure of {:.0} x {:.0} points cannot be drawn; evaluate fewer things at once",
                sides[0],
                sides[1]
            );
        }
        Ok(sides.map(|side| (side * FINENESS).ceil() as u32))
    }

    /// Draws the shapes, text lower by a part of its size.
    fn draw<D: DrawingBackend>(&self, area: &Area<D>, lower: f64) -> Result<()> {
        area.fill(&PAPER).map_err(undrawn)?;
        for shape in &self.shapes {
            match shape {
                Shape::Line { points, colour, width } => {
                    let style = colour.stroke_width(fine(*width).max(1) as u32);
                    area.draw(&PathElement::new(on_grid(points), style)).map_err(undrawn)?;
                }
                Shape::Area { points, colour } => {
                    area.draw(&Polygon::new(on_grid(points), colour.filled())).map_err(undrawn)?;
                }
                Shape::Disc { at, radius, colour } => {
                    area.draw(&Circle::new(fine_place(*at), fine(*radius), colour.filled())).map_err(undrawn)?;
                }
                Shape::Text { text, at, lettering } => {
                    let by = lower * lettering.size;
                    let at = if lettering.is_upright { (at.0 + by, at.1) } else { (at.0, at.1 + by) };
                    area.draw(&Text::new(text.clone(), fine_place(at), style(lettering))).map_err(undrawn)?;
                }
            }
        }
        area.present().map_err(undrawn)
    }
}

/// Writes `words` on a picture, a point a pixel, from the place on; what lies outside of it is cut off.
pub(crate) fn write_on(picture: &mut Picture, words: &str, (x, y): Place, lettering: Lettering) -> Result<()> {
    // No letter is wider than its size and a half, nor higher than twice that. As in figures, the mean of finer pixels is shown.
    let (width, height) = (1.5 * lettering.size * words.chars().count() as f64, 2.0 * lettering.size);
    let mut ink = Figure::new(width.max(1.0), height);
    ink.text(words, (0.0, height / 2.0), Lettering { colour: BLACK, ..lettering });
    let ink = ink.pixels()?;
    let ink = imageops::thumbnail(&ink, (ink.width() / PNG_SCALE).max(1), (ink.height() / PNG_SCALE).max(1));
    let (left, top) = (x.round() as i64, (y - height / 2.0).round() as i64);
    let (red, green, blue) = lettering.colour.rgb();
    for (column, row, paper) in ink.enumerate_pixels() {
        let place = [left + i64::from(column), top + i64::from(row)].map(u32::try_from);
        if let [Ok(column), Ok(row)] = place
            && let Some(pixel) = picture.get_pixel_mut_checked(column, row)
        {
            let kept = f32::from(paper.0[0]) / 255.0;
            let mix = |(level, ink): (&mut u8, u8)| {
                *level = (f32::from(*level) * kept + f32::from(ink) * (1.0 - kept)).round() as u8;
            };
            pixel.0.iter_mut().zip([red, green, blue]).for_each(mix);
        }
    }
    Ok(())
}

/// Pixels as a PNG file.
pub(crate) fn png(picture: &Picture) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // The encoder's own choice is the fastest, which makes files of flat colours several times as large.
    let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Adaptive);
    picture.write_with_encoder(encoder).map_err(undrawn)?;
    Ok(bytes)
}

fn register_fonts() -> Result<()> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    let register = || FONTS.iter().all(|(style, bytes)| register_font(FAMILY.as_str(), *style, bytes).is_ok());
    match REGISTERED.get_or_init(register) {
        true => Ok(()),
        false => bail!("the program's own font is damaged; install the program again"),
    }
}

fn undrawn(error: impl Display) -> anyhow::Error {
    anyhow!("the figure cannot be drawn ({error})")
}

fn style(lettering: &Lettering) -> TextStyle<'_> {
    let weight = if lettering.is_bold { FontStyle::Bold } else { FontStyle::Normal };
    let font = FontDesc::new(FAMILY, lettering.size * EM * FINENESS, weight);
    let font = if lettering.is_upright { font.transform(FontTransform::Rotate270) } else { font };
    let across = match lettering.anchor {
        Anchor::Start => HPos::Left,
        Anchor::Middle => HPos::Center,
        Anchor::End => HPos::Right,
    };
    TextStyle::from(font).color(&lettering.colour).pos(Pos::new(across, VPos::Center))
}

fn fine(points: f64) -> i32 {
    (points * FINENESS).round() as i32
}

fn fine_place((x, y): Place) -> (i32, i32) {
    (fine(x), fine(y))
}

/// The points on plotters' grid, without those that fall onto the one before.
fn on_grid(points: &[Place]) -> Vec<(i32, i32)> {
    let mut places: Vec<(i32, i32)> = points.iter().copied().map(fine_place).collect();
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use super::super::marks::{Dashes, Marker};
    use super::super::{BLUE, GREY};
    use super::*;

    fn example() -> Figure {
        let mut figure = Figure::new(120.0, 60.0);
        figure.text("A & <B> Ärger", (60.0, 12.0), Lettering::new(10.0).from(Anchor::Middle));
        figure.line(&[(10.0, 50.0), (110.0, 30.0)], BLUE, 2.0, Dashes::Dotted);
        figure.rectangle([20.0, 30.0], [40.0, 50.0], GREY);
        figure.marker(Marker::Triangle, (80.0, 40.0), 5.0, BLUE, false);
        figure
    }

    #[test]
    fn an_svg_has_its_size_in_points_and_its_text_as_text() {
        let svg = example().svg().unwrap();
        assert!(svg.starts_with(r#"<svg width="120" height="60" viewBox="0 0 480 240""#), "{svg}");
        assert!(svg.contains("A &amp; &lt;B&gt; Ärger") && svg.trim_end().ends_with("</svg>"), "{svg}");
    }

    #[test]
    fn a_png_shows_shapes_and_letters_where_they_were_put() {
        let picture = example().pixels().unwrap();
        assert_eq!(picture.dimensions(), (240, 120));
        assert_eq!(picture.get_pixel(60, 80).0, [110, 110, 110], "the rectangle");
        assert_eq!(picture.get_pixel(160, 82).0, [255, 255, 255], "the marker is open");
        let is_dark = |(_, y, pixel): &(u32, u32, &image::Rgb<u8>)| *y < 40 && pixel.0[0] < 100;
        let letters: Vec<u32> = picture.enumerate_pixels().filter(is_dark).map(|(x, _, _)| x).collect();
        let (left, right) = (letters.iter().min().unwrap(), letters.iter().max().unwrap());
        assert!(letters.len() > 100 && left.abs_diff(240 - right) < 8, "the text is in the middle: {left} to {right}");
        let png = example().png().unwrap();
        assert_eq!(image::load_from_memory(&png).unwrap().to_rgb8(), picture);
    }

    #[test]
    fn words_on_a_picture_are_cut_off_at_its_edges() {
        let mut picture = Picture::from_pixel(200, 40, image::Rgb([255; 3]));
        write_on(&mut picture, "P(fake) 0.87", (10.0, 20.0), Lettering::new(14.0).bold()).unwrap();
        let dark = picture.enumerate_pixels().filter(|(.., pixel)| pixel.0[0] < 128);
        let inked: Vec<(u32, u32)> = dark.map(|(x, y, _)| (x, y)).collect();
        assert!(inked.len() > 150 && inked.iter().all(|(x, y)| (9..150).contains(x) && (8..32).contains(y)));
        for at in [(190.0, 38.0), (-30.0, -5.0), (500.0, 500.0)] {
            write_on(&mut picture, "beyond", at, Lettering::new(16.0)).unwrap();
        }
    }

    #[test]
    fn a_figure_too_large_for_an_image_is_refused() {
        assert!(Figure::new(100.0, 1e6).png().unwrap_err().to_string().contains("cannot be drawn"));
    }
}
