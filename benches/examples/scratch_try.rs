use synod_algorithms::Algorithm;
use synod_benches::*;
fn main() {
    let a: Vec<Algorithm> = std::env::args().nth(2).map_or(vec![Algorithm::Paxos], |s| {
        Algorithm::ALL.into_iter().filter(|a| s.split(',').any(|x| x == a.name())).collect()
    });
    let mut p = |_: &str, _, _| {};
    let t = std::time::Instant::now();
    let r = match std::env::args().nth(1).as_deref() {
        Some("cost") => cost(&CostOptions { algorithms: a, ..Default::default() }, &mut p),
        Some("failover") => {
            failover(&FailoverOptions { algorithms: a, ..Default::default() }, &mut p)
        }
        Some("sim") => {
            run(&RunOptions { algorithms: a, mode: Mode::Sim, ..Default::default() }, &mut p)
        }
        Some("real") => {
            run(&RunOptions { algorithms: a, mode: Mode::Real, ..Default::default() }, &mut p)
        }
        _ => run(&RunOptions { algorithms: a, ..Default::default() }, &mut p),
    };
    match r {
        Ok(c) => {
            println!("{}", c.text());
            c.write_to(std::path::Path::new("/tmp/out"), "try").unwrap();
        }
        Err(e) => println!("ERR {e}"),
    }
    eprintln!("{:?}", t.elapsed());
}
