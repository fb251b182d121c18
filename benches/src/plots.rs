//! The plots of the report, and the fixed look of each algorithm in all of them.

use crate::simulated::duel::Manner;
use crate::svg::{Axis, Chart, Draw, Scale, Series, Shape, Style};
use crate::theory::Theory;
use std::time::Duration;
use synod_algorithms::Algorithm;

/// Colours that are told apart with any colour vision (Okabe and Ito), with a dash and a shape of
/// their own, since Multi-Paxos and Raft often lie on one line.
pub(crate) fn style(algorithm: Algorithm) -> Style {
    match algorithm {
        Algorithm::Paxos => Style { colour: "#E69F00", dash: "12 4", shape: Shape::Triangle },
        Algorithm::MultiPaxos => Style { colour: "#009E73", dash: "6 7", shape: Shape::Square },
        Algorithm::Raft => Style { colour: "#0072B2", dash: "", shape: Shape::Circle },
        Algorithm::Pbft => Style { colour: "#D55E00", dash: "10 3 2 3", shape: Shape::Diamond },
    }
}

fn axis(label: &str, scale: Scale) -> Axis {
    Axis { label: label.to_owned(), scale }
}

/// The share of a row's times that are not longer than a time: a line for each row, which brings
/// its times sorted. `what` is what takes so long, and what there are shares of.
pub(crate) fn distribution(
    name: &'static str,
    title: String,
    what: [&str; 2],
    rows: &[(Algorithm, &[Duration])],
) -> Chart {
    let series = rows.iter().map(|(algorithm, sorted)| Series {
        name: algorithm.info().title.to_owned(),
        style: style(*algorithm),
        draw: Draw::Steps,
        points: cdf_points(sorted),
    });
    Chart {
        name,
        title,
        x: axis(what[0], Scale::Log),
        y: axis(what[1], Scale::Linear),
        series: series.collect(),
    }
}

/// Some hundred points of a distribution, the ends included.
fn cdf_points(sorted: &[Duration]) -> Vec<(f64, f64)> {
    const POINTS: usize = 400;
    let Some(last) = sorted.len().checked_sub(1) else { return Vec::new() };
    let count = POINTS.min(sorted.len());
    let mut points = Vec::with_capacity(count + 1);
    points.push((millis(sorted[0]), 0.0));
    for point in 0..count {
        let at = if count == 1 { last } else { point * last / (count - 1) };
        points.push((millis(sorted[at]), (at + 1) as f64 / sorted.len() as f64));
    }
    points
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Messages of a command against n: theory as lines, what was measured as marks.
pub(crate) fn messages_against_n(
    algorithms: &[Algorithm],
    measured: &[(Algorithm, usize, f64)],
) -> Chart {
    let mut series = Vec::new();
    for &algorithm in algorithms {
        let title = algorithm.info().title;
        let first = Theory::min_nodes(algorithm, 1);
        let value = |n: usize| (n as f64, Theory::of(algorithm, n).messages.value as f64);
        series.push(Series {
            name: format!("{title}: {}", Theory::of(algorithm, first).messages.formula),
            style: style(algorithm),
            draw: Draw::Line,
            points: (first..=100).map(value).collect(),
        });
    }
    for &algorithm in algorithms {
        let mine = measured.iter().filter(|(of, ..)| *of == algorithm);
        let points: Vec<_> = mine.map(|(_, n, messages)| (*n as f64, *messages)).collect();
        if !points.is_empty() {
            let title = algorithm.info().title;
            let name = format!("{title}, measured");
            series.push(Series { name, style: style(algorithm), draw: Draw::Marks, points });
        }
    }
    Chart {
        name: "messages",
        title: "Messages of a command against the size of the cluster (batch 1)".into(),
        x: axis("replicas n", Scale::Log),
        y: axis("messages per command", Scale::Log),
        series,
    }
}

/// How each manner of rivals looks.
fn manner_style(manner: Manner) -> Style {
    match manner {
        Manner::BackOff => style(Algorithm::Paxos),
        Manner::NoBackOff => Style { colour: "#CC79A7", dash: "3 3", shape: Shape::Circle },
        Manner::Silent => Style { colour: "#56B4E9", dash: "10 3 2 3", shape: Shape::Diamond },
        Manner::Fast => Style { colour: "#D55E00", dash: "8 3", shape: Shape::Square },
        Manner::Leader => style(Algorithm::MultiPaxos),
    }
}

/// A row of duels, as it is drawn. `None` where no run decided enough.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DuelPoint {
    pub(crate) manner: Manner,
    pub(crate) proposers: usize,
    pub(crate) ballots: Option<f64>,
    pub(crate) messages: Option<f64>,
}

/// Ballots, and messages, of a decision against the number of proposers.
pub(crate) fn duels(points: &[DuelPoint]) -> Vec<Chart> {
    let lines = |value: fn(&DuelPoint) -> Option<f64>| {
        let line = |manner: Manner| {
            let mine = points.iter().filter(|point| point.manner == manner);
            Series {
                name: manner.name().to_owned(),
                style: manner_style(manner),
                draw: Draw::Line,
                points: mine.filter_map(|at| Some((at.proposers as f64, value(at)?))).collect(),
            }
        };
        Manner::ALL.map(line).to_vec()
    };
    let chart = |name, title: &str, label: &str, series| Chart {
        name,
        title: title.to_owned(),
        x: axis("proposers", Scale::Linear),
        y: axis(label, Scale::Log),
        series,
    };
    let ballots = lines(|point| point.ballots.filter(|ballots| *ballots > 0.0));
    vec![
        chart("duel-ballots", "Ballots of a decision", "ballots per decision", ballots),
        chart(
            "duel-messages",
            "Messages of a decision",
            "messages per decision",
            lines(|point| point.messages),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fixed colours only help if they differ, and so do dash and shape where colours are not seen.
    #[test]
    fn no_two_algorithms_look_alike_in_any_respect() {
        for (at, one) in Algorithm::ALL.into_iter().enumerate() {
            for other in Algorithm::ALL.into_iter().skip(at + 1) {
                let (one, other) = (style(one), style(other));
                assert_ne!(one.colour, other.colour);
                assert_ne!(one.dash, other.dash);
                assert_ne!(one.shape, other.shape);
            }
        }
    }

    #[test]
    fn a_distribution_keeps_its_smallest_and_largest_value() {
        let sorted: Vec<_> = (1..=1000).map(Duration::from_millis).collect();
        let points = cdf_points(&sorted);
        assert_eq!(points.first(), Some(&(1.0, 0.0)));
        assert_eq!(points.last(), Some(&(1000.0, 1.0)));
        assert_eq!(cdf_points(&[Duration::from_millis(7)]), [(7.0, 0.0), (7.0, 1.0)]);
        assert!(cdf_points(&[]).is_empty());
    }

    #[test]
    fn theory_is_drawn_as_lines_and_measurement_as_marks() {
        let chart = messages_against_n(&Algorithm::ALL, &[(Algorithm::Raft, 3, 4.0)]);
        assert_eq!(chart.series.len(), 5);
        assert_eq!(chart.series[4].draw, Draw::Marks);
        assert_eq!(chart.series[4].points, [(3.0, 4.0)]);
        assert!(chart.series[3].points.contains(&(100.0, 19_800.0)));
    }
}
