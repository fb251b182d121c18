//! A service of one's own on three replicas: accounts that never fall below nothing.
//!
//! ```text
//! paxos_program replica 0 /tmp/bank       and 1, and 2, each in a terminal of its own
//! paxos_program move "" ann 100           from nowhere to ann
//! paxos_program move ann bob 30
//! paxos_program balance bob
//! ```

use bytes::Bytes;
use consensus_core::{
    ClientId, Cluster, ClusterId, ConsensusProtocol, NoKeys, NodeId, Outcome, Patience,
    RestoreError, StateMachine,
};
use std::collections::BTreeMap;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use synod_paxos::Paxos;
use synod_runtime::{ClientConfig, ClusterClient, NodeConfig, NodeHandle, is_initialised, start};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The state machine. Every replica applies the same commands in the same order, so it must depend
/// on nothing else: no clock, no chance, no map without an order.
#[derive(Default)]
pub struct Bank(BTreeMap<String, u64>);

impl Bank {
    /// Moves money; money from nowhere is new.
    fn transfer(&mut self, from: &str, to: &str, sum: u64) -> &'static str {
        if !from.is_empty() {
            match self.0.get_mut(from) {
                Some(account) if *account >= sum => *account -= sum,
                _ => return "not enough",
            }
        }
        let account = self.0.entry(to.to_owned()).or_default();
        *account = account.saturating_add(sum);
        "moved"
    }
}

impl StateMachine for Bank {
    /// A command is `from,to,sum`, or the name of an account, whose balance is the result. One that
    /// makes no sense gets a result that says so.
    fn apply(&mut self, command: &Bytes) -> Bytes {
        let text = String::from_utf8_lossy(command).into_owned();
        let words: Vec<&str> = text.split(',').collect();
        let answer = match words[..] {
            [_] => return self.query(command),
            [from, to, sum] => match sum.parse() {
                Ok(sum) => self.transfer(from, to, sum),
                Err(_) => "not a sum",
            },
            _ => "not a command",
        };
        Bytes::from_static(answer.as_bytes())
    }

    /// A question is the name of an account.
    fn query(&self, question: &Bytes) -> Bytes {
        let name = String::from_utf8_lossy(question);
        self.0.get(&*name).copied().unwrap_or(0).to_string().into()
    }

    fn snapshot(&self) -> Vec<u8> {
        let lines = self.0.iter().map(|(name, sum)| format!("{name},{sum}\n"));
        lines.collect::<String>().into_bytes()
    }

    fn restore(&mut self, snapshot: &[u8]) -> std::result::Result<(), RestoreError> {
        let wrong = || RestoreError("not the accounts of a bank".into());
        let text = std::str::from_utf8(snapshot).map_err(|_| wrong())?;
        let account = |line: &str| {
            let (name, sum) = line.split_once(',')?;
            Some((name.to_owned(), sum.parse().ok()?))
        };
        let accounts: Option<_> = text.lines().map(account).collect();
        self.0 = accounts.ok_or_else(wrong)?;
        Ok(())
    }
}

/// Who the replicas are, and where: the same for all of them, and for clients.
fn bank(first_port: u16) -> (Cluster, BTreeMap<NodeId, SocketAddr>) {
    // Any number, once and for all: replicas of another cluster are turned away by it.
    let cluster = Cluster::new(ClusterId(0xba4c), 3);
    let nodes = cluster.nodes();
    let place = |node: NodeId| (Ipv4Addr::LOCALHOST, first_port + u16::from(node.0)).into();
    (cluster, nodes.iter().map(|node| (node, place(node))).collect())
}

/// One replica, with its log, snapshots and identity below this folder. It runs as long as the
/// handle lives.
pub async fn replica(id: u8, folder: &Path, first_port: u16) -> Result<NodeHandle> {
    let (cluster, addresses) = bank(first_port);
    let (id, data) = (NodeId(id), folder.join(format!("n{id}")));
    // A replica that lost its disk must not start anew under its number. So this is for a first
    // try; where it matters, let an operator say that a replica is new.
    let new = !is_initialised(&data);
    let mut config = NodeConfig::<Paxos>::new(id, cluster, data)?;
    config.listen = *addresses.get(&id).ok_or("replicas are 0, 1 and 2")?;
    config.peers = addresses;
    config.create = new;
    Ok(start(config, Bank::default()).await?)
}

/// A client of the three. It may have one command under way at a time.
pub fn client(first_port: u16) -> Result<ClusterClient> {
    let (cluster, addresses) = bank(first_port);
    Ok(ClusterClient::connect(ClientConfig {
        cluster,
        info: Paxos::INFO,
        addresses,
        // No two clients share a name at a time. On several machines, draw it.
        id: ClientId(u64::from(std::process::id())),
        // No two lives of a client share both numbers.
        opening: std::time::UNIX_EPOCH.elapsed()?.as_nanos() as u64,
        patience: Patience::default(),
        target: NodeId(0),
        keys: Arc::new(NoKeys),
    })?)
}

/// Has a command applied, exactly once, however often the client must ask.
async fn apply(bank: &mut ClusterClient, command: String) -> Result<String> {
    let mut outcome = bank.call(command.into()).await?;
    loop {
        match outcome {
            Outcome::Committed { result, .. } => return Ok(String::from_utf8(result.to_vec())?),
            Outcome::Refused(why) => return Err(format!("surely not done: {why}").into()),
            // Done or not: to ask again under the same number is safe.
            Outcome::Unknown => outcome = bank.resume().await?,
        }
    }
}

/// Has money moved.
pub async fn transfer(bank: &mut ClusterClient, from: &str, to: &str, sum: u64) -> Result<String> {
    apply(bank, format!("{from},{to},{sum}")).await
}

/// The balance, as of now. Paxos reads through the log: a question is a command like others.
pub async fn balance(bank: &mut ClusterClient, name: &str) -> Result<String> {
    apply(bank, name.to_owned()).await
}

const PORT: u16 = 7100;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a program talks")]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["replica", id, folder] => {
            let node = replica(id.parse()?, Path::new(folder), PORT).await?;
            println!("replica {id} listens on {}", node.local_addr());
            println!("it stopped: {}", node.stopped().await);
        }
        ["move", from, to, sum] => {
            println!("{}", transfer(&mut client(PORT)?, from, to, sum.parse()?).await?);
        }
        ["balance", name] => println!("{}", balance(&mut client(PORT)?, name).await?),
        _ => return Err("replica ID FOLDER, move FROM TO SUM, or balance NAME".into()),
    }
    Ok(())
}
