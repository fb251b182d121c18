//! A very small plot library: lines, steps and marks over linear or logarithmic axes, as SVG text.

use crate::table::{escape, plain};
use std::fmt::Write as _;

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 430.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 205.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 55.0;

/// How an axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    Log,
}

#[derive(Clone, Debug)]
pub(crate) struct Axis {
    pub(crate) label: String,
    pub(crate) scale: Scale,
}

/// What stands for a series: the same in all plots, and never told by colour alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    pub(crate) colour: &'static str,
    /// An SVG dash pattern, or empty for a solid line.
    pub(crate) dash: &'static str,
    pub(crate) shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Circle,
    Square,
    Triangle,
    Diamond,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draw {
    /// A line from point to point.
    Line,
    /// A stair: the value holds until the next point.
    Steps,
    /// A mark at each point.
    Marks,
}

#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// As the legend has it.
    pub(crate) name: String,
    pub(crate) style: Style,
    pub(crate) draw: Draw,
    pub(crate) points: Vec<(f64, f64)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Chart {
    /// Its file name without the ending.
    pub(crate) name: &'static str,
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) series: Vec<Series>,
}

/// An axis with its range: from values to a place between 0 and 1.
struct Span {
    scale: Scale,
    low: f64,
    high: f64,
}

impl Span {
    /// Of the values that can be shown: on a logarithmic axis those above zero.
    fn over(values: impl Iterator<Item = f64>, scale: Scale) -> Self {
        let shown = |value: &f64| value.is_finite() && (scale == Scale::Linear || *value > 0.0);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(shown) {
            low = low.min(value);
            high = high.max(value);
        }
        if low > high {
            (low, high) = (1.0, 10.0);
        }
        match scale {
            Scale::Linear => low = low.min(0.0),
            Scale::Log => (low, high) = (low / 1.15, high * 1.15),
        }
        if high <= low {
            high = low + 1.0;
        }
        Self { scale, low, high }
    }

    fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => {
                let value = value.max(self.low);
                (value / self.low).ln() / (self.high / self.low).ln()
            }
        }
    }

    fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => self.linear_ticks(),
            Scale::Log => self.log_ticks(),
        }
    }

    /// Multiples of 1, 2 or 5 times a power of ten, about six of them.
    fn linear_ticks(&self) -> Vec<f64> {
        let rough = (self.high - self.low) / 6.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
        let step = step.into_iter().find(|step| *step >= rough).unwrap_or(power);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).map(|count| count as f64 * step).collect()
    }

    /// Powers of ten, and 2 and 5 times these where there is room.
    fn log_ticks(&self) -> Vec<f64> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let factors: &[f64] = if last - first > 4 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let mut ticks = Vec::new();
        for power in first..=last {
            for factor in factors {
                let tick = factor * 10f64.powi(power);
                if (self.low..=self.high).contains(&tick) {
                    ticks.push(tick);
                }
            }
        }
        ticks
    }
}

impl Chart {
    /// The plot as one SVG element, without anything that must be fetched.
    pub(crate) fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x = Span::over(points().map(|point| point.0), self.x.scale);
        let y = Span::over(points().map(|point| point.1), self.y.scale);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\" aria-label=\"{0}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <text x=\"{LEFT}\" y=\"24\" font-size=\"15\">{0}</text>\n",
            escape(&self.title)
        );
        self.axes(&x, &y, &mut out);
        // Solid lines first: a dashed one shows on a solid one that it covers, but not under it.
        let (dashed, solid): (Vec<_>, Vec<_>) =
            self.series.iter().partition(|series| !series.style.dash.is_empty());
        for series in solid.into_iter().chain(dashed) {
            draw(series, &x, &y, &mut out);
        }
        self.legend(&mut out);
        out.push_str("</svg>\n");
        out
    }

    fn axes(&self, x: &Span, y: &Span, out: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for tick in x.ticks() {
            let at = across(x, tick);
            let _ = writeln!(
                out,
                "<path d=\"M{at:.1} {TOP}V{bottom}\" stroke=\"#e4e4e4\"/>\
                 <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 18.0,
                plain(tick)
            );
        }
        for tick in y.ticks() {
            let at = up(y, tick);
            let _ = writeln!(
                out,
                "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#e4e4e4\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                at + 4.0,
                plain(tick)
            );
        }
        let _ = writeln!(
            out,
            "<path d=\"M{LEFT} {TOP}V{bottom}H{right}\" fill=\"none\" stroke=\"black\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n\
             <text transform=\"translate(18 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            (LEFT + right) / 2.0,
            HEIGHT - 14.0,
            escape(&self.x.label),
            (TOP + bottom) / 2.0,
            escape(&self.y.label)
        );
    }

    fn legend(&self, out: &mut String) {
        let left = WIDTH - RIGHT + 14.0;
        for (row, series) in self.series.iter().enumerate() {
            let at = TOP + 10.0 + 20.0 * row as f64;
            let Style { colour, dash, shape } = series.style;
            match series.draw {
                Draw::Marks => mark(shape, left + 12.0, at, colour, out),
                Draw::Line | Draw::Steps => {
                    let end = left + 24.0;
                    let _ = writeln!(
                        out,
                        "<path d=\"M{left} {at}H{end}\" stroke=\"{colour}\" stroke-width=\"2\" \
                         stroke-dasharray=\"{dash}\"/>"
                    );
                }
            }
            let (x, y) = (left + 30.0, at + 4.0);
            let _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\">{}</text>", escape(&series.name));
        }
    }
}

