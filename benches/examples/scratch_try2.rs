use synod_algorithms::Algorithm;
use synod_benches::*;
fn main() {
    let w = std::env::args().nth(1).unwrap();
    let l = std::env::args().nth(2).unwrap();
    let ops: usize = std::env::args().nth(3).unwrap().parse().unwrap();
    let a: Vec<Algorithm> = std::env::args().nth(4).map_or(vec![Algorithm::Paxos], |s| {
        Algorithm::ALL.into_iter().filter(|a| s.split(',').any(|x| x == a.name())).collect()
    });
    let mut p = |_: &str, _, _| {};
    let t = std::time::Instant::now();
    match run(
        &RunOptions {
            algorithms: a,
            workload: match w.parse() {
                Ok(w) => w,
                Err(e) => {
                    println!("{e}");
                    return;
                }
            },
            load: l.parse().unwrap(),
            operations: ops,
            ..Default::default()
        },
        &mut p,
    ) {
        Ok(c) => {
            println!("{}", c.text());
            c.write_to(std::path::Path::new("/tmp/out"), "try").unwrap();
        }
        Err(e) => println!("ERR {e}"),
    }
    eprintln!("{:?}", t.elapsed());
}