fn across(span: &Span, value: f64) -> f64 {
    LEFT + span.place(value) * (WIDTH - RIGHT - LEFT)
}

fn up(span: &Span, value: f64) -> f64 {
    HEIGHT - BOTTOM - span.place(value) * (HEIGHT - BOTTOM - TOP)
}

fn draw(series: &Series, x: &Span, y: &Span, out: &mut String) {
    let Style { colour, dash, shape } = series.style;
    let places = series.points.iter().map(|point| (across(x, point.0), up(y, point.1)));
    if series.draw == Draw::Marks {
        places.for_each(|(across, up)| mark(shape, across, up, colour, out));
        return;
    }
    let mut path = String::new();
    for (number, (across, up)) in places.enumerate() {
        let _ = match (number, series.draw) {
            (0, _) => write!(path, "M{across:.1} {up:.1}"),
            (_, Draw::Steps) => write!(path, "H{across:.1}V{up:.1}"),
            _ => write!(path, "L{across:.1} {up:.1}"),
        };
    }
    let _ = writeln!(
        out,
        "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" \
         stroke-dasharray=\"{dash}\"/>"
    );
}

fn mark(shape: Shape, x: f64, y: f64, colour: &str, out: &mut String) {
    let path = match shape {
        Shape::Circle => {
            let _ =
                writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>");
            return;
        }
        // Hollow, so that it shows what it covers.
        Shape::Square => {
            let _ = writeln!(
                out,
                "<path d=\"M{x:.1} {y:.1}m-5 -5h10v10h-10z\" fill=\"none\" stroke=\"{colour}\" \
                 stroke-width=\"1.8\"/>"
            );
            return;
        }
        Shape::Triangle => "m0 -5l5 9h-10z",
        Shape::Diamond => "m0 -5l5 5l-5 5l-5 -5z",
    };
    let _ = writeln!(out, "<path d=\"M{x:.1} {y:.1}{path}\" fill=\"{colour}\"/>");
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style = Style { colour: "#0072B2", dash: "", shape: Shape::Circle };

    fn chart(scale: Scale, points: Vec<(f64, f64)>) -> Chart {
        let axis = || Axis { label: "a < b".into(), scale };
        let series = [Draw::Line, Draw::Steps, Draw::Marks].map(|draw| Series {
            name: "x & y".into(),
            style: STYLE,
            draw,
            points: points.clone(),
        });
        Chart { name: "c", title: "t".into(), x: axis(), y: axis(), series: series.to_vec() }
    }

    #[test]
    fn a_plot_is_closed_and_escaped_and_needs_no_network() {
        let svg = chart(Scale::Log, vec![(3.0, 4.0), (100.0, 19_800.0)]).svg();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("a &lt; b") && svg.contains("x &amp; y"));
        assert_eq!(svg.matches("http").count(), 1, "only the name space of SVG");
        assert_eq!(svg.matches("<circle").count(), 3, "two points and the legend");
        for tick in [">10<", ">100<", ">1000<", ">10000<"] {
            assert!(svg.contains(tick), "{tick}");
        }
    }

    /// Nothing to show, one point, or a zero on a logarithmic axis must not give NaN.
    #[test]
    fn odd_data_still_gives_numbers() {
        for scale in [Scale::Linear, Scale::Log] {
            for points in [vec![], vec![(0.0, 0.0)], vec![(5.0, 5.0)], vec![(0.0, 1.0), (2.0, 0.0)]]
            {
                let svg = chart(scale, points.clone()).svg();
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{scale:?} {points:?}");
            }
        }
    }

    #[test]
    fn equal_ratios_are_equally_far_apart_on_a_log_axis() {
        let span = Span { scale: Scale::Log, low: 1.0, high: 100.0 };
        assert!((span.place(10.0) - 0.5).abs() < 1e-9);
        assert_eq!(span.ticks().len(), 7);
    }
}
